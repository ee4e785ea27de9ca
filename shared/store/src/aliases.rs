//! Aliases of events. An event that was created here gets its remote id from the provider. The event id cannot be
//! derived from such a remote id, so the mapping is stored.
//!
//! In the same place, a *tombstone* records the remote id of an event that was removed, so that the provider's report of
//! the removal is not taken for that of an unknown event.

use std::collections::{HashMap, HashSet};

use calweave_domain::ids::{CalendarId, EventId, UserId};
use chrono::TimeDelta;

use super::{Item, Result, Store, WriteOutcome, keys, n, s};

/// How long a tombstone is kept. Providers report a removal in the next list of changes.
const TOMBSTONE_LIFETIME: TimeDelta = TimeDelta::days(40);

impl Store {
    /// Stores that `foreign`, the event id that would be derived from the remote id, is an alias of `event`.
    pub async fn put_alias(&self, user: UserId, foreign: &EventId, event: &EventId) -> Result<()> {
        let mut item = keys::alias(user, foreign).attributes();
        item.insert("event".to_owned(), s(event.to_string()));
        self.put_item("store an event alias", &self.calendar, item)
            .await
    }

    /// Returns those of these ids that are aliases, each with the event that it stands for.
    pub async fn aliases(
        &self,
        user: UserId,
        foreign: &[EventId],
    ) -> Result<HashMap<EventId, EventId>> {
        let keys = foreign
            .iter()
            .map(|id| keys::alias(user, id).attributes())
            .collect();
        Ok(self
            .read_all("read event aliases", &self.calendar, keys)
            .await?
            .iter()
            .filter_map(read)
            .collect())
    }

    /// Returns all aliases of a calendar's events, each with the event that it stands for.
    pub async fn all_aliases(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<HashMap<EventId, EventId>> {
        let query = self
            .query(&self.calendar, keys::aliases_partition(user, calendar), "")
            .consistent_read(true);
        Ok(self
            .all("list the event aliases of a calendar", query)
            .await?
            .iter()
            .filter_map(read)
            .collect())
    }

    /// Stores a tombstone for `foreign`, in place of its alias if that stands for `event`.
    pub async fn put_tombstone(
        &self,
        user: UserId,
        foreign: &EventId,
        event: &EventId,
    ) -> Result<()> {
        let mut item = keys::alias(user, foreign).attributes();
        let until = self.clock.now() + TOMBSTONE_LIFETIME;
        item.insert(keys::TTL.to_owned(), n(until.timestamp()));
        let request = self
            .dynamo
            .put_item()
            .table_name(&self.calendar)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(event) OR event = :event")
            .expression_attribute_values(":event", s(event.to_string()));
        match self.put("store a tombstone", request).await? {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Returns those of these ids that have a tombstone.
    pub async fn tombstones(&self, user: UserId, foreign: &[EventId]) -> Result<HashSet<EventId>> {
        let keys = foreign
            .iter()
            .map(|id| keys::alias(user, id).attributes())
            .collect();
        let items = self
            .read_all("read tombstones", &self.calendar, keys)
            .await?;
        let found = items.iter().filter(|item| !item.contains_key("event"));
        let id = |item: &Item| item.get(keys::SK)?.as_s().ok()?.parse().ok();
        Ok(found.filter_map(id).collect())
    }

    /// Removes an alias if it stands for `event`.
    pub async fn delete_alias(
        &self,
        user: UserId,
        foreign: &EventId,
        event: &EventId,
    ) -> Result<()> {
        let deletion = self
            .deletion(&self.calendar, keys::alias(user, foreign))
            .condition_expression("event = :event");
        match self
            .delete_if(
                "remove an event alias",
                deletion.expression_attribute_values(":event", s(event.to_string())),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Removes at most `limit` aliases of a calendar's events. Returns whether none are left.
    pub async fn erase_aliases(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let partition = keys::aliases_partition(user, calendar);
        self.erase_items("erase event aliases", partition, limit)
            .await
    }
}

fn read(item: &Item) -> Option<(EventId, EventId)> {
    let text = |name: &str| item.get(name)?.as_s().ok()?.parse().ok();
    Some((text(keys::SK)?, text("event")?))
}
