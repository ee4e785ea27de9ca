//! Sealed secrets and the wrapped data keys that open them. Only the vault can decrypt either.

use calweave_domain::ids::{ConnectionId, UserId};
use serde::{Deserialize, Serialize};

use super::{Result, Store, WriteOutcome, keys, to_item};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrappedKey {
    wrapped: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SealedSecret {
    sealed: String,
}

impl Store {
    /// Returns the wrapped data key of a user, as base64.
    pub async fn wrapped_key(&self, user: UserId) -> Result<Option<String>> {
        let found: Option<WrappedKey> = self
            .get(
                "read a wrapped key",
                &self.vault,
                keys::data_key(user),
                true,
            )
            .await?;
        Ok(found.map(|key| key.wrapped))
    }

    /// Stores the wrapped data key of a user. The condition fails when the user has one already.
    pub async fn create_wrapped_key(&self, user: UserId, wrapped: &str) -> Result<WriteOutcome> {
        let operation = "store a wrapped key";
        let item = to_item(
            operation,
            keys::data_key(user),
            &WrappedKey {
                wrapped: wrapped.to_owned(),
            },
        )?;
        let put = self
            .dynamo
            .put_item()
            .table_name(&self.vault)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        self.put(operation, put).await
    }

    /// Removes the wrapped data key of a user, so that nothing sealed with it can be opened again.
    pub async fn shred_key(&self, user: UserId) -> Result<()> {
        self.delete("shred a wrapped key", &self.vault, keys::data_key(user))
            .await
    }

    /// Returns a sealed secret of a connection.
    pub async fn sealed_secret(
        &self,
        user: UserId,
        connection: ConnectionId,
        field: &str,
    ) -> Result<Option<String>> {
        let found: Option<SealedSecret> = self
            .get(
                "read a secret",
                &self.vault,
                keys::secret(user, connection, field),
                true,
            )
            .await?;
        Ok(found.map(|secret| secret.sealed))
    }

    /// Stores a sealed secret, replacing an existing one.
    pub async fn put_secret(
        &self,
        user: UserId,
        connection: ConnectionId,
        field: &str,
        sealed: &str,
    ) -> Result<()> {
        let operation = "store a secret";
        let item = to_item(
            operation,
            keys::secret(user, connection, field),
            &SealedSecret {
                sealed: sealed.to_owned(),
            },
        )?;
        self.put_item(operation, &self.vault, item).await
    }

    /// Removes a sealed secret.
    pub async fn delete_secret(
        &self,
        user: UserId,
        connection: ConnectionId,
        field: &str,
    ) -> Result<()> {
        self.delete(
            "remove a secret",
            &self.vault,
            keys::secret(user, connection, field),
        )
        .await
    }
}
