//! Sealed secrets and the wrapped keys that open them. What is inside, only the vault can tell.

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
    /// The wrapped data key of a person, as base64.
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

    /// Stores a person's first wrapped data key; refused when another was stored meanwhile.
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

    /// Removes a person's wrapped data key: nothing that was sealed with it can ever be opened again.
    pub async fn shred_key(&self, user: UserId) -> Result<()> {
        self.delete("shred a wrapped key", &self.vault, keys::data_key(user))
            .await
    }

    /// A sealed secret.
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

    /// Stores a sealed secret in place of the one before.
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
