//! Sealed grants. A worker that renews a grant holds a lease on it, and writes it only over the version that it has
//! read.

use calweave_domain::ids::{ConnectionId, UserId};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Result, Store, WriteOutcome, keys, n, s};

/// Lifetime of the lease: after this time another worker may renew the grant.
const LEASE_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// A grant in its stored form.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedGrant {
    /// The ciphertext; only the vault can open it.
    pub sealed: String,
    /// Counts the writes; the condition of [`Store::put_grant`].
    pub version: u64,
}

impl Store {
    /// Returns the sealed grant of a connection.
    pub async fn sealed_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
    ) -> Result<Option<SealedGrant>> {
        self.get(
            "read a grant",
            &self.vault,
            keys::grant(user, connection),
            true,
        )
        .await
    }

    /// Stores a grant and releases the lease. With `over`, the condition fails when the stored version is not `over`;
    /// without, the write is unconditional.
    pub async fn put_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
        sealed: &str,
        over: Option<u64>,
    ) -> Result<WriteOutcome> {
        let request = self
            .change(&self.vault, keys::grant(user, connection))
            .update_expression("SET sealed = :sealed ADD version :one REMOVE renewingUntil")
            .expression_attribute_values(":sealed", s(sealed))
            .expression_attribute_values(":one", n(1));
        let request = match over {
            Some(version) => request
                .condition_expression("version = :version")
                .expression_attribute_values(":version", n(version)),
            None => request,
        };
        self.done("store a grant", request).await
    }

    /// Acquires the lease to renew version `version` of a grant. The condition fails while another worker holds the
    /// lease, or when `version` is not the stored version.
    pub async fn lease_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
        version: u64,
    ) -> Result<WriteOutcome> {
        let now = self.clock.now();
        let request = self
            .change(&self.vault, keys::grant(user, connection))
            .update_expression("SET renewingUntil = :until")
            .condition_expression("version = :version AND (attribute_not_exists(renewingUntil) OR renewingUntil < :now)")
            .expression_attribute_values(":version", n(version))
            .expression_attribute_values(":now", n(now.timestamp_millis()))
            .expression_attribute_values(":until", n((now + LEASE_LIFETIME).timestamp_millis()));
        self.done("lease a grant", request).await
    }

    /// Removes a grant if its stored version is `version`.
    pub async fn delete_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
        version: u64,
    ) -> Result<()> {
        let deletion = self
            .deletion(&self.vault, keys::grant(user, connection))
            .condition_expression("version = :version");
        match self
            .delete_if(
                "remove a grant",
                deletion.expression_attribute_values(":version", n(version)),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Releases the lease without a renewal.
    pub async fn release_grant(
        &self,
        user: UserId,
        connection: ConnectionId,
        version: u64,
    ) -> Result<()> {
        let request = self
            .change(&self.vault, keys::grant(user, connection))
            .update_expression("REMOVE renewingUntil")
            .condition_expression("version = :version")
            .expression_attribute_values(":version", n(version));
        self.update("release a grant", request).await.map(drop)
    }
}
