//! Removes what belonged to a calendar or a person: at once for them, in bounded steps for the tables.

use super::engine::request_sync;
use std::time::Duration;

use tracing::warn;

use super::{SyncError, account};
use crate::app::App;
use crate::domain::account::User;
use crate::domain::calendar::{Calendar, Source};
use crate::domain::connection::ConnectionStatus;
use crate::domain::ids::{CalendarId, UserId};
use crate::error_chain::Chain;
use crate::queue::Job;
use crate::store::calendars::Table;
use crate::store::erasures::Due;
use crate::store::{Outcome, StoreError};
use crate::vault::{FEED_URL, Place};

/// Items that one step removes.
const STEP: i32 = 500;
/// Steps of one message: well within the time a worker has; what is left is asked for anew.
const STEPS: usize = 10;

/// How long the providers may take to be told that an account has ended here.
const REVOKING: Duration = Duration::from_secs(5);

/// Disconnects a calendar: a feed's address is gone when this returns; events, channels, and the grant of an account that
/// this was the last calendar of, soon after. Refused when it is not connected.
///
/// # Errors
/// When a table, the vault or the queue does not answer.
pub async fn disconnect(app: &App, calendar: &Calendar) -> Result<Outcome, SyncError> {
    let due = Due {
        user_id: calendar.user_id,
        calendar_id: Some(calendar.id),
    };
    // Noted before anything else, so that a half-done disconnect is finished by the job.
    app.store.begin_erasure(&due).await?;
    let outcome = app
        .store
        .set_connected(calendar.user_id, calendar.id, false)
        .await?;
    if matches!(calendar.source, Source::Feed(_)) {
        app.vault
            .remove(Place {
                user: calendar.user_id,
                connection: calendar.connection_id,
                field: FEED_URL,
            })
            .await?;
    }
    app.queue
        .send(
            &Job::EraseCalendar {
                user_id: calendar.user_id,
                calendar_id: calendar.id,
            },
            0,
        )
        .await?;
    Ok(outcome)
}

/// Removes the events of a disconnected calendar. Works under the calendar's lease, so it never meets a sync.
///
/// # Errors
/// When a table or the queue does not answer: then the message should come again.
pub async fn erase_calendar(
    app: &App,
    user: UserId,
    calendar: CalendarId,
) -> Result<(), SyncError> {
    let due = Due {
        user_id: user,
        calendar_id: Some(calendar),
    };
    let Some(state) = app.store.calendar(user, calendar).await? else {
        return Ok(app.store.end_erasure(&due).await?);
    };
    if state.calendar.is_connected {
        // Revived meanwhile: the next sync knows what to keep.
        return Ok(app.store.end_erasure(&due).await?);
    }
    let Some(mut lease) = app.store.lease(user, calendar).await? else {
        // A sync is at work; it will find the calendar disconnected.
        return Ok(app
            .queue
            .send(
                &Job::EraseCalendar {
                    user_id: user,
                    calendar_id: calendar,
                },
                30,
            )
            .await?);
    };
    if let Some(channel) = &state.cursor.channel {
        account::leave(app, &state.calendar, channel).await?;
    }
    for _ in 0..STEPS {
        if app.store.keep_lease(&mut lease).await? == Outcome::Refused {
            return Err(SyncError::LeaseLost);
        }
        let edits = app.store.erase_edits(user, calendar, STEP).await?
            && app.store.erase_aliases(user, calendar, STEP).await?;
        if app.store.erase_events(user, calendar, STEP).await? && edits {
            let is_settled = match state.calendar.source {
                Source::Account(_) => {
                    account::unlink_unused(app, user, state.calendar.connection_id).await?
                }
                Source::Feed(_) => true,
            };
            let cursor = app.store.end_disconnected(lease).await?;
            if is_settled {
                app.store.end_erasure(&due).await?;
            }
            if cursor.is_some_and(|cursor| cursor.wanted > cursor.done) {
                request_sync(app, user, calendar, 0).await?;
            }
            return Ok(());
        }
    }
    app.store.end_disconnected(lease).await?;
    Ok(app
        .queue
        .send(
            &Job::EraseCalendar {
                user_id: user,
                calendar_id: calendar,
            },
            0,
        )
        .await?)
}

