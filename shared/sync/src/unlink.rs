//! Ends what a disconnected calendar leaves behind at the provider: its channel, and the grant of an account that no
//! connected calendar uses.

use calweave_calendar::accounts::{close_channel, credentials, revoke};
use calweave_domain::calendar::{Calendar, ChannelState};
use calweave_domain::connection::Connection;
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_providers::CalendarProvider;
use calweave_store::WriteOutcome;

use super::SyncError;
use crate::SyncContext;

/// Closes the channel of a disconnected calendar. Where the provider can no longer be called, the channel expires by itself,
/// and its notifications are dropped.
pub(super) async fn close_calendar_channel(
    context: &SyncContext,
    calendar: &Calendar,
    channel: &ChannelState,
) -> Result<(), SyncError> {
    let connection = context
        .store
        .connection(calendar.user_id, calendar.connection_id)
        .await?;
    let session = match &connection {
        Some(connection) => open_session(context, connection).await?,
        None => None,
    };
    Ok(close_channel(&context.store, session.as_deref(), channel).await?)
}

/// A session with the provider of an account, where its credentials are still accepted.
async fn open_session(
    context: &SyncContext,
    connection: &Connection,
) -> Result<Option<Box<dyn CalendarProvider>>, SyncError> {
    let credentials = credentials(context, connection, None).await?.ok();
    let provider = context.providers.of(connection.provider).ok();
    let opened = provider.zip(credentials);
    Ok(opened
        .and_then(|(provider, credentials)| provider.session(credentials, &connection.email).ok()))
}

/// Revokes the grant of an account, unless one of its calendars is connected. Returns whether that is decided: while the
/// owner is choosing calendars of the account, it is not.
pub(super) async fn unlink_unused(
    context: &SyncContext,
    user: UserId,
    id: ConnectionId,
) -> Result<bool, SyncError> {
    if is_used(context, user, id).await? {
        return Ok(true);
    }
    // The account was linked again: the owner's choice decides.
    if context.store.is_choosing(user, id).await? {
        return Ok(false);
    }
    let Some(connection) = context.store.connection(user, id).await? else {
        return Ok(true);
    };
    let held = context.store.sealed_grant(user, id).await?;
    // From here on nothing renews the grant. It is revoked while its token can still be read.
    if context.store.end_connection(&connection).await? == WriteOutcome::ConditionFailed {
        // Linked again in between.
        return Ok(true);
    }
    if is_used(context, user, id).await? {
        // A calendar was chosen in between.
        let _: WriteOutcome = context.store.revive_connection(&connection).await?;
        return Ok(true);
    }
    revoke(context, &connection).await?;
    if let Some(held) = held {
        context.store.delete_grant(user, id, held.version).await?;
    }
    context.store.delete_permits(user, id).await?;
    context.store.release_account(&connection).await?;
    Ok(true)
}

/// Whether a calendar of an account is connected.
async fn is_used(context: &SyncContext, user: UserId, id: ConnectionId) -> Result<bool, SyncError> {
    let calendars = context.store.calendars(user).await?;
    Ok(calendars
        .iter()
        .any(|state| state.calendar.connection_id == id && state.calendar.is_connected))
}
