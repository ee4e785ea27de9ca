//! Errors and write outcomes of the store.

use std::error::Error;

/// A read or write of a table failed. `operation` completes the phrase "could not …".
#[derive(Debug, thiserror::Error)]
#[error("could not {operation}")]
pub struct StoreError {
    operation: &'static str,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    pub(super) fn new(
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            operation,
            source: source.into(),
        }
    }
}

/// The outcome of a conditional write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WriteOutcome {
    /// The condition held and the item was written.
    Written,
    /// The condition did not hold, and nothing was written.
    ConditionFailed,
}
