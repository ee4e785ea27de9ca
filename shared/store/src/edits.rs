//! Events that users and syncs write concurrently: every write names the revision that it is based on, and its
//! condition fails when another writer was first. An edit marker, an item of its own, marks each event that has a local
//! change that the provider does not have yet.

use aws_sdk_dynamodb::types::TransactWriteItem;
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, UserId};
use calweave_domain::link::LinkStatus;

use super::accounts::put;
use super::events::event_item;
use super::{Result, Store, StoreError, WriteOutcome, keys, n};

const UNCHANGED: &str = "revision = :revision";
const NEW: &str = "attribute_not_exists(pk)";

/// Increments the event's revision. Returns the revision that the event was read with; 0 for a new event.
fn next_revision(event: &mut Event) -> u64 {
    let link = event.link.get_or_insert_default();
    link.revision += 1;
    link.revision - 1
}

/// The decision that the closure of [`Store::update_event`] returns for the stored event.
#[derive(Debug)]
pub enum EventUpdate<T> {
    /// Write nothing, and return this value.
    Skip(T),
    /// Write this event.
    Put(Box<Event>),
    /// Write this event together with an edit marker.
    PutEdit(Box<Event>),
}

/// The outcome of [`Store::update_event`].
#[derive(Debug)]
pub enum EventUpdated<T> {
    /// The closure decided to write nothing.
    Skipped(T),
    /// The event was written.
    Written {
        /// The stored event that the write replaced.
        before: Option<Event>,
        /// The event that is now stored.
        after: Box<Event>,
    },
    /// Concurrent writers won every attempt; nothing was written.
    Contended,
}

/// Attempts to update an event when concurrent writers are first.
const UPDATE_ATTEMPTS: usize = 8;

impl Store {
    /// Updates an event under optimistic locking. `decide` receives the stored event, the first time `known` if the
    /// caller has read the event already, and is called again with the event as it is then whenever a concurrent writer
    /// was first.
    pub async fn update_event<T>(
        &self,
        user: UserId,
        id: &EventId,
        known: Option<Event>,
        mut decide: impl FnMut(Option<Event>) -> EventUpdate<T>,
    ) -> Result<EventUpdated<T>> {
        let mut before = match known {
            Some(known) => Some(known),
            None => self.event(user, id).await?,
        };
        for _ in 0..UPDATE_ATTEMPTS {
            let (outcome, after) = match decide(before.clone()) {
                EventUpdate::Skip(value) => return Ok(EventUpdated::Skipped(value)),
                EventUpdate::Put(mut event) => (self.put_event(user, &mut event).await?, event),
                EventUpdate::PutEdit(mut event) => (self.put_edit(user, &mut event).await?, event),
            };
            if outcome == WriteOutcome::Written {
                return Ok(EventUpdated::Written { before, after });
            }
            before = self.event(user, id).await?;
        }
        Ok(EventUpdated::Contended)
    }

    /// Writes an event. The condition fails when the event was changed since it was read.
    pub async fn put_event(&self, user: UserId, event: &mut Event) -> Result<WriteOutcome> {
        let before = next_revision(event);
        let request = self
            .dynamo
            .put_item()
            .table_name(&self.calendar)
            .set_item(Some(event_item(user, event)?));
        let request = match before {
            0 => request.condition_expression(NEW),
            _ => request
                .condition_expression(UNCHANGED)
                .expression_attribute_values(":revision", n(before)),
        };
        self.put("write an event", request).await
    }

    /// Writes an event and its edit marker in one transaction. The condition is that of [`Store::put_event`].
    pub async fn put_edit(&self, user: UserId, event: &mut Event) -> Result<WriteOutcome> {
        let operation = "write an edit";
        let before = next_revision(event);
        let item = event_item(user, event)?;
        let event_put = match before {
            0 => put(&self.calendar, item, Some(NEW))?,
            _ => {
                let put = aws_sdk_dynamodb::types::Put::builder()
                    .table_name(&self.calendar)
                    .set_item(Some(item));
                let put = put
                    .condition_expression(UNCHANGED)
                    .expression_attribute_values(":revision", n(before))
                    .build();
                TransactWriteItem::builder()
                    .put(put.map_err(|error| StoreError::new(operation, error))?)
                    .build()
            }
        };
        let mut note = keys::edit(user, &event.id).attributes();
        note.insert("revision".to_owned(), n(before + 1));
        let note = put(&self.calendar, note, None)?;
        self.transact(operation, vec![event_put, note]).await
    }

    /// Writes an event, together with an edit marker if the status of its link is pending.
    pub async fn put_linked(&self, user: UserId, event: &mut Event) -> Result<WriteOutcome> {
        let waits = event
            .link
            .as_ref()
            .is_some_and(|link| link.status() == LinkStatus::Pending);
        if waits {
            self.put_edit(user, event).await
        } else {
            self.put_event(user, event).await
        }
    }

    /// Removes an event. The condition fails when the event was changed since it was read.
    pub async fn delete_event(&self, user: UserId, event: &Event) -> Result<WriteOutcome> {
        let revision = event.link.as_ref().map_or(0, |link| link.revision);
        let deletion = self
            .deletion(&self.calendar, keys::event(user, &event.id))
            .condition_expression(UNCHANGED);
        self.delete_if(
            "remove an event",
            deletion.expression_attribute_values(":revision", n(revision)),
        )
        .await
    }

    /// Lists the events of a calendar that have an edit marker, at most `limit`, in the order of their ids.
    pub async fn pending_edits(
        &self,
        user: UserId,
        calendar: CalendarId,
        after: Option<&EventId>,
        limit: i32,
    ) -> Result<Vec<EventId>> {
        let start = after.map(|event| keys::edit(user, event).attributes());
        let query = self
            .query(&self.calendar, keys::edits_partition(user, calendar), "")
            .set_exclusive_start_key(start)
            .consistent_read(true)
            .limit(limit);
        let (items, _) = self.page("find edits", query).await?;
        let id = |item: &super::Item| item.get(keys::SK)?.as_s().ok()?.parse().ok();
        Ok(items.iter().filter_map(id).collect())
    }

    /// Removes the edit marker of an event once the edit is written. Keeps the marker of an edit that was made after
    /// `revision`.
    pub async fn clear_edit_marker(
        &self,
        user: UserId,
        event: &EventId,
        revision: u64,
    ) -> Result<()> {
        let deletion = self.deletion(&self.calendar, keys::edit(user, event));
        let deletion =
            deletion.condition_expression("attribute_not_exists(pk) OR revision <= :revision");
        match self
            .delete_if(
                "clear an edit marker",
                deletion.expression_attribute_values(":revision", n(revision)),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Removes at most `limit` edit markers of a calendar. Returns whether none are left.
    pub async fn erase_edits(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let partition = keys::edits_partition(user, calendar);
        self.erase_items("erase the edits of a calendar", partition, limit)
            .await
    }
}
