//! Disconnecting a calendar and closing an account: at once for the person, in bounded steps of the worker for the tables.

use std::time::Duration;

use calweave_base::error_chain::Chain;
use calweave_domain::account::User;
use calweave_domain::calendar::{Calendar, CalendarSource};
use calweave_domain::ids::{CalendarId, UserId};
use calweave_store::WriteOutcome;
use calweave_store::erasures::DueItem;
use calweave_store::queue::Job;
use tracing::warn;

use crate::accounts::revoke_all;
use crate::calendars::connected_calendar;
use crate::{AccountContext, BackendError, Context, Error, Result};

/// How long the providers may take to be told that an account is closed.
const REVOCATION_LIMIT: Duration = Duration::from_secs(5);

/// Disconnects a calendar. A feed's address is gone when this returns; events, channels, and the grant of an account that
/// this was the last calendar of follow soon after.
///
/// # Errors
/// [`Error::NotFound`], also when somebody else has disconnected it first.
pub async fn disconnect_calendar(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
) -> Result<()> {
    let calendar = connected_calendar(context, user, calendar).await?.calendar;
    match disconnect(context, &calendar).await? {
        WriteOutcome::Written => Ok(()),
        WriteOutcome::ConditionFailed => Err(Error::NotFound),
    }
}

async fn disconnect(context: &Context, calendar: &Calendar) -> Result<WriteOutcome, BackendError> {
    let (store, user) = (&context.store, calendar.user_id);
    let due = DueItem {
        user_id: user,
        calendar_id: Some(calendar.id),
    };
    // Recorded before anything else, so that the job completes an interrupted disconnect.
    store.begin_erasure(&due).await?;
    let outcome = store.set_connected(user, calendar.id, false).await?;
    if matches!(calendar.source, CalendarSource::Feed(_)) {
        let field = calweave_vault::FEED_URL;
        store
            .delete_secret(user, calendar.connection_id, field)
            .await?;
    }
    let job = Job::EraseCalendar {
        user_id: user,
        calendar_id: calendar.id,
    };
    context.queue.send(&job, 0).await?;
    Ok(outcome)
}

/// Closes an account. When this returns, none of its tokens works, its address is free, and its secrets are shredded; what
/// else is stored is removed soon after.
///
/// # Errors
/// [`Error::NotFound`] when there is no such person.
pub async fn close_account(context: &AccountContext, user: UserId) -> Result<()> {
    let user = context.store.user(user).await?.ok_or(Error::NotFound)?;
    Ok(close(context, &user).await?)
}

async fn close(context: &AccountContext, user: &User) -> Result<(), BackendError> {
    let due = DueItem {
        user_id: user.id,
        calendar_id: None,
    };
    context.store.begin_erasure(&due).await?;
    context.store.close_account(user).await?;
    context.store.end_all_sessions(user.id).await?;
    // While the grants can still be read. The account is closed whether or not the providers answer.
    match tokio::time::timeout(REVOCATION_LIMIT, revoke_all(context, user.id)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(
            error.chain = %Chain(&error), "could not revoke the grants of {}: {}", user.id, Chain(&error)
        ),
        Err(_) => warn!("revoking the grants of {} took too long", user.id),
    }
    context.vault.shred(user.id).await?;
    let job = Job::EraseAccount { user_id: user.id };
    Ok(context.queue.send(&job, 0).await?)
}
