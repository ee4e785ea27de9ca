//! Revoking grants, and closing the push channels that were opened with them.

use calweave_domain::calendar::ChannelState;
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::UserId;
use calweave_providers::{CalendarProvider, Credentials};
use calweave_store::{Store, StoreError};
use tracing::warn;

use crate::{AccountContext, BackendError};

/// Revokes all active grants of a user, as far as the providers can be reached.
pub async fn revoke_all(context: &AccountContext, user: UserId) -> Result<(), BackendError> {
    for connection in context.store.connections(user).await? {
        if connection.status == ConnectionStatus::Active {
            revoke(context, &connection).await?;
        }
    }
    Ok(())
}

/// Revokes a grant at the provider, and closes the channels of the account's calendars. Failures of the provider are only logged: the
/// caller removes the stored grant in any case.
pub async fn revoke(context: &AccountContext, connection: &Connection) -> Result<(), BackendError> {
    let (user, id) = (connection.user_id, connection.id);
    let held = context.vault.grant(user, id).await?;
    let (Ok(provider), Some(held)) = (context.providers.oauth(connection.provider), held) else {
        return Ok(());
    };
    let credentials = Credentials::AccessToken(held.grant.access_token.clone());
    let session = provider.session(credentials, &connection.email).ok();
    for state in context.store.calendars(user).await? {
        if let Some(channel) = &state.cursor.channel
            && state.calendar.connection_id == id
        {
            close_channel(&context.store, session.as_deref(), channel).await?;
        }
    }
    if let Err(failure) = provider.revoke(&held.grant.refresh_token).await {
        warn!(connection.id = %id, "could not revoke the grant of {id}: {failure}");
    }
    Ok(())
}

/// Closes a channel. If it cannot be closed at the provider, it expires there by itself; its notifications are dropped
/// from now on.
pub async fn close_channel(
    store: &Store,
    provider: Option<&dyn CalendarProvider>,
    channel: &ChannelState,
) -> Result<(), StoreError> {
    let Some(id) = &channel.id else { return Ok(()) };
    if let (Some(resource_id), Some(provider)) = (&channel.resource_id, provider)
        && let Err(failure) = provider.close_channel(id, resource_id).await
    {
        warn!("could not close a channel: {failure}");
    }
    store.delete_channel(id).await
}
