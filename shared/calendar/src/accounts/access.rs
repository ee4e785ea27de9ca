//! Access tokens: whoever needs one gets a good one, and however many need one at once, it is renewed once.

use std::time::Duration;

use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::grant::Grant;
use calweave_domain::secret::Secret;
use calweave_providers::{Credentials, ProviderError, Remedy};
use calweave_store::WriteOutcome;
use calweave_store::audit::AuditEntry;
use calweave_vault::grant::VersionedGrant;
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, warn};

use crate::{AccountContext, BackendError};

/// How often somebody looks whether the one who renews has finished.
const MAX_POLLS: u32 = 40;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// An access token is renewed by the schedule this long before it expires.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// Credentials that the provider accepts, as far as is known here; `refused` are those that it has just rejected. The inner
/// error is the provider's.
pub async fn credentials(
    context: &AccountContext,
    connection: &Connection,
    refused: Option<&Credentials>,
) -> Result<Result<Credentials, ProviderError>, BackendError> {
    let gone = |reason: &str| ProviderError::GrantRevoked {
        provider: connection.provider.label(),
        reason: reason.to_owned(),
    };
    if connection.status != ConnectionStatus::Active {
        return Ok(Err(gone(
            connection
                .status_reason
                .as_deref()
                .unwrap_or("it was disconnected"),
        )));
    }
    let (user, id) = (connection.user_id, connection.id);
    for _ in 0..MAX_POLLS {
        let Some(held) = context.vault.grant(user, id).await? else {
            return Ok(Err(gone("nothing is stored")));
        };
        let is_fresh = held.grant.is_fresh(context.clock.now());
        let credentials = Credentials::AccessToken(held.grant.access_token.clone());
        if is_fresh && refused != Some(&credentials) {
            return Ok(Ok(credentials));
        }
        if context.store.lease_grant(user, id, held.version).await? == WriteOutcome::Written {
            let renewed = renew(context, connection, &held).await?;
            return Ok(renewed.map(Credentials::AccessToken));
        }
        // Somebody else is at it: what they store counts.
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Err(ProviderError::ServerError {
        provider: connection.provider.label(),
        status: 504,
    }))
}

/// Renews a grant before its access token expires, unless somebody else is at it. Answers whether it was renewed.
pub async fn renew_early(
    context: &AccountContext,
    connection: &Connection,
) -> Result<bool, BackendError> {
    let (user, id) = (connection.user_id, connection.id);
    let Some(held) = context.vault.grant(user, id).await? else {
        return Ok(false);
    };
    if renew_at(&held.grant) > context.clock.now() {
        context
            .store
            .renew_grant_at(user, id, renew_at(&held.grant))
            .await?;
        return Ok(false);
    }
    if context.store.lease_grant(user, id, held.version).await? == WriteOutcome::ConditionFailed {
        return Ok(false);
    }
    Ok(renew(context, connection, &held).await?.is_ok())
}

/// Renews a grant whose lease is held.
async fn renew(
    context: &AccountContext,
    connection: &Connection,
    held: &VersionedGrant,
) -> Result<Result<Secret, ProviderError>, BackendError> {
    let (user, id, now) = (connection.user_id, connection.id, context.clock.now());
    let renewed = match context.providers.oauth(connection.provider) {
        Ok(provider) => provider.refresh(&held.grant, now).await,
        Err(unknown) => Err(unknown),
    };
    match renewed {
        Ok(grant) => {
            // Stored before it is used. Refused only when the owner has granted anew meanwhile; this token is good all the same.
            let _: WriteOutcome = context
                .vault
                .put_grant(user, id, &grant, Some(held.version))
                .await?;
            context
                .store
                .renew_grant_at(user, id, renew_at(&grant))
                .await?;
            Ok(Ok(grant.access_token))
        }
        Err(failure) => {
            context.store.release_grant(user, id, held.version).await?;
            if let ProviderError::GrantRevoked { provider, reason } = &failure {
                let reason = lost(context, connection, reason).await?;
                return Ok(Err(ProviderError::GrantRevoked { provider, reason }));
            }
            if failure.remedy() == Remedy::GiveUp {
                // Such as a client that was deleted: a matter for the operator, not for the person.
                error!(connection.id = %id, alarm = "provider-client", "the provider refuses this deployment: {failure}");
            } else {
                warn!(connection.id = %id, "could not renew the grant of {id}: {failure}");
            }
            Ok(Err(failure))
        }
    }
}

/// When the schedule has to look at a grant again.
pub fn renew_at(grant: &Grant) -> DateTime<Utc> {
    grant.expires_at - AHEAD
}

/// Notes once, and for everybody to see, that the owner has to grant anew. Answers with why and what to do.
async fn lost(
    context: &AccountContext,
    connection: &Connection,
    reason: &str,
) -> Result<String, BackendError> {
    let age = context.clock.now() - connection.granted_at;
    let hint = context
        .providers
        .oauth(connection.provider)
        .ok()
        .and_then(|provider| provider.likely_revocation_cause(age));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let reason = format!(
        "{}{hint}. Connect the account again; nothing was deleted.",
        reason.trim_end_matches('.')
    );
    if context
        .store
        .needs_reauth(connection.user_id, connection.id, &reason)
        .await?
        == WriteOutcome::Written
    {
        warn!(connection.id = %connection.id, "{} needs to be granted anew: {reason}", connection.id);
        let entry = AuditEntry {
            actor: connection.user_id.to_string(),
            action: "CONNECTION_NEEDS_REAUTH".to_owned(),
            resource: Some(connection.id.to_string()),
            outcome: "FAILURE".to_owned(),
            detail: Some(reason.clone()),
            ip_address: None,
            request_id: String::new(),
        };
        context.store.append_audit(&entry).await?;
    }
    Ok(reason)
}
