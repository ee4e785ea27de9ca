//! The time and the randomness that the rest of the house asks for, so that tests can supply both.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use chrono::{DateTime, TimeDelta, Utc};

/// Where "now" comes from: the machine, or a test that sets it.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's own clock.
    #[default]
    System,
    /// A clock that stands still until it is moved.
    Manual(Arc<Manual>),
}

/// What a test has in place of the machine's clock and generator.
#[derive(Debug)]
pub struct Manual {
    /// Since the epoch.
    millis: AtomicI64,
    /// How often something unique was asked for.
    drawn: AtomicU64,
}

impl Clock {
    /// A clock that shows `start` until [`Clock::advance`] is called.
    pub fn manual(start: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(Manual {
            millis: AtomicI64::new(start.timestamp_millis()),
            drawn: AtomicU64::new(0),
        }))
    }

    /// The present instant, in whole milliseconds.
    pub fn now(&self) -> DateTime<Utc> {
        let millis = match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that reads the machine's clock"
            )]
            Self::System => Utc::now().timestamp_millis(),
            Self::Manual(manual) => manual.millis.load(Ordering::SeqCst),
        };
        DateTime::from_timestamp_millis(millis).unwrap_or_default()
    }

    /// Moves a manual clock forward; the system clock cannot be moved and ignores it.
    pub fn advance(&self, by: TimeDelta) {
        if let Self::Manual(manual) = self {
            manual
                .millis
                .fetch_add(by.num_milliseconds(), Ordering::SeqCst);
        }
    }

    /// Sixteen bytes that nobody else gets: for ids, never for secrets. With a manual clock they are the same in each run.
    pub fn unique(&self) -> [u8; 16] {
        let Self::Manual(manual) = self else {
            return random_bytes();
        };
        let drawn = manual.drawn.fetch_add(1, Ordering::SeqCst);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest(&SHA256, &drawn.to_be_bytes()).as_ref()[..16]);
        bytes
    }
}

/// `N` bytes from the operating system's generator.
///
/// # Panics
/// When the system has no entropy: nothing that needs a secret may go on without it.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no secret may be made"
    )]
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random generator answers");
    bytes
}
