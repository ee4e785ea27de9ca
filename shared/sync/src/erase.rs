//! Erasures: remove what belonged to a calendar or a person. For them it is gone at once; the tables are cleared in bounded
//! steps, each message doing some of them and sending the next.

use calweave_calendar::sync_requests::request_sync;
use calweave_domain::calendar::{CalendarSource, CalendarState};
use calweave_domain::connection::ConnectionStatus;
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::calendars::PersonTable;
use calweave_store::erasures::DueItem;
use calweave_store::leases::Lease;
use calweave_store::queue::Job;
use calweave_store::{StoreError, WriteOutcome};

use super::{SyncError, unlink};
use crate::SyncContext;

/// How many items one step removes.
const STEP: i32 = 500;
/// How many steps one message does: well within the time limit of a worker.
const STEPS: usize = 10;
/// How long the next message waits while a sync is at work, in seconds.
const BUSY_DELAY: i32 = 30;
/// How long the next message of an account waits while a sync is at work, in seconds.
const ACCOUNT_BUSY_DELAY: i32 = 5;

/// Removes the events of a disconnected calendar, under its lease, so that no sync is at work.
///
/// # Errors
/// After an error the message should be received again.
pub async fn erase_calendar(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<(), SyncError> {
    let store = &context.store;
    let due = DueItem {
        user_id: user,
        calendar_id: Some(calendar),
    };
    let state = store.calendar(user, calendar).await?;
    // A calendar that was connected again keeps its events: its next sync knows which still exist.
    let state = state.filter(|state| !state.calendar.is_connected);
    let Some(state) = state else {
        return Ok(store.end_erasure(&due).await?);
    };
    let Some(mut lease) = store.acquire_lease(user, calendar).await? else {
        // A sync is at work. It will find the calendar disconnected, and end.
        return continue_calendar(context, user, calendar, BUSY_DELAY).await;
    };
    if let Some(channel) = &state.cursor.channel {
        unlink::close_calendar_channel(context, &state.calendar, channel).await?;
    }
    for _ in 0..STEPS {
        if store.renew_lease(&mut lease).await? == WriteOutcome::ConditionFailed {
            return Err(SyncError::LeaseLost);
        }
        if is_connected(context, user, calendar).await? {
            release_disconnected(context, lease, Some(&due)).await?;
            // Its request may have been counted before the lease was acquired.
            request_sync(context, user, calendar, 0).await?;
            return Ok(());
        }
        if erase_step(context, user, calendar).await? {
            return finish_calendar(context, &state, lease, &due).await;
        }
    }
    release_disconnected(context, lease, None).await?;
    continue_calendar(context, user, calendar, 0).await
}

/// Whether a calendar was connected again.
async fn is_connected(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<bool, StoreError> {
    let state = context.store.calendar(user, calendar).await?;
    Ok(state.is_some_and(|state| state.calendar.is_connected))
}

/// Ends the work on a disconnected calendar, and its erasure if that is finished. If the calendar was connected again meanwhile, it
/// is due at once, and its next sync is a full one.
pub(super) async fn release_disconnected(
    context: &SyncContext,
    lease: Lease,
    finished: Option<&DueItem>,
) -> Result<(), SyncError> {
    let (user, id) = (lease.user(), lease.calendar());
    let cursor = context.store.finish_disconnected(lease).await?;
    if let Some(due) = finished {
        context.store.end_erasure(due).await?;
    }
    if cursor.is_some_and(|cursor| cursor.requested > cursor.completed) {
        request_sync(context, user, id, 0).await?;
    }
    Ok(())
}

/// Removes some of a calendar's items. Returns whether none is left.
async fn erase_step(
    context: &SyncContext,
    user: UserId,
    calendar: CalendarId,
) -> Result<bool, StoreError> {
    let store = &context.store;
    // The events first: what is left of them when the calendar is connected again keeps its markers and aliases.
    Ok(store.erase_events(user, calendar, STEP).await?
        && store.erase_edits(user, calendar, STEP).await?
        && store.erase_aliases(user, calendar, STEP).await?
        && store.erase_full_syncs(user, calendar, STEP).await?)
}

async fn finish_calendar(
    context: &SyncContext,
    state: &CalendarState,
    lease: Lease,
    due: &DueItem,
) -> Result<(), SyncError> {
    let user = state.calendar.user_id;
    let is_settled = match state.calendar.source {
        CalendarSource::Account(_) => {
            unlink::unlink_unused(context, user, state.calendar.connection_id).await?
        }
        CalendarSource::Feed(_) => true,
    };
    release_disconnected(context, lease, Some(due).filter(|_| is_settled)).await
}

async fn continue_calendar(
    context: &SyncContext,
    user_id: UserId,
    calendar_id: CalendarId,
    delay: i32,
) -> Result<(), SyncError> {
    let job = Job::EraseCalendar {
        user_id,
        calendar_id,
    };
    Ok(context.queue.send(&job, delay).await?)
}

/// Removes what belonged to a person, as far as one message reaches.
///
/// # Errors
/// After an error the message should be received again.
pub async fn erase_account(context: &SyncContext, user: UserId) -> Result<(), SyncError> {
    let store = &context.store;
    let due = DueItem {
        user_id: user,
        calendar_id: None,
    };
    if store.user(user).await?.is_some() {
        // Interrupted before the account was closed: its owner still has it, and can ask again.
        return Ok(store.end_erasure(&due).await?);
    }
    let mut steps = STEPS;
    let mut is_finished = true;
    for state in store.calendars(user).await? {
        let (is_empty, lease) = erase_calendar_of(context, &state, &mut steps).await?;
        is_finished &= is_empty;
        // Where all is erased the lease is kept: it goes with the cursor, and no sync begins before that.
        if let (false, Some(lease)) = (is_finished, lease) {
            store.finish_disconnected(lease).await?;
        }
    }
    for connection in store.connections(user).await? {
        if connection.status != ConnectionStatus::Disconnected {
            store.release_account(&connection).await?;
        }
    }
    if is_finished && erase_partitions(context, user).await? {
        return Ok(store.end_erasure(&due).await?);
    }
    let delay = if is_finished { 0 } else { ACCOUNT_BUSY_DELAY };
    let job = Job::EraseAccount { user_id: user };
    Ok(context.queue.send(&job, delay).await?)
}

/// Removes the events of one calendar of a closed account, under its lease. Returns whether none is left, and the lease.
async fn erase_calendar_of(
    context: &SyncContext,
    state: &CalendarState,
    steps: &mut usize,
) -> Result<(bool, Option<Lease>), SyncError> {
    let (store, user, id) = (&context.store, state.calendar.user_id, state.calendar.id);
    let mut lease = store.acquire_lease(user, id).await?;
    let channel = state.cursor.channel.as_ref();
    if let Some(channel) = channel.and_then(|channel| channel.id.as_deref()) {
        store.delete_channel(channel).await?;
    }
    // Without a cursor, which an interrupted erasure may have removed already, there is no lease and no sync either.
    if lease.is_none() && state.cursor.fencing > 0 {
        return Ok((false, None));
    }
    loop {
        *steps = steps.saturating_sub(1);
        let is_lost = match &mut lease {
            Some(lease) => store.renew_lease(lease).await? == WriteOutcome::ConditionFailed,
            None => false,
        };
        if *steps == 0 || is_lost {
            return Ok((false, lease));
        }
        if erase_step(context, user, id).await? {
            return Ok((true, lease));
        }
    }
}

async fn erase_partitions(context: &SyncContext, user: UserId) -> Result<bool, StoreError> {
    let mut is_empty = true;
    for table in [
        PersonTable::Calendar,
        PersonTable::Vault,
        PersonTable::Identity,
    ] {
        is_empty &= context.store.erase_partition(table, user, STEP).await?;
    }
    Ok(is_empty)
}
