//! Simulations with random faults, each reproducible by its seed.

mod both_ways;
mod crashes;
mod faults;
mod interruptions;
mod removals;

use std::pin::pin;
use std::task::Poll;

use shared::domain::ids::{CalendarId, UserId};
use shared::sync::sync_calendar;

use crate::harness::World;

/// Returns the seeds to run: 25, or the number in `CALWEAVE_SEEDS`, or only the seed in `CALWEAVE_SEED`.
fn seeds() -> std::ops::Range<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    number("CALWEAVE_SEED").map_or(0..number("CALWEAVE_SEEDS").unwrap_or(25), |seed| {
        seed..seed + 1
    })
}

/// SplitMix64: the same sequence from the same seed on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Runs a sync until it has made `calls` DynamoDB calls, and then drops it, as if the worker were killed.
pub async fn killed_after(world: &World, user: UserId, calendar: CalendarId, calls: u64) {
    let app = &world.stack.context;
    app.store.meter().take();
    let mut made = 0;
    let mut sync = pin!(sync_calendar(app, user, calendar));
    std::future::poll_fn(|context| {
        made += app.store.meter().take().2;
        if made >= calls {
            Poll::Ready(())
        } else {
            sync.as_mut().poll(context).map(drop)
        }
    })
    .await;
}
