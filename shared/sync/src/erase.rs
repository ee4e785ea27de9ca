//! Removes what belonged to a calendar or a person: at once for them, in bounded steps for the tables.

use calweave_calendar::sync_requests::request_sync;
use calweave_domain::calendar::CalendarSource;
use calweave_domain::connection::ConnectionStatus;
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::calendars::PersonTable;
use calweave_store::erasures::DueItem;
use calweave_store::queue::Job;
use calweave_store::{StoreError, WriteOutcome};

use super::{SyncError, account};
use crate::SyncContext;

/// Items that one step removes.
const STEP: i32 = 500;
/// Steps of one message: well within the time a worker has; what is left is asked for anew.
const STEPS: usize = 10;

/// Removes the events of a disconnected calendar. Works under the calendar's lease, so it never meets a sync.
///
/// # Errors
/// When a table or the queue does not answer: then the message should come again.
pub async fn erase_calendar(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<(), SyncError> {
    let due = DueItem {
        user_id: user,
        calendar_id: Some(calendar),
    };
    let Some(state) = context.store.calendar(user, calendar).await? else {
        return Ok(context.store.end_erasure(&due).await?);
    };
    if state.calendar.is_connected {
        // Revived meanwhile: the next sync knows what to keep.
        return Ok(context.store.end_erasure(&due).await?);
    }
    let Some(mut lease) = context.store.acquire_lease(user, calendar).await? else {
        // A sync is at work; it will find the calendar disconnected.
        return Ok(context
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
        account::close_calendar_channel(context, &state.calendar, channel).await?;
    }
    for _ in 0..STEPS {
        if context.store.renew_lease(&mut lease).await? == WriteOutcome::ConditionFailed {
            return Err(SyncError::LeaseLost);
        }
        let edits = context.store.erase_edits(user, calendar, STEP).await?
            && context.store.erase_aliases(user, calendar, STEP).await?;
        if context.store.erase_events(user, calendar, STEP).await? && edits {
            let is_settled = match state.calendar.source {
                CalendarSource::Account(_) => {
                    account::unlink_unused(context, user, state.calendar.connection_id).await?
                }
                CalendarSource::Feed(_) => true,
            };
            let cursor = context.store.finish_disconnected(lease).await?;
            if is_settled {
                context.store.end_erasure(&due).await?;
            }
            if cursor.is_some_and(|cursor| cursor.requested > cursor.completed) {
                request_sync(context, user, calendar, 0).await?;
            }
            return Ok(());
        }
    }
    context.store.finish_disconnected(lease).await?;
    Ok(context
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

/// Removes what is left of an account, as far as one message reaches.
///
/// # Errors
/// When a table or the queue does not answer: then the message should come again.
pub async fn erase_account(context: &SyncContext, user: UserId) -> Result<(), SyncError> {
    if context.store.user(user).await?.is_some() {
        // Interrupted before the account was closed: its owner still has it and can ask again.
        return Ok(context
            .store
            .end_erasure(&DueItem {
                user_id: user,
                calendar_id: None,
            })
            .await?);
    }
    let mut steps = STEPS;
    let mut finished = true;
    for state in context.store.calendars(user).await? {
        // Under its lease, so that no sync writes behind the erasure's back. It is never given back: the cursor goes.
        // Without a cursor, which an interrupted erasure may have left behind, no sync can be at work either.
        let mut lease = context.store.acquire_lease(user, state.calendar.id).await?;
        if let Some(channel) = state
            .cursor
            .channel
            .as_ref()
            .and_then(|channel| channel.id.as_deref())
        {
            context.store.delete_channel(channel).await?;
        }
        if lease.is_none() && state.cursor.fencing > 0 {
            finished = false;
            continue;
        }
        loop {
            steps = steps.saturating_sub(1);
            let lost = match &mut lease {
                Some(lease) => {
                    context.store.renew_lease(lease).await? == WriteOutcome::ConditionFailed
                }
                None => false,
            };
            if steps == 0 || lost {
                finished = false;
                break;
            }
            let (store, calendar) = (&context.store, state.calendar.id);
            let notes = store.erase_edits(user, calendar, STEP).await?
                && store.erase_aliases(user, calendar, STEP).await?;
            if notes && store.erase_events(user, calendar, STEP).await? {
                break;
            }
        }
        if let (false, Some(lease)) = (finished, lease) {
            context.store.finish_disconnected(lease).await?;
        }
    }
    for connection in context.store.connections(user).await? {
        if connection.status != ConnectionStatus::Disconnected {
            context.store.release_account(&connection).await?;
        }
    }
    if finished && erase_partitions(context, user).await? {
        return Ok(context
            .store
            .end_erasure(&DueItem {
                user_id: user,
                calendar_id: None,
            })
            .await?);
    }
    // Where a sync is at work it has to end first.
    let delay = if finished { 0 } else { 5 };
    Ok(context
        .queue
        .send(&Job::EraseAccount { user_id: user }, delay)
        .await?)
}

async fn erase_partitions(context: &SyncContext, user: UserId) -> Result<bool, StoreError> {
    let mut done = true;
    for table in [
        PersonTable::Calendar,
        PersonTable::Vault,
        PersonTable::Identity,
    ] {
        done &= context.store.erase_partition(table, user, STEP).await?;
    }
    Ok(done)
}