/// Ends an account. When this returns, no token of it works, its address is free, and its secrets are shredded; what
/// else is stored goes soon after.
///
/// # Errors
/// When a table, the vault or the queue does not answer.
pub async fn request_account_erasure(app: &App, user: &User) -> Result<(), SyncError> {
    app.store
        .begin_erasure(&Due {
            user_id: user.id,
            calendar_id: None,
        })
        .await?;
    app.store.close_account(user).await?;
    app.store.end_all_sessions(user.id).await?;
    // While the grants can still be read. The account ends whether or not the providers answer.
    match tokio::time::timeout(REVOKING, account::revoke_all(app, user.id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            warn!(error.chain = %Chain(&error), "could not give the grants of {} back: {}", user.id, Chain(&error));
        }
        Err(_) => warn!("gave up giving the grants of {} back", user.id),
    }
    app.vault.shred(user.id).await?;
    Ok(app
        .queue
        .send(&Job::EraseAccount { user_id: user.id }, 0)
        .await?)
}

/// Removes what is left of an account, as far as one message reaches.
///
/// # Errors
/// When a table or the queue does not answer: then the message should come again.
pub async fn erase_account(app: &App, user: UserId) -> Result<(), SyncError> {
    if app.store.user(user).await?.is_some() {
        // Interrupted before the account was closed: its owner still has it and can ask again.
        return Ok(app
            .store
            .end_erasure(&Due {
                user_id: user,
                calendar_id: None,
            })
            .await?);
    }
    let mut steps = STEPS;
    let mut finished = true;
    for state in app.store.calendars(user).await? {
        // Under its lease, so that no sync writes behind the erasure's back. It is never given back: the cursor goes.
        // Without a cursor, which an interrupted erasure may have left behind, no sync can be at work either.
        let mut lease = app.store.lease(user, state.calendar.id).await?;
        if let Some(channel) = state
            .cursor
            .channel
            .as_ref()
            .and_then(|channel| channel.id.as_deref())
        {
            app.store.delete_channel(channel).await?;
        }
        if lease.is_none() && state.cursor.fencing > 0 {
            finished = false;
            continue;
        }
        loop {
            steps = steps.saturating_sub(1);
            let lost = match &mut lease {
                Some(lease) => app.store.keep_lease(lease).await? == Outcome::Refused,
                None => false,
            };
            if steps == 0 || lost {
                finished = false;
                break;
            }
            let (store, calendar) = (&app.store, state.calendar.id);
            let notes = store.erase_edits(user, calendar, STEP).await?
                && store.erase_aliases(user, calendar, STEP).await?;
            if notes && store.erase_events(user, calendar, STEP).await? {
                break;
            }
        }
        if let (false, Some(lease)) = (finished, lease) {
            app.store.end_disconnected(lease).await?;
        }
    }
    for connection in app.store.connections(user).await? {
        if connection.status != ConnectionStatus::Disconnected {
            app.store.release_account(&connection).await?;
        }
    }
    if finished && erase_partitions(app, user).await? {
        return Ok(app
            .store
            .end_erasure(&Due {
                user_id: user,
                calendar_id: None,
            })
            .await?);
    }
    // Where a sync is at work it has to end first.
    let delay = if finished { 0 } else { 5 };
    Ok(app
        .queue
        .send(&Job::EraseAccount { user_id: user }, delay)
        .await?)
}

async fn erase_partitions(app: &App, user: UserId) -> Result<bool, StoreError> {
    let mut done = true;
    for table in [Table::Calendar, Table::Vault, Table::Identity] {
        done &= app.store.erase_partition(table, user, STEP).await?;
    }
    Ok(done)
}
