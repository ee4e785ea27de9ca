//! What one user may use.

use super::Environment;

/// What one user may use. A request beyond a quota is refused; a calendar that changes more than its quota is synced less
/// often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Number of connected calendars, feeds included.
    pub calendars: u64,
    /// Number of stored events in all connected calendars, from which on no further calendar can be connected. A series
    /// counts as one event.
    pub events: u64,
    /// Number of feeds connected in one day (UTC), whether or not they have been disconnected since.
    pub feed_connects: u64,
    /// Number of events of one calendar that syncs write in one day (UTC), after which the calendar is synced every six hours
    /// for the rest of the day. An event takes two write units.
    pub changes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            calendars: 50,
            events: 200_000,
            feed_connects: 50,
            changes: 100_000,
        }
    }
}

impl Quotas {
    /// Reads `CALENDARS_QUOTA`, `EVENTS_QUOTA`, `FEED_CONNECTS_QUOTA` and `CHANGES_QUOTA`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let mut quota = |name: &str, default: u64| {
            let read = env.optional(name).map_or(Ok(default), |text| text.parse());
            read.unwrap_or_else(|_| {
                env.report(format!("{name} is not a number"));
                default
            })
        };
        let default = Self::default();
        Self {
            calendars: quota("CALENDARS_QUOTA", default.calendars),
            events: quota("EVENTS_QUOTA", default.events),
            feed_connects: quota("FEED_CONNECTS_QUOTA", default.feed_connects),
            changes: quota("CHANGES_QUOTA", default.changes),
        }
    }
}
