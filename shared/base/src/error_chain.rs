//! Formats an error with all of its sources, for logging it once, at the outermost layer. `Display` of an error in this
//! workspace never includes its source.

use std::error::Error;
use std::fmt;

/// Displays an error followed by each of its sources: `outer: middle: root`.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
