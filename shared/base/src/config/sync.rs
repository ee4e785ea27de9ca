//! Settings for syncing calendars and feeds.

use chrono::TimeDelta;

use super::Environment;

/// The time window in which calendars of linked accounts are synced.
#[derive(Clone, Copy, Debug)]
pub struct SyncWindow {
    /// How far the window reaches back at a calendar's first sync.
    pub past: TimeDelta,
    /// How far the window reaches ahead of the current time. This end moves forward with time.
    pub future: TimeDelta,
}

impl SyncWindow {
    /// Reads `SYNC_PAST_DAYS` (default 30) and `SYNC_FUTURE_DAYS` (default 365), each from 1 to 3650.
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

/// Which hosts feeds may be fetched from.
#[derive(Clone, Copy, Debug)]
pub struct FeedsConfig {
    /// Whether feeds may be fetched from loopback addresses, over plain HTTP. For development only.
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

/// How much one run of a scheduled job does.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleConfig {
    /// How many due calendars one run requests; the next run finds the rest still due.
    pub calendars_per_run: usize,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            calendars_per_run: 120_000,
        }
    }
}

impl ScheduleConfig {
    /// Reads `CALENDARS_PER_RUN` (default 120,000), from 1 to 1,000,000.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let name = "CALENDARS_PER_RUN";
        let Some(text) = env.optional(name) else {
            return Self::default();
        };
        let read = text.parse().ok();
        let read = read.filter(|count| (1..=1_000_000).contains(count));
        let calendars_per_run = read.unwrap_or_else(|| {
            env.report(format!("{name} is not a number from 1 to 1000000"));
            1
        });
        Self { calendars_per_run }
    }
}
