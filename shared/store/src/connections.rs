//! Connections to accounts, and the owners of accounts: an account belongs to at most one user at a time.

use calweave_domain::calendar::ProviderKind;
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys::{DUE, DueKind};
use super::{Item, Result, Store, WriteOutcome, from_item, keys, n, s, to_item};

/// The user that has linked an account, with the connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountOwner {
    /// The user.
    pub user_id: UserId,
    /// The connection to the account.
    pub connection_id: ConnectionId,
}

fn account(provider: ProviderKind, account: &str) -> keys::Key {
    keys::account(&provider.path().to_uppercase(), account)
}

impl Store {
    /// Returns the owner of an account; `None` when it is not linked.
    pub async fn account_owner(
        &self,
        provider: ProviderKind,
        id: &str,
    ) -> Result<Option<AccountOwner>> {
        self.get(
            "find an account",
            &self.calendar,
            account(provider, id),
            true,
        )
        .await
    }

    /// Claims an account for a user. The condition fails when the account is linked already.
    pub async fn claim_account(
        &self,
        provider: ProviderKind,
        id: &str,
        owner: AccountOwner,
    ) -> Result<WriteOutcome> {
        let operation = "claim an account";
        let item = to_item(operation, account(provider, id), &owner)?;
        let put = self
            .dynamo
            .put_item()
            .table_name(&self.calendar)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)");
        self.put(operation, put).await
    }

    /// Releases an account that belongs to this connection, so that any user can link it.
    pub async fn release_account(&self, connection: &Connection) -> Result<()> {
        let deletion = self.deletion(
            &self.calendar,
            account(connection.provider, &connection.account_id),
        );
        let deletion = deletion.condition_expression("connectionId = :connection");
        match self
            .delete_if(
                "release an account",
                deletion.expression_attribute_values(":connection", s(connection.id.to_string())),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Stores a connection. Its access token is due to be renewed at `renew_at`.
    pub async fn put_connection(
        &self,
        connection: &Connection,
        renew_at: DateTime<Utc>,
    ) -> Result<()> {
        let operation = "store a connection";
        let mut item = to_item(
            operation,
            keys::connection(connection.user_id, connection.id),
            connection,
        )?;
        item.insert(
            DUE.pk.to_owned(),
            s(DueKind::Grant.partition_of(connection.user_id)),
        );
        item.insert(
            DUE.sk.to_owned(),
            s(keys::due_sort(renew_at, &connection.id.to_string())),
        );
        self.put_item(operation, &self.calendar, item).await
    }

    /// Returns a connection.
    pub async fn connection(
        &self,
        user: UserId,
        connection: ConnectionId,
    ) -> Result<Option<Connection>> {
        self.get(
            "read a connection",
            &self.calendar,
            keys::connection(user, connection),
            true,
        )
        .await
    }

    /// Lists all connections of a user.
    pub async fn connections(&self, user: UserId) -> Result<Vec<Connection>> {
        let operation = "list connections";
        let query = self
            .query(
                &self.calendar,
                keys::user_partition(user),
                keys::CONNECTION_PREFIX,
            )
            .consistent_read(true);
        self.all(operation, query)
            .await?
            .into_iter()
            .map(|item| from_item(operation, item))
            .collect()
    }

    /// Marks a connection whose grant is no longer accepted. The condition fails when the connection is not active, so
    /// that the transition is reported once.
    pub async fn needs_reauth(
        &self,
        connection: &Connection,
        reason: &str,
    ) -> Result<WriteOutcome> {
        let operation = "mark a connection";
        let text = |status| {
            serde_dynamo::to_attribute_value(status)
                .map_err(|error| super::StoreError::new(operation, error))
        };
        let request = self
            .change(
                &self.calendar,
                keys::connection(connection.user_id, connection.id),
            )
            .update_expression("SET #status = :broken, statusReason = :reason REMOVE duePk, dueSk")
            // A grant that was given anew in the meantime is not meant.
            .condition_expression("#status = :active AND grantedAt = :granted")
            .expression_attribute_values(
                ":granted",
                serde_dynamo::to_attribute_value(connection.granted_at)
                    .map_err(|error| super::StoreError::new(operation, error))?,
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":broken", text(ConnectionStatus::NeedsReauth)?)
            .expression_attribute_values(":active", text(ConnectionStatus::Active)?)
            .expression_attribute_values(":reason", s(reason));
        self.done(operation, request).await
    }

    /// Marks a connection as disconnected before its grant is revoked. The condition fails when a new grant has been
    /// given since the connection was read.
    pub async fn end_connection(&self, connection: &Connection) -> Result<WriteOutcome> {
        let operation = "end a connection";
        let wrong = |error| super::StoreError::new(operation, error);
        let status =
            serde_dynamo::to_attribute_value(ConnectionStatus::Disconnected).map_err(wrong)?;
        let granted = serde_dynamo::to_attribute_value(connection.granted_at).map_err(wrong)?;
        let request = self
            .change(
                &self.calendar,
                keys::connection(connection.user_id, connection.id),
            )
            .update_expression(
                "SET #status = :ended REMOVE duePk, dueSk, statusReason, channel, watchingUntil",
            )
            .condition_expression("grantedAt = :granted")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":ended", status)
            .expression_attribute_values(":granted", granted);
        self.done(operation, request).await
    }

    /// Reverts [`Store::end_connection`] while the grant is not revoked. The condition fails when a new grant has been
    /// given since the connection was read.
    pub async fn revive_connection(&self, connection: &Connection) -> Result<WriteOutcome> {
        let operation = "revive a connection";
        let wrong = |error| super::StoreError::new(operation, error);
        let now = self.clock.now();
        let request = self
            .change(
                &self.calendar,
                keys::connection(connection.user_id, connection.id),
            )
            // Due at once: its token is checked soon. The next sync opens a new channel.
            .update_expression("SET #status = :active, duePk = :duePk, dueSk = :dueSk")
            .condition_expression("grantedAt = :granted")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(
                ":active",
                serde_dynamo::to_attribute_value(ConnectionStatus::Active).map_err(wrong)?,
            )
            .expression_attribute_values(
                ":granted",
                serde_dynamo::to_attribute_value(connection.granted_at).map_err(wrong)?,
            )
            .expression_attribute_values(
                ":duePk",
                s(DueKind::Grant.partition_of(connection.user_id)),
            )
            .expression_attribute_values(
                ":dueSk",
                s(keys::due_sort(now, &connection.id.to_string())),
            );
        self.done(operation, request).await
    }

    /// Claims the listing of an account's calendars. The condition fails when they were listed since `before`.
    pub async fn claim_listing(
        &self,
        user: UserId,
        connection: ConnectionId,
        before: DateTime<Utc>,
    ) -> Result<WriteOutcome> {
        let request = self
            .change(&self.calendar, keys::connection(user, connection))
            .update_expression("SET listedAt = :now")
            .condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(listedAt) OR listedAt < :before)",
            )
            .expression_attribute_values(":now", s(keys::sortable(self.clock.now())))
            .expression_attribute_values(":before", s(keys::sortable(before)));
        self.done("claim the listing of an account", request).await
    }

    /// Claims the choice of an account's calendars until `until`, or until [`Store::end_choice`]. The condition fails while another
    /// request holds it.
    pub async fn begin_choice(
        &self,
        user: UserId,
        connection: ConnectionId,
        until: DateTime<Utc>,
    ) -> Result<WriteOutcome> {
        let request = self
            .change(&self.calendar, keys::connection(user, connection))
            .update_expression("SET choosingUntil = :until")
            .condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(choosingUntil) OR choosingUntil < :now)",
            )
            .expression_attribute_values(":now", s(keys::sortable(self.clock.now())))
            .expression_attribute_values(":until", s(keys::sortable(until)));
        self.done("begin a choice of calendars", request).await
    }

    /// Ends the claim of [`Store::begin_choice`].
    pub async fn end_choice(&self, user: UserId, connection: ConnectionId) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::connection(user, connection))
            .update_expression("REMOVE choosingUntil")
            .condition_expression("attribute_exists(pk)");
        self.done("end a choice of calendars", request)
            .await
            .map(drop)
    }

    /// Pauses the calls about an account until `until`; an earlier time than the stored one has no effect.
    pub async fn pause_connection(
        &self,
        user: UserId,
        connection: ConnectionId,
        until: DateTime<Utc>,
    ) -> Result<()> {
        let operation = "pause the calls about a connection";
        let until = serde_dynamo::to_attribute_value(until)
            .map_err(|error| super::StoreError::new(operation, error))?;
        let request = self
            .change(&self.calendar, keys::connection(user, connection))
            .update_expression("SET pausedUntil = :until")
            .condition_expression(
                "attribute_exists(pk) AND (attribute_not_exists(pausedUntil) OR pausedUntil < :until)",
            )
            .expression_attribute_values(":until", until);
        self.done(operation, request).await.map(drop)
    }

    /// Pauses all calls of a provider until `until`; an earlier time than the stored one has no effect.
    pub async fn pause_provider(&self, provider: &str, until: DateTime<Utc>) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::provider_pause(provider))
            .update_expression("SET pausedUntil = :until, #ttl = :ttl")
            .condition_expression("attribute_not_exists(pausedUntil) OR pausedUntil < :until")
            .expression_attribute_names("#ttl", keys::TTL)
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":ttl", n(until.timestamp()));
        self.done("pause the calls of a provider", request)
            .await
            .map(drop)
    }

    /// Returns until when all calls of a provider are paused.
    pub async fn provider_pause(&self, provider: &str) -> Result<Option<DateTime<Utc>>> {
        let operation = "read the pause of a provider";
        let item: Option<serde_json::Map<String, serde_json::Value>> = self
            .get(
                operation,
                &self.calendar,
                keys::provider_pause(provider),
                false,
            )
            .await?;
        let millis = item.and_then(|item| item.get("pausedUntil")?.as_i64());
        Ok(millis.and_then(DateTime::from_timestamp_millis))
    }

    /// Changes the time at which the access token of an active connection is due to be renewed.
    pub async fn renew_grant_at(
        &self,
        user: UserId,
        connection: ConnectionId,
        at: DateTime<Utc>,
    ) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::connection(user, connection))
            .update_expression("SET dueSk = :due")
            .condition_expression("attribute_exists(duePk)")
            .expression_attribute_values(":due", s(keys::due_sort(at, &connection.to_string())));
        self.update("schedule the renewal of a grant", request)
            .await
            .map(drop)
    }

    /// Lists the connections whose access token is due to be renewed by `until`, at most `limit` of one shard.
    pub async fn grants_due(
        &self,
        shard: u32,
        until: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<AccountOwner>> {
        let items = self.due_items(DueKind::Grant, shard, until, limit).await?;
        let read = |item: &Item| {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            let user_id = text(keys::PK)?.strip_prefix("USER#")?.parse().ok()?;
            let connection_id = text(keys::SK)?
                .strip_prefix(keys::CONNECTION_PREFIX)?
                .parse()
                .ok()?;
            Some(AccountOwner {
                user_id,
                connection_id,
            })
        };
        Ok(items.iter().filter_map(read).collect())
    }
}
