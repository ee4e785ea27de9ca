//! Counts consumed DynamoDB capacity, so that tests can assert the cost of an operation.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_dynamodb::types::ConsumedCapacity;

/// Consumed DynamoDB capacity units, in thousandths of a unit, and the number of calls.
#[derive(Debug, Default)]
pub struct CapacityMeter {
    read: AtomicU64,
    write: AtomicU64,
    calls: AtomicU64,
}

impl CapacityMeter {
    /// Returns the read units, write units and calls since the last call of this function, and resets the counters.
    pub fn take(&self) -> (f64, f64, u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a count of units, far below 2^52"
        )]
        let units = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed) as f64 / 1000.0;
        (
            units(&self.read),
            units(&self.write),
            self.calls.swap(0, Ordering::Relaxed),
        )
    }

    fn add(counter: &AtomicU64, units: f64) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "units are small and positive"
        )]
        counter.fetch_add((units * 1000.0).round() as u64, Ordering::Relaxed);
    }

    pub(super) fn reads(&self, consumed: Option<&ConsumedCapacity>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Self::add(
            &self.read,
            consumed
                .and_then(ConsumedCapacity::capacity_units)
                .unwrap_or(0.0),
        );
    }

    pub(super) fn written(&self, consumed: &ConsumedCapacity) {
        Self::add(&self.write, consumed.capacity_units().unwrap_or(0.0));
    }

    pub(super) fn writes(&self, consumed: Option<&ConsumedCapacity>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Self::add(
            &self.write,
            consumed
                .and_then(ConsumedCapacity::capacity_units)
                .unwrap_or(0.0),
        );
    }
}
