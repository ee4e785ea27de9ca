//! The test harness: the stack with its gateway ([`World`]), a feed server, and the sandbox of each provider with one
//! account ([`ProviderHarness`]).

pub mod account;
pub mod feeds;
pub mod google;
pub mod microsoft;
mod provider;
mod world;

use std::sync::OnceLock;

use chrono::TimeDelta;
use local::stack::Options;
use shared::clock::Clock;

pub use provider::{
    EventChange, InjectedFault, ProviderHarness, RemoteSnapshot, browser, token_in,
};
pub use world::{Answer, PASSWORD, Person, World};

/// Returns a clock that runs, from the same date in each run: shortly before the events of the tests.
pub fn clock() -> Clock {
    static AHEAD: OnceLock<TimeDelta> = OnceLock::new();
    let ahead = AHEAD.get_or_init(|| {
        let date: chrono::DateTime<chrono::Utc> = "2026-12-15T09:00:00Z".parse().unwrap();
        date - Clock::System.now()
    });
    Clock::System.ahead(*ahead)
}

/// Returns a clock that is moved by hand, and the options of a stack with it whose worker only runs on `Stack::work`.
pub fn options_by_hand(start: &str) -> (Options, Clock) {
    let clock = Clock::manual(start.parse().unwrap());
    let options = Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    };
    (options, clock)
}

/// Returns the options of a stack with this clock.
pub fn options() -> Options {
    Options {
        clock: clock(),
        ..Options::default()
    }
}
