//! Disconnecting a calendar and closing an account. Both take effect at once for the user; the worker then erases the
//! data in bounded steps.

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
use crate::slots::remove_gone;
use crate::{AccountContext, BackendError, Context, Error, Result};

/// Time limit for revoking all grants of an account that is closed.
const REVOCATION_LIMIT: Duration = Duration::from_secs(5);

/// Disconnects a calendar. A feed's address is removed before this returns. The worker then removes the events and
/// channels and, after the last calendar of an account, revokes its grant.
///
/// # Errors
/// [`Error::NotFound`], also when a concurrent request has disconnected the calendar first.
pub async fn disconnect_calendar(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
) -> Result<()> {
    let calendar = connected_calendar(context, user, calendar).await?.calendar;
    // Once its events are erased, it cannot be told which of them were removed before.
    remove_gone(context, user).await?;
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
    // Recorded first, so that the scheduled job completes an interrupted disconnect.
    store.begin_erasure(&due).await?;
    let outcome = store.disconnect(user, calendar.id).await?;
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

/// Closes an account. When this returns, its tokens are no longer valid, its email address can be used again, and its
/// secrets are shredded. The worker then removes all other data.
///
/// # Errors
/// [`Error::NotFound`] when the user does not exist.
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
    // Before the data key is shredded, while the grants can be opened. The account is closed even if a provider does
    // not answer.
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
