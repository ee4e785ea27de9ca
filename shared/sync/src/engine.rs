//! One sync of one calendar.
//!
//! Events are written before the cursor that records them, and the validators of a feed are cleared before the first write:
//! wherever a sync is interrupted, the next one finds what is missing and writes it.

use calweave_calendar::sync_requests::request_sync;
use calweave_domain::calendar::{CalendarSource, Cursor};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::cursors::SyncReport;
use calweave_store::leases::Lease;
use tracing::info;

use super::{SyncError, account, feed};
use crate::SyncContext;

/// The result of [`sync_calendar`].
#[derive(Clone, Debug)]
pub enum SyncOutcome {
    /// The sync was carried out; the cursor says whether it succeeded.
    Completed(Box<Cursor>),
    /// Another worker holds the lease. It syncs again while requests are open.
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
            // The next try need not wait for the lease to expire. Should this fail too, it does.
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
        // Requested while this sync was at work: what it read may be older than the request.
        request_sync(context, user, calendar, 0).await?;
    } else if let Some(seconds) = report.again_in {
        request_sync(context, user, calendar, seconds).await?;
    }
    Ok(SyncOutcome::Completed(Box::new(cursor)))
}
