//! Which user an account of a provider belongs to: one at most.

use calweave_domain::calendar::ProviderKind;
use calweave_domain::connection::Connection;
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_providers::oauth::AuthorizedAccount;
use calweave_store::WriteOutcome;
use calweave_store::connections::AccountOwner;

use super::link::SELECTION_LIFETIME;
use crate::{AccountContext, BackendError};

/// Claims the account for this user. Returns the id of its connection, or `None` when the account belongs to another
/// user.
pub(super) async fn claim(
    context: &AccountContext,
    user: UserId,
    kind: ProviderKind,
    signed_in: &AuthorizedAccount,
    known: Option<&Connection>,
) -> Result<Option<ConnectionId>, BackendError> {
    let (store, account) = (&context.store, &signed_in.account_id);
    // Reuses the claim of an earlier attempt that was interrupted after it had claimed the account.
    let claimed = store.account_owner(kind, account).await?;
    let claimed = claimed.filter(|owner| owner.user_id == user);
    let id = claimed
        .map(|owner| owner.connection_id)
        .or(known.map(|known| known.id))
        .unwrap_or_else(|| ConnectionId::new(&context.clock));
    let owner = AccountOwner {
        user_id: user,
        connection_id: id,
    };
    if store.claim_account(kind, account, owner).await? == WriteOutcome::Written {
        return Ok(Some(id));
    }
    let other = store.account_owner(kind, account).await?;
    if other.is_some_and(|other| other.user_id == user && other.connection_id == id) {
        return Ok(Some(id));
    }
    if !release_unused(context, other).await? {
        return Ok(None);
    }
    let claimed = store.claim_account(kind, account, owner).await?;
    Ok((claimed == WriteOutcome::Written).then_some(id))
}

/// Releases an account whose owner has no connected calendar of it, once the time to choose calendars is over. Returns
/// whether the account is free.
async fn release_unused(
    context: &AccountContext,
    owner: Option<AccountOwner>,
) -> Result<bool, BackendError> {
    let Some(owner) = owner else { return Ok(true) };
    let (store, user) = (&context.store, owner.user_id);
    let Some(connection) = store.connection(user, owner.connection_id).await? else {
        return Ok(false);
    };
    let calendars = store.calendars(user).await?;
    let is_used = calendars
        .iter()
        .any(|state| state.calendar.connection_id == connection.id && state.calendar.is_connected);
    if is_used || context.clock.now() - connection.granted_at < SELECTION_LIFETIME {
        return Ok(false);
    }
    if store.end_connection(&connection).await? == WriteOutcome::Written {
        store.release_account(&connection).await?;
    }
    Ok(true)
}
