//! One sync of one calendar.
//!
//! Events are written before the cursor that stands for them, and what the cursor compares with is forgotten before
//! the first of them: wherever a run is interrupted, the next one finds out what is missing and writes that.

use calweave_calendar::sync_requests::request_sync;
use calweave_domain::calendar::{Calendar, CalendarSource, Cursor};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::cursors::SyncReport;
use calweave_store::leases::Lease;
use chrono::TimeDelta;
use tracing::info;

use super::{SyncError, account, feed};
use crate::SyncContext;

/// What came of [`sync_calendar`].
#[derive(Clone, Debug)]
pub enum SyncOutcome {
    /// It was carried out; the cursor says with what success.
    Completed(Box<Cursor>),
    /// Somebody else is at it, and will go on while anything is wanted.
    Busy,
    /// There is no such calendar, or it was disconnected.
    Gone,
}

/// Brings one calendar up to date. A failure of the provider is written down with the calendar and is no error.
///
/// # Errors
/// When a table, the vault or the queue does not answer: then the message should come again.
pub async fn sync_calendar(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<SyncOutcome, SyncError> {
    let Some(mut lease) = context.store.acquire_lease(user, calendar).await? else {
        return Ok(if context.store.calendar(user, calendar).await?.is_some() {
            SyncOutcome::Busy
        } else {
            SyncOutcome::Gone
        });
    };
    let state = context.store.calendar(user, calendar).await?;
    let Some(calendar) = state
        .map(|state| state.calendar)
        .filter(|calendar| calendar.is_connected)
    else {
        context.store.finish_disconnected(lease).await?;
        return Ok(SyncOutcome::Gone);
    };
    let ended = match &calendar.source {
        CalendarSource::Feed(feed) => {
            Box::pin(feed::run(context, &mut lease, &calendar, feed)).await
        }
        CalendarSource::Account(account) => {
            Box::pin(account::run(context, &mut lease, &calendar, account)).await
        }
    };
    match ended {
        Ok(report) => finish(context, lease, &report).await,
        Err(error) => {
            // So that whoever tries next need not wait; should this fail too, the lease ends by itself.
            drop(context.store.release_lease(lease).await);
            Err(error)
        }
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
        // Asked for while this one was under way: what it read may have been older than the wish.
        request_sync(context, user, calendar, 0).await?;
    } else if let Some(seconds) = report.again_in {
        request_sync(context, user, calendar, seconds).await?;
    }
    Ok(SyncOutcome::Completed(Box::new(cursor)))
}

/// A little more than `interval`, by up to a tenth and always the same for a calendar, so that not all are due at once.
pub(super) fn with_jitter(interval: TimeDelta, calendar: &Calendar) -> TimeDelta {
    let share = calendar
        .id
        .to_bytes()
        .iter()
        .fold(0_i32, |sum, byte| (sum * 31 + i32::from(*byte)) % 1000);
    interval + interval * share / 10_000
}
