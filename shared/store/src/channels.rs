//! Push channels. A notification names only a channel, so a channel is the one item that is read without its owner. The
//! owner is revealed only to a caller that knows the channel's secret.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys::{DUE, DueKind};
use super::{Result, Store, StoreError, keys, n, s, to_item};

/// A push channel (Google: channel; Microsoft Graph: subscription).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Random id.
    pub id: String,
    /// The owner.
    pub user_id: UserId,
    /// The watched calendar.
    pub calendar_id: CalendarId,
    /// Digest of the secret that each notification carries.
    pub secret_digest: String,
    /// The provider's id of the watched resource or subscription; `None` until the provider has returned it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// When the channel is due to be renewed; `None` until it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_at: Option<DateTime<Utc>>,
    /// When the channel expires.
    pub until: DateTime<Utc>,
}

/// A notification that carries the secret of its channel. Only [`Store::verify_notification`] creates one.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedNotification {
    user: UserId,
    calendar: CalendarId,
}

impl VerifiedNotification {
    fn new(channel: &Channel) -> Self {
        Self {
            user: channel.user_id,
            calendar: channel.calendar_id,
        }
    }

    /// Returns the owner of the channel.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Returns the calendar that has changed.
    pub fn calendar(&self) -> CalendarId {
        self.calendar
    }
}

/// A channel that is due to be renewed.
#[derive(Clone, Copy, Debug)]
pub struct DueChannel {
    /// The owner of the channel.
    pub user: UserId,
    /// The watched calendar.
    pub calendar: CalendarId,
}

impl Store {
    /// Stores a channel.
    pub async fn put_channel(&self, channel: &Channel) -> Result<()> {
        let operation = "store a channel";
        let mut item = to_item(operation, keys::channel(&channel.id), channel)?;
        item.insert(keys::TTL.to_owned(), n(channel.until.timestamp()));
        if let Some(renew_at) = channel.renew_at {
            item.insert(
                DUE.pk.to_owned(),
                s(DueKind::Channel.partition_of(channel.user_id)),
            );
            item.insert(DUE.sk.to_owned(), s(keys::due_sort(renew_at, &channel.id)));
        }
        self.put_item(operation, &self.calendar, item).await
    }

    /// Stores the new expiry of a renewed channel. Does nothing when the channel is not the user's.
    pub async fn extend_channel(
        &self,
        user: UserId,
        id: &str,
        renew_at: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<()> {
        let operation = "extend a channel";
        let time = |at: DateTime<Utc>| {
            serde_dynamo::to_attribute_value(at).map_err(|error| StoreError::new(operation, error))
        };
        let request = self
            .change(&self.calendar, keys::channel(id))
            .update_expression("SET renewAt = :renew, #until = :until, #ttl = :ttl, dueSk = :due")
            .condition_expression("userId = :user")
            .expression_attribute_names("#until", "until")
            .expression_attribute_names("#ttl", keys::TTL)
            .expression_attribute_values(":renew", time(renew_at)?)
            .expression_attribute_values(":until", time(until)?)
            .expression_attribute_values(":ttl", n(until.timestamp()))
            .expression_attribute_values(":due", s(keys::due_sort(renew_at, id)))
            .expression_attribute_values(":user", s(user.to_string()));
        self.done(operation, request).await.map(drop)
    }

    /// Lists the channels that are due to be renewed by `until`, at most `limit` of one shard.
    pub async fn channels_due(
        &self,
        shard: u32,
        until: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<DueChannel>> {
        let mut due = Vec::new();
        for item in self
            .due_items(DueKind::Channel, shard, until, limit)
            .await?
        {
            let Some(id) = item
                .get(keys::PK)
                .and_then(|pk| pk.as_s().ok()?.strip_prefix("CHANNEL#"))
            else {
                continue;
            };
            let found: Option<Channel> = self
                .get("read a channel", &self.calendar, keys::channel(id), false)
                .await?;
            due.extend(found.map(|channel| DueChannel {
                user: channel.user_id,
                calendar: channel.calendar_id,
            }));
        }
        Ok(due)
    }

    /// Verifies a notification: it must carry the channel's secret and resource id. Before the resource id is known,
    /// the secret alone is sufficient. `None` when the notification is not valid or the channel does not exist.
    pub async fn verify_notification(
        &self,
        id: &str,
        resource_id: &str,
        secret_digest: &str,
    ) -> Result<Option<VerifiedNotification>> {
        let found: Option<Channel> = self
            .get("read a channel", &self.calendar, keys::channel(id), true)
            .await?;
        let same = |a: &str, b: &str| verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok();
        Ok(found
            .filter(|channel| same(&channel.secret_digest, secret_digest))
            .filter(|channel| {
                channel
                    .resource_id
                    .as_deref()
                    .is_none_or(|known| same(known, resource_id))
            })
            .map(|channel| VerifiedNotification::new(&channel)))
    }

    /// Removes a channel; its notifications are no longer valid.
    pub async fn delete_channel(&self, id: &str) -> Result<()> {
        self.delete("remove a channel", &self.calendar, keys::channel(id))
            .await
    }
}
