//! The current time and random bytes. Tests replace the time, and the bytes of new ids, with deterministic values.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chrono::{DateTime, TimeDelta, Utc};

/// Source of the current time: the system clock, or a manual clock in tests.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The system clock.
    #[default]
    System,
    /// A clock that only [`Clock::advance`] moves.
    Manual(Arc<Manual>),
    /// A clock that differs from another one by a constant.
    Shifted(Arc<Clock>, TimeDelta),
}

/// State of a manual clock.
#[derive(Debug)]
pub struct Manual {
    /// Milliseconds since the Unix epoch.
    millis: AtomicI64,
    /// Number of calls to [`Clock::unique`].
    drawn: AtomicU64,
}

impl Clock {
    /// Creates a manual clock, which shows `start` until [`Clock::advance`] is called.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(Manual {
            millis: AtomicI64::new(start.timestamp_millis()),
            drawn: AtomicU64::new(0),
        }))
    }

    /// Returns a clock that is ahead of this one. Of two machines, one is always ahead of the other.
    #[must_use]
    pub fn ahead(&self, by: TimeDelta) -> Self {
        Self::Shifted(Arc::new(self.clone()), by)
    }

    /// Returns the current instant, in whole milliseconds.
    pub fn now(&self) -> DateTime<Utc> {
        let millis = match self {
            Self::Shifted(clock, by) => return clock.now() + *by,
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the machine's clock"
            )]
            Self::System => Utc::now().timestamp_millis(),
            Self::Manual(manual) => manual.millis.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// Moves a manual clock forward. Has no effect on the system clock.
    pub fn advance(&self, by: TimeDelta) {
        match self {
            Self::System => {}
            Self::Manual(manual) => {
                let millis = by.num_milliseconds();
                manual.millis.fetch_add(millis, Ordering::SeqCst);
            }
            Self::Shifted(clock, _) => clock.advance(by),
        }
    }

    /// Waits for a time. A manual clock does not wait, and does not move either.
    pub async fn sleep(&self, time: Duration) {
        match self {
            Self::System => tokio::time::sleep(time).await,
            Self::Manual(_) => tokio::task::yield_now().await,
            Self::Shifted(clock, _) => Box::pin(clock.sleep(time)).await,
        }
    }

    /// Returns sixteen unique bytes: for ids, never for secrets. A manual clock yields the same sequence in each run.
    pub fn unique(&self) -> [u8; 16] {
        let manual = match self {
            Self::System => return random_bytes(),
            Self::Manual(manual) => manual,
            Self::Shifted(clock, _) => return clock.unique(),
        };
        let drawn = manual.drawn.fetch_add(1, Ordering::SeqCst);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest(&SHA256, &drawn.to_be_bytes()).as_ref()[..16]);
        bytes
    }
}

/// The time by which an invocation has to come to an end.
#[derive(Clone, Debug)]
pub enum Deadline {
    /// No deadline.
    Never,
    /// An instant of the machine's monotonic clock.
    At(Instant),
    /// The number of calls to [`Deadline::is_over`] before it has passed, for tests.
    Checks(Arc<AtomicU64>),
}

impl Deadline {
    /// A deadline after this time, measured by the machine's monotonic clock.
    pub fn after(time: Duration) -> Self {
        Self::At(Instant::now() + time)
    }

    /// A deadline that has passed after this many calls to [`Deadline::is_over`]: the same in each run of a test.
    pub fn after_checks(checks: u64) -> Self {
        Self::Checks(Arc::new(AtomicU64::new(checks)))
    }

    /// Returns whether the deadline has passed.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Never => false,
            Self::At(end) => Instant::now() >= *end,
            Self::Checks(left) => left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_err(),
        }
    }
}

/// Returns `N` bytes from the operating system's random number generator, suitable for secrets.
///
/// # Panics
/// When the system has no entropy: without it no secret can be generated.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret can be generated"
    )]
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random number generator works");
    bytes
}
