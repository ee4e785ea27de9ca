//! Sync requests. A calendar's cursor counts them, and at most one message is in flight for each calendar.

use std::time::Duration;

use calweave_domain::calendar::{Calendar, CalendarSource, CalendarState, Cursor};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::WriteOutcome;
use calweave_store::channels::VerifiedNotification;
use calweave_store::queue::Job;
use futures::future::try_join_all;
use tracing::warn;

use crate::calendars::connected_calendar;
use crate::events::retry_edit;
use crate::{BackendError, Context, Error, Result};

/// Requests a sync: counts the request, and sends a message unless one is in flight. Returns the number of the request,
/// or `None` when the calendar does not exist. The message becomes visible to the worker after `delay` seconds.
pub async fn request_sync(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    delay: i32,
) -> Result<Option<u64>, BackendError> {
    let Some(counted) = context.store.request_sync(user, calendar).await? else {
        return Ok(None);
    };
    let job = Job::SyncCalendar {
        user_id: user,
        calendar_id: calendar,
    };
    if counted.send
        && let Err(error) = context.queue.send(&job, delay).await
    {
        context.store.sync_request_unsent(user, calendar).await?;
        return Err(error.into());
    }
    Ok(Some(counted.number))
}

/// Waits up to `limit` until a request is completed, and returns the calendar's cursor. `None` when the limit is
/// reached or the calendar does not exist.
pub async fn wait_for_sync(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    request: u64,
    limit: Duration,
) -> Result<Option<Cursor>, BackendError> {
    let waited = tokio::time::timeout(limit, async {
        let mut pause = Duration::from_millis(50);
        loop {
            match context.store.calendar(user, calendar).await? {
                Some(state) if state.cursor.completed < request => {}
                state => return Ok(state.map(|state| state.cursor)),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(Duration::from_secs(1));
        }
    });
    waited.await.unwrap_or(Ok(None))
}

/// Requests a sync that writes the edits of a calendar to its provider, and waits for it up to `limit`. A failure is
/// only logged: the edits are stored, and a later sync writes them.
pub async fn push_soon(context: &Context, user: UserId, calendar: CalendarId, limit: Duration) {
    let waited = async {
        match request_sync(context, user, calendar, 0)
            .await?
            .filter(|_| !limit.is_zero())
        {
            Some(request) => wait_for_sync(context, user, calendar, request, limit)
                .await
                .map(drop),
            None => Ok(()),
        }
    };
    if let Err(error) = waited.await {
        warn!(calendar.id = %calendar, "could not request a push of {calendar}: {error}");
    }
}

/// The outcome of a sync request for one calendar.
#[derive(Debug)]
pub struct RequestedSync {
    /// The calendar.
    pub calendar: CalendarId,
    /// The cursor: after the sync if it was completed, else before it.
    pub cursor: Cursor,
    /// Whether the sync was completed within the caller's time limit.
    pub is_completed: bool,
}

/// Requests a sync of a connected calendar, and waits for it up to `limit`; `None` does not wait.
///
/// # Errors
/// [`Error::NotFound`] when the calendar does not exist or is not connected.
pub async fn sync_one(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    limit: Option<Duration>,
) -> Result<RequestedSync> {
    let state = connected_calendar(context, user, calendar).await?;
    let request = request_sync(context, user, calendar, 0)
        .await?
        .ok_or(Error::NotFound)?;
    let completed = match limit {
        Some(limit) => wait_for_sync(context, user, calendar, request, limit).await?,
        None => None,
    };
    Ok(RequestedSync {
        calendar,
        is_completed: completed.is_some(),
        cursor: completed.unwrap_or(state.cursor),
    })
}

/// Requests a sync of all connected calendars, and waits for all of them up to `limit`; `None` does not wait. Returns
/// the number of connected calendars, and the syncs that were completed.
pub async fn sync_all(
    context: &Context,
    user: UserId,
    limit: Option<Duration>,
) -> Result<(usize, Vec<RequestedSync>)> {
    let states = context.store.calendars(user).await?;
    let connected = states.iter().filter(|state| state.calendar.is_connected);
    let ids: Vec<CalendarId> = connected.map(|state| state.calendar.id).collect();
    let completed = try_join_all(ids.iter().map(|id| async move {
        let request = request_sync(context, user, *id, 0).await?;
        let (Some(request), Some(limit)) = (request, limit) else {
            return Ok::<_, Error>(None);
        };
        let cursor = wait_for_sync(context, user, *id, request, limit).await?;
        Ok(cursor.map(|cursor| RequestedSync {
            calendar: *id,
            cursor,
            is_completed: true,
        }))
    }));
    Ok((ids.len(), completed.await?.into_iter().flatten().collect()))
}

/// Requests a full sync of all connected calendars. Unchanged events are not written again. Returns the number of
/// calendars.
pub async fn reset_all(context: &Context, user: UserId) -> Result<usize> {
    let mut count = 0;
    for state in context.store.calendars(user).await? {
        let calendar = state.calendar;
        if calendar.is_connected {
            context.store.reset_sync_state(user, calendar.id).await?;
            request_sync(context, user, calendar.id, 0).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Retries all failed edits in a user's writable calendars. Reads the hashes of all events of these calendars. Returns
/// the number of edits and the number of calendars.
pub async fn retry_all(context: &Context, user: UserId) -> Result<(usize, usize)> {
    let (mut retried, mut count) = (0, 0);
    for state in context.store.calendars(user).await? {
        let calendar = state.calendar;
        if !calendar.is_connected || !calendar.is_writable() {
            continue;
        }
        let stored = context.store.stored_event_hashes(user, calendar.id).await?;
        for failed in stored.into_iter().filter(|stored| stored.is_failed) {
            retried += usize::from(retry_edit(context, user, &failed.id).await?.is_some());
        }
        request_sync(context, user, calendar.id, 0).await?;
        count += 1;
    }
    Ok((retried, count))
}

/// Requests a sync of the calendar that a notification is about. The notification's body is not trusted: the sync reads
/// the changes from the provider.
pub async fn request_notified(
    context: &Context,
    notification: VerifiedNotification,
) -> Result<(), BackendError> {
    let (user, calendar) = (notification.user(), notification.calendar());
    request_sync(context, user, calendar, 0).await.map(drop)
}

/// Turns push for a calendar of an account on or off. If a channel could not be opened before, the next sync tries
/// again.
///
/// # Errors
/// [`Error::NotFound`] when the calendar does not exist, is not connected, or is a feed.
pub async fn set_watched(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    is_watched: bool,
) -> Result<()> {
    let calendar = connected_calendar(context, user, calendar).await?.calendar;
    let is_of_account = matches!(calendar.source, CalendarSource::Account(_));
    if is_of_account && mark_watched(context, &calendar, is_watched).await? {
        Ok(())
    } else {
        Err(Error::NotFound)
    }
}

/// Turns push on for all connected calendars of a user's accounts, requests their sync, and returns their number.
pub async fn watch_all(context: &Context, user: UserId) -> Result<usize> {
    let mut count = 0;
    for CalendarState { calendar, .. } in context.store.calendars(user).await? {
        let is_of_account = matches!(calendar.source, CalendarSource::Account(_));
        if calendar.is_connected && is_of_account && mark_watched(context, &calendar, true).await? {
            request_sync(context, user, calendar.id, 0).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Stores whether push is on. Returns false when the calendar does not exist.
async fn mark_watched(context: &Context, calendar: &Calendar, is_watched: bool) -> Result<bool> {
    let (store, user) = (&context.store, calendar.user_id);
    if store.set_watched(user, calendar.id, is_watched).await? == WriteOutcome::ConditionFailed {
        return Ok(false);
    }
    if is_watched {
        store.retry_channel(user, calendar.id).await?;
    }
    Ok(true)
}
