//! Prints an error with all of its causes, once, at the edge. `Display` of our errors never repeats its source.

use std::error::Error;
use std::fmt;

/// `Display` of an error followed by each of its sources: `outer: middle: root`.
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
