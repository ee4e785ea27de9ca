//! What a user has used of the quotas.

use calweave_base::config::Quotas;
use calweave_domain::calendar::CalendarState;
use calweave_domain::digest::digest_of;
use calweave_domain::ids::UserId;
use calweave_store::counters::DAY_SECONDS;

use crate::calendars::CalendarsById;
use crate::{Context, Error, Result};

/// Name of the counter of connected feeds.
const FEED_CONNECTS: &str = "feed-connects";

/// What a user has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of connected calendars.
    pub calendars: u64,
    /// Number of stored events in them.
    pub events: u64,
    /// Number of feeds that were connected today (UTC).
    pub feed_connects: u64,
}

/// Returns what a user has used. Costs one query and one read, made at once.
pub async fn usage(context: &Context, user: UserId) -> Result<Usage> {
    let store = &context.store;
    let today = today(context);
    let subject = subject(user);
    let connects = store.counted_calls(FEED_CONNECTS, &subject, today);
    let (all, feed_connects) = tokio::try_join!(store.calendars(user), connects)?;
    let connected = all.iter().filter(|state| state.calendar.is_connected);
    let (calendars, events) = sum(connected);
    Ok(Usage {
        calendars,
        events,
        feed_connects,
    })
}

/// Checks that a user may connect some more calendars. Two requests at once may exceed a quota by what one of them connects.
///
/// # Errors
/// [`Error::Quota`].
pub(crate) fn check_calendars(
    quotas: &Quotas,
    connected: &CalendarsById,
    more: usize,
) -> Result<()> {
    let (calendars, events) = sum(connected.values());
    if calendars + more as u64 > quotas.calendars {
        let most = quotas.calendars;
        return Err(Error::Quota(format!(
            "at most {most} calendars can be connected, and {calendars} are; disconnect some first"
        )));
    }
    if more > 0 && events >= quotas.events {
        let most = quotas.events;
        return Err(Error::Quota(format!(
            "at most {most} events can be stored, and {events} are; disconnect some calendars first"
        )));
    }
    Ok(())
}

/// Counts the connecting of a feed.
///
/// # Errors
/// [`Error::Quota`] when as many have been connected today as may be.
pub(crate) async fn count_feed_connect(
    context: &Context,
    quotas: &Quotas,
    user: UserId,
) -> Result<()> {
    let (subject, today) = (subject(user), today(context));
    let store = &context.store;
    let count = store.count_calls(FEED_CONNECTS, &subject, today, DAY_SECONDS, 1);
    if count.await? <= quotas.feed_connects {
        return Ok(());
    }
    let most = quotas.feed_connects;
    let message =
        format!("at most {most} feeds can be connected in a day; try again tomorrow (UTC)");
    Err(Error::Quota(message))
}

fn sum<'a>(states: impl Iterator<Item = &'a CalendarState>) -> (u64, u64) {
    states.fold((0, 0), |(calendars, events), state| {
        (calendars + 1, events + u64::from(state.cursor.event_count))
    })
}

/// Returns the subject of a user's counters. They outlive a deleted account by a day, so they do not name it.
fn subject(user: UserId) -> String {
    digest_of(user.to_string().as_bytes())
}

/// Returns the start of this day (UTC), in Unix seconds.
fn today(context: &Context) -> i64 {
    let now = context.clock.now().timestamp();
    now - now.rem_euclid(DAY_SECONDS)
}
