//! One sync of one calendar.
//!
//! Events are written before the cursor that stands for them, and what the cursor compares with is forgotten before
//! the first of them: wherever a run is interrupted, the next one finds out what is missing and writes that.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use tracing::{info, warn};

use super::SyncError;
use super::plan::{Plan, Remote, plan};
use crate::app::App;
use crate::domain::calendar::{Calendar, Cursor, SyncStats, Validators};
use crate::domain::ids::{CalendarId, UserId};
use crate::providers::ics::address::{self, BadAddress, Policy};
use crate::providers::ics::fetch::{FetchError, Fetched, fetch};
use crate::providers::ics::{self, Feed, ReadFor};
use crate::queue::Job;
use crate::store::Outcome;
use crate::store::cursors::{Ending, Lease, Success};
use crate::store::events::{BATCH, EventWrite};
use crate::vault::{FEED_URL, Place};

/// What came of [`sync_calendar`].
#[derive(Clone, Debug)]
pub enum Synced {
    /// It was carried out; the cursor says with what success.
    Done(Box<Cursor>),
    /// Somebody else is at it, and will go on while anything is wanted.
    Busy,
    /// There is no such calendar, or it was disconnected.
    Gone,
}

/// The shortest and the longest time between two syncs of a feed, whatever its producer says.
const SOONEST: TimeDelta = TimeDelta::minutes(15);
const LATEST: TimeDelta = TimeDelta::hours(24);

/// Asks for a sync: counts the wish, and sends a message unless one is under way. Answers with the number of the wish,
/// or `None` when there is no such calendar.
///
/// # Errors
/// When a table or the queue does not answer.
pub async fn request_sync(app: &App, user: UserId, calendar: CalendarId, delay: i32) -> Result<Option<u64>, SyncError> {
    let Some(wish) = app.store.wish_for_sync(user, calendar).await? else { return Ok(None) };
    if wish.send {
        app.queue.send(&Job::SyncCalendar { user_id: user, calendar_id: calendar }, delay).await?;
    }
    Ok(Some(wish.number))
}

