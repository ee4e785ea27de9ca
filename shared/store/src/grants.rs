//! Sealed grants. Whoever renews one holds a lease on it, and writes it only over the version that was read.

use calweave_domain::ids::{ConnectionId, UserId};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Result, Store, WriteOutcome, keys, n, s};

/// How long a renewal may take before somebody else may try.
const LEASE_LIFETIME: TimeDelta = TimeDelta::seconds(30);

/// A grant as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealedGrant {
    /// What only the vault can open.
    pub sealed: String,
    /// Counts the renewals.
    pub version: u64,
}

impl Store {
    /// The sealed grant of a link.
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

    /// Stores a grant over version `over`, and whatever is there without; refused when another was stored meanwhile.
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

    /// Takes the right to renew version `version` of a grant; refused while somebody else has it, or when that version
    /// is not the one that stands.
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

    /// Removes version `version` of a grant; another one stays.
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

    /// Gives the right to renew back without having renewed.
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
