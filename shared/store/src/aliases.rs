//! Names that a provider has given to events that were made here. Nothing in such a name says which event of ours it is, so
//! it is written down.

use std::collections::HashMap;

use calweave_domain::ids::{CalendarId, EventId, UserId};

use super::{Item, Result, Store, WriteOutcome, keys, s};

impl Store {
    /// Notes that what would be called `foreign` here, had it come from the provider, is `event`.
    pub async fn put_alias(&self, user: UserId, foreign: &EventId, event: &EventId) -> Result<()> {
        let mut item = keys::alias(user, foreign).attributes();
        item.insert("event".to_owned(), s(event.to_string()));
        self.put_item("note an event's other name", &self.calendar, item)
            .await
    }

    /// Which of these are other names of events, and of which.
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
            .read_all("find events by other names", keys)
            .await?
            .iter()
            .filter_map(read)
            .collect())
    }

    /// All other names of a calendar's events.
    pub async fn all_aliases(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<HashMap<EventId, EventId>> {
        let query = self
            .query(&self.calendar, keys::aliases_partition(user, calendar), "")
            .consistent_read(true);
        Ok(self
            .all("list the other names of events", query)
            .await?
            .iter()
            .filter_map(read)
            .collect())
    }

    /// Forgets an event's other name.
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
                "forget an event's other name",
                deletion.expression_attribute_values(":event", s(event.to_string())),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Removes at most `limit` other names of a calendar's events. Answers whether all are gone.
    pub async fn erase_aliases(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let query = self
            .query(&self.calendar, keys::aliases_partition(user, calendar), "")
            .projection_expression("pk, sk")
            .limit(limit);
        let (items, more) = self.page("erase the other names of events", query).await?;
        self.delete_all(&self.calendar, items).await?;
        Ok(more.is_none())
    }
}

fn read(item: &Item) -> Option<(EventId, EventId)> {
    let text = |name: &str| item.get(name)?.as_s().ok()?.parse().ok();
    Some((text(keys::SK)?, text("event")?))
}
