//! What is read of calendars and feeds.

use chrono::TimeDelta;

use super::Environment;

/// How far back and ahead the calendars of accounts are read.
#[derive(Clone, Copy, Debug)]
pub struct SyncWindow {
    /// Before the first sync.
    pub past: TimeDelta,
    /// From the current time on; it moves along.
    pub future: TimeDelta,
}

impl SyncWindow {
    /// Reads `SYNC_PAST_DAYS` and `SYNC_FUTURE_DAYS`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let mut days = |name: &str, default: i64| {
            let read = env.optional(name).map_or(Ok(default), |text| text.parse());
            let days = read.ok().filter(|days| (1..=3650).contains(days));
            TimeDelta::days(days.unwrap_or_else(|| {
                env.report(format!("{name} is not a number of days from 1 to 3650"));
                default
            }))
        };
        Self {
            past: days("SYNC_PAST_DAYS", 30),
            future: days("SYNC_FUTURE_DAYS", 365),
        }
    }
}

/// Where feeds may come from.
#[derive(Clone, Copy, Debug)]
pub struct FeedsConfig {
    /// Whether feeds may come from this very machine, over plain HTTP. For development only.
    pub allow_loopback: bool,
}

impl FeedsConfig {
    /// Reads `ALLOW_LOOPBACK_FEEDS`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        Self {
            allow_loopback: env.is_on("ALLOW_LOOPBACK_FEEDS"),
        }
    }
}
