//! One sync of one calendar.
//!
//! Events are written before the cursor that records them, and the validators of a feed are cleared before the first write:
//! wherever a sync is interrupted, the next one finds what is missing and writes it.

use calweave_calendar::sync_requests::request_sync;
use calweave_domain::calendar::{Calendar, CalendarSource, CalendarState, Cursor, WrittenToday};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::WriteOutcome;
use calweave_store::cursors::SyncReport;
use calweave_store::leases::{LEASE_LIFETIME, Lease};
use calweave_store::queue::Job;
use chrono::{DateTime, TimeDelta};
use tracing::{error, info, warn};

use super::erase::release_disconnected;
use super::{SyncError, account, feed};
use crate::SyncContext;

/// The result of [`sync_calendar`].
#[derive(Clone, Debug)]
pub enum SyncOutcome {
    /// The sync was carried out; the cursor says whether it succeeded.
    Completed(Box<Cursor>),
    /// Another worker holds the lease. It syncs again while requests are open; if it is dead, a message does once the lease
    /// expires.
    Busy,
    /// The calendar does not exist, or is disconnected.
    Gone,
}

/// Syncs one calendar. A failure of the provider is recorded with the calendar and is no error.
///
/// # Errors
/// After an error the message should be received again.
pub async fn sync_calendar(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<SyncOutcome, SyncError> {
    let Some(mut lease) = context.store.acquire_lease(user, calendar).await? else {
        let Some(state) = context.store.calendar(user, calendar).await? else {
            return Ok(SyncOutcome::Gone);
        };
        ask_again(context, &state).await?;
        return Ok(SyncOutcome::Busy);
    };
    if lease.follows_interruption() {
        note_interruption(context, &mut lease).await?;
    }
    let state = context.store.calendar(user, calendar).await?;
    let Some(calendar) = state
        .map(|state| state.calendar)
        .filter(|calendar| calendar.is_connected)
    else {
        release_disconnected(context, lease, None).await?;
        return Ok(SyncOutcome::Gone);
    };
    let now = context.clock.now();
    if lease.follows_interruption() && lease.cursor().interruptions >= most_interruptions(&calendar)
    {
        // The next try is the last one before the calendar is set aside again.
        let still = most_interruptions(&calendar) - 1;
        let report = SyncReport::set_aside(now, SET_ASIDE_FOR, still);
        return finish(context, lease, &report).await;
    }
    if let Some(left) = lease.cursor().held_until.map(|until| until - now)
        && left > TimeDelta::zero()
    {
        return finish(context, lease, &SyncReport::postponed(now, left)).await;
    }
    let ended = match &calendar.source {
        CalendarSource::Feed(feed) => {
            Box::pin(feed::run(context, &mut lease, &calendar, feed)).await
        }
        CalendarSource::Account(account) => {
            Box::pin(account::run(context, &mut lease, &calendar, account)).await
        }
    };
    match ended {
        Ok(report) => {
            let report = count_written(context, &lease, report);
            finish(context, lease, &report).await
        }
        Err(error) => {
            // The next try need not wait for the lease to expire. Should this fail too, it does.
            drop(context.store.release_lease(lease).await);
            Err(error)
        }
    }
}

/// The interval of syncs of a calendar that has changed more than its quota of the day.
const SLOW_INTERVAL: TimeDelta = TimeDelta::hours(6);

/// Counts what a sync has written. After more than the quota of a day, the next sync has to wait.
fn count_written(context: &SyncContext, lease: &Lease, report: SyncReport) -> SyncReport {
    let Some(success) = &report.success else {
        return report;
    };
    let (id, now) = (lease.calendar(), context.clock.now());
    let written = WrittenToday::after(lease.cursor().written, now.date_naive(), &success.stats);
    let is_over = written.count > context.quotas.changes && !success.is_unfinished;
    if is_over {
        let count = written.count;
        warn!(calendar.id = %id, "{id} has changed {count} events today, more than its quota; it is synced less often");
    }
    let slow = is_over.then(|| now + SLOW_INTERVAL);
    SyncReport {
        written: Some(written),
        next_sync_at: slow.map_or(report.next_sync_at, |slow| report.next_sync_at.max(slow)),
        hold_until: report.hold_until.max(slow),
        ..report
    }
}

/// For how long a calendar is set aside whose syncs are killed.
const SET_ASIDE_FOR: TimeDelta = TimeDelta::hours(6);

/// Returns after how many runs in a row that were killed, and got no further, a calendar is set aside. A feed is read as a whole,
/// so a second run is killed by the same as the first. An account's calendar goes on where it was interrupted.
fn most_interruptions(calendar: &Calendar) -> u32 {
    match calendar.source {
        CalendarSource::Feed(_) => 2,
        CalendarSource::Account(_) => 10,
    }
}

/// Sends the message of an open request again for when the lease expires: its holder may be dead. A living holder that has
/// completed the request by then makes that message one that finds nothing new.
async fn ask_again(context: &SyncContext, state: &CalendarState) -> Result<(), SyncError> {
    let (calendar, cursor) = (&state.calendar, &state.cursor);
    if cursor.requested <= cursor.completed {
        return Ok(());
    }
    let until = cursor
        .leased_until
        .and_then(DateTime::from_timestamp_millis);
    let left = until.map_or(0, |until| (until - context.clock.now()).num_seconds());
    let job = Job::SyncCalendar {
        user_id: calendar.user_id,
        calendar_id: calendar.id,
    };
    let delay = i32::try_from(left.clamp(0, LEASE_LIFETIME.num_seconds()) + 1).unwrap_or(1);
    Ok(context.queue.send(&job, delay).await?)
}

/// Leaves word of a run that was killed: with the calendar, in the log, and for the operator if it has gone on for hours.
async fn note_interruption(context: &SyncContext, lease: &mut Lease) -> Result<(), SyncError> {
    let (id, cursor) = (lease.calendar(), lease.cursor());
    warn!(calendar.id = %id, "the last sync of {id} was interrupted");
    let last = cursor.last_synced_at;
    if last.is_some_and(|last| context.clock.now() - last > account::STALE_AFTER) {
        error!(calendar.id = %id, alarm = "stale-calendar", "{id} has not been synced for hours: its syncs are interrupted");
    }
    match context.store.record_interruption(lease).await? {
        WriteOutcome::Written => Ok(()),
        WriteOutcome::ConditionFailed => Err(SyncError::LeaseLost),
    }
}

async fn finish(
    context: &SyncContext,
    lease: Lease,
    report: &SyncReport,
) -> Result<SyncOutcome, SyncError> {
    let (user, calendar) = (lease.user(), lease.calendar());
    let cursor = context
        .store
        .finish_sync(lease, report)
        .await?
        .ok_or(SyncError::LeaseLost)?;
    let stats = cursor.stats;
    info!(
        calendar.id = %calendar, sync.status = ?cursor.status, sync.created = stats.created, sync.updated = stats.updated,
        sync.deleted = stats.deleted, sync.unchanged = stats.unchanged, "synced {calendar}"
    );
    if report.is_postponed() {
        request_sync(context, user, calendar, report.again_in.unwrap_or(0)).await?;
    } else if cursor.requested > cursor.completed {
        // Requested while this sync was at work: what it read may be older than the request.
        request_sync(context, user, calendar, 0).await?;
    } else if let Some(seconds) = report.again_in {
        request_sync(context, user, calendar, seconds).await?;
    }
    Ok(SyncOutcome::Completed(Box::new(cursor)))
}
