//! Access tokens: whoever needs one gets a good one, and however many need one at once, it is renewed once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, warn};

use super::SyncError;
use crate::app::App;
use crate::domain::connection::{Connection, ConnectionStatus};
use crate::domain::grant::Grant;
use crate::domain::secret::Secret;
use crate::providers::{ProviderError, Remedy};
use crate::store::Outcome;
use crate::store::audit::AuditEntry;
use crate::vault::grant::Held;

/// How often somebody looks whether the one who renews has finished.
const LOOKS: u32 = 40;
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(250);
/// An access token is renewed by the schedule this long before it expires.
const AHEAD: TimeDelta = TimeDelta::minutes(10);

/// A good access token of a link; `refused` is one that the provider did not take. The inner error is the provider's.
///
/// # Errors
/// When a table or the vault does not answer.
pub async fn access_token(
    app: &App,
    connection: &Connection,
    refused: Option<&Secret>,
) -> Result<Result<Secret, ProviderError>, SyncError> {
    let gone = |reason: &str| ProviderError::GrantGone {
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
    for _ in 0..LOOKS {
        let Some(held) = app.vault.grant(user, id).await? else {
            return Ok(Err(gone("nothing is stored")));
        };
        if held.grant.is_fresh(app.clock.now()) && refused != Some(&held.grant.access_token) {
            return Ok(Ok(held.grant.access_token));
        }
        if app.store.lease_grant(user, id, held.version).await? == Outcome::Done {
            return renew(app, connection, &held).await;
        }
        // Somebody else is at it: what they store counts.
        tokio::time::sleep(PAUSE).await;
    }
    Ok(Err(ProviderError::Failing {
        provider: connection.provider.label(),
        status: 504,
    }))
}

/// Renews a grant before its access token expires, unless somebody else is at it. Answers whether it was renewed.
///
/// # Errors
/// When a table or the vault does not answer.
pub async fn renew_early(app: &App, connection: &Connection) -> Result<bool, SyncError> {
    let (user, id) = (connection.user_id, connection.id);
    let Some(held) = app.vault.grant(user, id).await? else {
        return Ok(false);
    };
    if renew_at(&held.grant) > app.clock.now() {
        app.store
            .renew_grant_at(user, id, renew_at(&held.grant))
            .await?;
        return Ok(false);
    }
    if app.store.lease_grant(user, id, held.version).await? == Outcome::Refused {
        return Ok(false);
    }
    Ok(renew(app, connection, &held).await?.is_ok())
}

/// Renews a grant whose lease is held.
async fn renew(
    app: &App,
    connection: &Connection,
    held: &Held,
) -> Result<Result<Secret, ProviderError>, SyncError> {
    let (user, id, now) = (connection.user_id, connection.id, app.clock.now());
    let renewed = match app.providers.of(connection.provider) {
        Ok(accounts) => accounts.renew(&held.grant, now).await,
        Err(unknown) => Err(unknown),
    };
    match renewed {
        Ok(grant) => {
            // Stored before it is used. Refused only when the owner has granted anew meanwhile; this token is good all the same.
            let _: Outcome = app
                .vault
                .put_grant(user, id, &grant, Some(held.version))
                .await?;
            app.store.renew_grant_at(user, id, renew_at(&grant)).await?;
            Ok(Ok(grant.access_token))
        }
        Err(failure) => {
            app.store.release_grant(user, id, held.version).await?;
            if let ProviderError::GrantGone { provider, reason } = &failure {
                let reason = lost(app, connection, reason).await?;
                return Ok(Err(ProviderError::GrantGone { provider, reason }));
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
async fn lost(app: &App, connection: &Connection, reason: &str) -> Result<String, SyncError> {
    let age = app.clock.now() - connection.granted_at;
    let hint = app
        .providers
        .of(connection.provider)
        .ok()
        .and_then(|accounts| accounts.why_lost(age));
    let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
    let reason = format!(
        "{}{hint}. Connect the account again; nothing was deleted.",
        reason.trim_end_matches('.')
    );
    if app
        .store
        .needs_reauth(connection.user_id, connection.id, &reason)
        .await?
        == Outcome::Done
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
        app.store.append_audit(&entry).await?;
    }
    Ok(reason)
}