/// Waits until a wish is answered, at most `limit`. Answers with the calendar's cursor as it then is.
///
/// # Errors
/// When a table does not answer.
pub async fn wait_for(app: &App, user: UserId, calendar: CalendarId, wish: u64, limit: Duration) -> Result<Option<Cursor>, SyncError> {
    let waited = tokio::time::timeout(limit, async {
        let mut pause = Duration::from_millis(50);
        loop {
            match app.store.calendar(user, calendar).await? {
                Some(state) if state.cursor.done < wish => {}
                state => return Ok(state.map(|state| state.cursor)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    });
    waited.await.unwrap_or(Ok(None))
}

/// Brings one calendar up to date. A failure of the provider is written down with the calendar and is no error.
///
/// # Errors
/// When a table, the vault or the queue does not answer: then the message should come again.
pub async fn sync_calendar(app: &App, user: UserId, calendar: CalendarId) -> Result<Synced, SyncError> {
    let Some(lease) = app.store.lease(user, calendar).await? else {
        return Ok(if app.store.calendar(user, calendar).await?.is_some() { Synced::Busy } else { Synced::Gone });
    };
    let state = app.store.calendar(user, calendar).await?;
    let Some(calendar) = state.map(|state| state.calendar).filter(|calendar| calendar.is_connected) else {
        app.store.end_disconnected(lease).await?;
        return Ok(Synced::Gone);
    };
    let zone = app.store.user(user).await?.map_or(Tz::UTC, |user| user.timezone);
    let started = app.clock.now();
    let known = Some(lease.cursor().validators.clone()).filter(|known| known.feed.as_ref() == Some(&calendar.feed_fingerprint));
    let known = known.unwrap_or_default();
    let (lease, ending) = match pull(app, &calendar, zone, &known).await? {
        Ok(None) => {
            let interval = lease.cursor().refresh_seconds.map_or(SOONEST, TimeDelta::seconds);
            (lease, unchanged(started + spread(interval, &calendar)))
        }
        Ok(Some((feed, validators))) => {
            let validators = Validators { feed: Some(calendar.feed_fingerprint.clone()), ..validators };
            write(app, lease, &calendar, feed, validators).await?
        }
        Err(failure) => {
            let next = started + retry_in(&failure, lease.cursor().failures);
            warn!(calendar.id = %calendar.id, "sync of {} failed: {failure}", calendar.id);
            (lease, Ending { success: None, error: Some(failure.to_string()), next_sync_at: next })
        }
    };
    finish(app, lease, &ending).await
}

async fn finish(app: &App, lease: Lease, ending: &Ending) -> Result<Synced, SyncError> {
    let (user, calendar, before) = (lease.user(), lease.calendar(), lease.cursor().clone());
    let ending = match &ending.success {
        // "Unchanged" says nothing about how many there are: that stays as it was.
        Some(success) if success.validators.is_none() => {
            let total = before.event_count;
            let stats = SyncStats { total, unchanged: total, ..SyncStats::default() };
            &Ending { success: Some(Success { stats, ..success.clone() }), ..ending.clone() }
        }
        _ => ending,
    };
    let cursor = app.store.end_sync(lease, ending).await?.ok_or(SyncError::LeaseLost)?;
    let stats = cursor.stats;
    info!(
        calendar.id = %calendar, sync.status = ?cursor.status, sync.created = stats.created, sync.updated = stats.updated,
        sync.deleted = stats.deleted, sync.unchanged = stats.unchanged, "synced {calendar}"
    );
    if cursor.wanted > cursor.done {
        // Asked for while this one was under way: what it read may have been older than the wish.
        request_sync(app, user, calendar, 0).await?;
    }
    Ok(Synced::Done(Box::new(cursor)))
}

/// Why a feed could not be read, in words for its owner.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Content(#[from] ics::NotACalendar),
    #[error("the feed's address is not stored any more; connect it again")]
    AddressLost,
    #[error("{0}")]
    Address(#[from] BadAddress),
    #[error("the feed could not be read")]
    Crashed,
}

type Pulled = Result<Option<(Feed, Validators)>, Failure>;

/// Fetches and reads the feed; `Ok(None)` when it is as it was.
async fn pull(app: &App, calendar: &Calendar, zone: Tz, known: &Validators) -> Result<Pulled, SyncError> {
    let place = Place { user: calendar.user_id, connection: calendar.connection_id, field: FEED_URL };
    let Some(address) = app.vault.get(place).await? else { return Ok(Err(Failure::AddressLost)) };
    let policy = Policy { loopback: app.config.allow_loopback_feeds };
    let target = ReadFor { calendar: calendar.id, zone, now: app.clock.now() };
    Ok(read_feed(address.expose(), known, policy, target).await)
}

async fn read_feed(address: &str, known: &Validators, policy: Policy, target: ReadFor) -> Pulled {
    let url = address::parse(address, policy)?;
    let Fetched::Body { bytes, charset, mut validators } = fetch(&url, known, policy).await? else { return Ok(None) };
    // Reading ten megabytes takes a moment; other messages go on meanwhile, and a panic stays in there.
    let feed = tokio::task::spawn_blocking(move || ics::read(&bytes, charset.as_deref(), target)).await.map_err(|_| Failure::Crashed)??;
    validators.content_hash = Some(feed.content_hash());
    Ok(Some((feed, validators)))
}

/// Writes what has changed.
async fn write(
    app: &App,
    mut lease: Lease,
    calendar: &Calendar,
    feed: Feed,
    mut validators: Validators,
) -> Result<(Lease, Ending), SyncError> {
    let interval = feed.refresh.unwrap_or(SOONEST).clamp(SOONEST, LATEST);
    let refresh_seconds = Some(interval.num_seconds());
    let next_sync_at = app.clock.now() + spread(interval, calendar);
    let content_hash = validators.content_hash.clone().unwrap_or_default();
    let known = &lease.cursor().validators;
    let mut warnings = feed.warnings.into_vec();
    if feed.complete && known.content_hash.as_ref() == Some(&content_hash) {
        // Another file, but the same events: a producer that stamps or shuffles them anew on each fetch.
        let total = lease.cursor().event_count;
        let stats = SyncStats { total, unchanged: total, ..SyncStats::default() };
        let success = Success { validators: Some(validators), refresh_seconds, suspect: None, warnings: Some(warnings), stats };
        return Ok((lease, Ending { success: Some(success), error: None, next_sync_at }));
    }
    let stored = app.store.stored_hashes(calendar.user_id, calendar.id).await?;
    let stored: HashMap<_, _> = stored.into_iter().map(|stored| (stored.id, stored.content_hash)).collect();
    let remote = Remote { events: &feed.events, complete: feed.complete, content_hash: &content_hash };
    let plan = plan(stored, remote, lease.cursor().suspect.as_deref());
    carry_out(app, &mut lease, &plan).await?;
    if plan.suspect.is_some() {
        warnings.push("The feed suddenly lacks most of its events; they are kept until it says so a second time.".to_owned());
    }
    if plan.suspect.is_some() || !feed.complete {
        // Ask again in full next time.
        validators = Validators::default();
    }
    let success =
        Success { validators: Some(validators), refresh_seconds, suspect: plan.suspect, warnings: Some(warnings), stats: plan.stats };
    Ok((lease, Ending { success: Some(success), error: None, next_sync_at }))
}

async fn carry_out(app: &App, lease: &mut Lease, plan: &Plan<'_>) -> Result<(), SyncError> {
    let puts = plan.puts.iter().map(|event| EventWrite::Put(event));
    let writes: Vec<EventWrite<'_>> = puts.chain(plan.deletes.iter().map(EventWrite::Delete)).collect();
    if writes.is_empty() {
        return Ok(());
    }
    if app.store.begin_writes(lease).await? == Outcome::Refused {
        return Err(SyncError::LeaseLost);
    }
    // A few batches at once: DynamoDB takes them side by side, and the lease is looked at before each handful.
    for handful in writes.chunks(BATCH * 8) {
        if app.store.keep_lease(lease).await? == Outcome::Refused {
            return Err(SyncError::LeaseLost);
        }
        let user = lease.user();
        futures::future::try_join_all(handful.chunks(BATCH).map(|batch| app.store.write_events(user, batch))).await?;
    }
    Ok(())
}

fn unchanged(next_sync_at: DateTime<Utc>) -> Ending {
    let success = Success { validators: None, refresh_seconds: None, suspect: None, warnings: None, stats: SyncStats::default() };
    Ending { success: Some(success), error: None, next_sync_at }
}

/// A little more than `interval`, by up to a tenth and always the same for a calendar, so that not all are due at once.
fn spread(interval: TimeDelta, calendar: &Calendar) -> TimeDelta {
    let share = calendar.id.to_bytes().iter().fold(0_i32, |sum, byte| (sum * 31 + i32::from(*byte)) % 1000);
    interval + interval * share / 10_000
}

/// When to ask again after a failure: later each time, but within a day, and not before the server wants it.
fn retry_in(failure: &Failure, failures: u32) -> TimeDelta {
    let backoff = (SOONEST * (1 << failures.min(7))).min(LATEST);
    match failure {
        Failure::Fetch(FetchError::Status { retry_after: Some(seconds), .. }) => {
            TimeDelta::seconds((*seconds).clamp(0, 86_400)).max(SOONEST)
        }
        _ => backoff,
    }
}
