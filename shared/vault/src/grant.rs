//! Storage of grants: sealed in the vault table, with a version that increases with each renewal.

use calweave_domain::grant::Grant;
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_domain::secret::Secret;
use calweave_store::WriteOutcome;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{SecretLocation, Vault, VaultError};

/// A stored grant and its version.
#[derive(Clone, Debug)]
pub struct VersionedGrant {
    /// The tokens.
    pub grant: Grant,
    /// Increases each time a grant is stored.
    pub version: u64,
}

/// The plaintext of a sealed grant, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plain {
    refresh_token: String,
    access_token: String,
    expires_at: DateTime<Utc>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.refresh_token.zeroize();
        self.access_token.zeroize();
    }
}

fn location(user: UserId, connection: ConnectionId) -> SecretLocation {
    SecretLocation {
        user,
        connection,
        field: "grant",
    }
}

impl Vault {
    /// Returns the grant of a connection; `None` when none is stored.
    ///
    /// # Errors
    /// When KMS or the table does not answer, or the stored grant cannot be decrypted.
    pub async fn grant(
        &self,
        user: UserId,
        connection: ConnectionId,
    ) -> Result<Option<VersionedGrant>, VaultError> {
        let Some(stored) = self.store.sealed_grant(user, connection).await? else {
            return Ok(None);
        };
        let opened = self
            .open(location(user, connection), &stored.sealed)
            .await?;
        let mut plain: Plain =
            serde_json::from_str(opened.expose()).map_err(|_| VaultError::Sealed)?;
        let grant = Grant {
            refresh_token: Secret::new(std::mem::take(&mut plain.refresh_token)),
            access_token: Secret::new(std::mem::take(&mut plain.access_token)),
            expires_at: plain.expires_at,
        };
        Ok(Some(VersionedGrant {
            grant,
            version: stored.version,
        }))
    }

    /// Stores a grant. With `over`, only if that is still the stored version: a conditional write. Without it, replaces
    /// any stored grant.
    pub async fn put_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
        grant: &Grant,
        over: Option<u64>,
    ) -> Result<WriteOutcome, VaultError> {
        let plain = Plain {
            refresh_token: grant.refresh_token.expose().to_owned(),
            access_token: grant.access_token.expose().to_owned(),
            expires_at: grant.expires_at,
        };
        let text = Zeroizing::new(serde_json::to_string(&plain).map_err(|_| VaultError::Sealed)?);
        let sealed = self
            .seal(location(user, connection), &Secret::new(text.to_string()))
            .await?;
        Ok(self
            .store
            .put_grant(user, connection, &sealed, over)
            .await?)
    }
}
