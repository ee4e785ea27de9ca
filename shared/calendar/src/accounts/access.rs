//! Access tokens. Callers get a valid token; if several workers need a new one at once, one renews it and the others
//! wait.

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

/// Maximum number of polls while another worker renews the grant.
const MAX_POLLS: u32 = 40;
/// Pause between two polls.
const PAUSE: Duration = Duration::from_millis(250);
/// How long before its expiry the scheduled job renews an access token.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// Returns valid credentials of a connection, and renews the grant if necessary. `refused` are credentials that the
/// provider has just rejected; they are not returned again. The inner error is the provider's.
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
            return Ok(Err(gone("no grant is stored")));
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
        // Another worker renews the grant: wait for the grant that it stores.
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Err(ProviderError::ServerError {
        provider: connection.provider.label(),
        status: 504,
    }))
}

/// Renews a grant shortly before its access token expires, unless another worker renews it. Returns whether it was
/// renewed.
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

/// Renews a grant whose lease the caller holds.
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
            // Stored before it is used. The condition fails only if the owner has given a new grant in the meantime;
            // this access token is valid nevertheless.
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
                // For example, the OAuth client was deleted: the operator has to act, not the user.
                error!(connection.id = %id, alarm = "provider-client", "the provider refuses this deployment: {failure}");
            } else {
                warn!(connection.id = %id, "could not renew the grant of {id}: {failure}");
            }
            Ok(Err(failure))
        }
    }
}

/// Returns when the scheduled job has to renew a grant.
pub fn renew_at(grant: &Grant) -> DateTime<Utc> {
    grant.expires_at - AHEAD
}

/// Marks a connection whose grant was revoked, and logs and audits that once. Returns the reason, with what the user
/// has to do.
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
    if context.store.needs_reauth(connection, &reason).await? == WriteOutcome::Written {
        warn!(connection.id = %connection.id, "{} needs a new grant: {reason}", connection.id);
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
