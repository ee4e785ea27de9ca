//! One sync of one calendar.
//!
//! Events are written before the cursor that stands for them, and what the cursor compares with is forgotten before
//! the first of them: wherever a run is interrupted, the next one finds out what is missing and writes that.

use std::time::Duration;

use chrono::TimeDelta;
use tracing::{info, warn};

use super::{SyncError, account, feed};
use crate::app::App;
use crate::domain::calendar::{Calendar, Cursor, Source};
use crate::domain::ids::{CalendarId, UserId};
use crate::queue::Job;
use crate::store::cursors::{Ending, Lease};

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

/// Asks for a sync: counts the wish, and sends a message unless one is under way. Answers with the number of the wish,
/// or `None` when there is no such calendar.
///
/// # Errors
/// When a table or the queue does not answer.
pub async fn request_sync(
    app: &App,
    user: UserId,
    calendar: CalendarId,
    delay: i32,
) -> Result<Option<u64>, SyncError> {
    let Some(wish) = app.store.wish_for_sync(user, calendar).await? else {
        return Ok(None);
    };
    if wish.send
        && let Err(error) = app
            .queue
            .send(
                &Job::SyncCalendar {
                    user_id: user,
                    calendar_id: calendar,
                },
                delay,
            )
            .await
    {
        app.store.wish_was_unheard(user, calendar).await?;
        return Err(error.into());
    }
    Ok(Some(wish.number))
}

/// Waits until a wish is answered, at most `limit`. Answers with the calendar's cursor as it then is.
///
/// # Errors
/// When a table does not answer.
pub async fn wait_for(
    app: &App,
    user: UserId,
    calendar: CalendarId,
    wish: u64,
    limit: Duration,
) -> Result<Option<Cursor>, SyncError> {
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

/// Has what was changed here written, and waits a while for that. The change is stored: where nobody can be asked, the
/// schedule has it written later.
pub async fn push_soon(app: &App, user: UserId, calendar: CalendarId, limit: Duration) {
    let waited = async {
        match request_sync(app, user, calendar, 0)
            .await?
            .filter(|_| !limit.is_zero())
        {
            Some(wish) => wait_for(app, user, calendar, wish, limit).await.map(drop),
            None => Ok(()),
        }
    };
    if let Err(error) = waited.await {
        warn!(calendar.id = %calendar, "nobody could be asked to write the changes of {calendar}: {error}");
    }
}

/// Brings one calendar up to date. A failure of the provider is written down with the calendar and is no error.
///
/// # Errors
/// When a table, the vault or the queue does not answer: then the message should come again.
pub async fn sync_calendar(
    app: &App,
    user: UserId,
    calendar: CalendarId,
) -> Result<Synced, SyncError> {
    let Some(mut lease) = app.store.lease(user, calendar).await? else {
        return Ok(if app.store.calendar(user, calendar).await?.is_some() {
            Synced::Busy
        } else {
            Synced::Gone
        });
    };
    let state = app.store.calendar(user, calendar).await?;
    let Some(calendar) = state
        .map(|state| state.calendar)
        .filter(|calendar| calendar.is_connected)
    else {
        app.store.end_disconnected(lease).await?;
        return Ok(Synced::Gone);
    };
    let ended = match &calendar.source {
        Source::Feed(feed) => Box::pin(feed::run(app, &mut lease, &calendar, feed)).await,
        Source::Account(account) => {
            Box::pin(account::run(app, &mut lease, &calendar, account)).await
        }
    };
    match ended {
        Ok(ending) => finish(app, lease, &ending).await,
        Err(error) => {
            // So that whoever tries next need not wait; should this fail too, the lease ends by itself.
            drop(app.store.drop_lease(lease).await);
            Err(error)
        }
    }
}

async fn finish(app: &App, lease: Lease, ending: &Ending) -> Result<Synced, SyncError> {
    let (user, calendar) = (lease.user(), lease.calendar());
    let cursor = app
        .store
        .end_sync(lease, ending)
        .await?
        .ok_or(SyncError::LeaseLost)?;
    let stats = cursor.stats;
    info!(
        calendar.id = %calendar, sync.status = ?cursor.status, sync.created = stats.created, sync.updated = stats.updated,
        sync.deleted = stats.deleted, sync.unchanged = stats.unchanged, "synced {calendar}"
    );
    if ending.is_postponed() {
        request_sync(app, user, calendar, ending.again_in.unwrap_or(0)).await?;
    } else if cursor.wanted > cursor.done {
        // Asked for while this one was under way: what it read may have been older than the wish.
        request_sync(app, user, calendar, 0).await?;
    } else if let Some(seconds) = ending.again_in {
        request_sync(app, user, calendar, seconds).await?;
    }
    Ok(Synced::Done(Box::new(cursor)))
}

/// A little more than `interval`, by up to a tenth and always the same for a calendar, so that not all are due at once.
pub(super) fn spread(interval: TimeDelta, calendar: &Calendar) -> TimeDelta {
    let share = calendar
        .id
        .to_bytes()
        .iter()
        .fold(0_i32, |sum, byte| (sum * 31 + i32::from(*byte)) % 1000);
    interval + interval * share / 10_000
}
