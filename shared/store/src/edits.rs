//! Events of accounts, which two sides write: every write says which revision it is made from, and is refused when
//! somebody else was faster. A note beside the events says which of them are still to be written to the provider.

use aws_sdk_dynamodb::types::TransactWriteItem;
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, UserId};
use calweave_domain::link::LinkStatus;

use super::accounts::put;
use super::events::event_item;
use super::{Result, Store, StoreError, WriteOutcome, keys, n};

const UNCHANGED: &str = "revision = :revision";
const NEW: &str = "attribute_not_exists(pk)";

/// The event's next revision, and the one that it was read in; 0 for a new one.
fn next_revision(event: &mut Event) -> u64 {
    let link = event.link.get_or_insert_default();
    link.revision += 1;
    link.revision - 1
}

/// What [`Store::update_event`] is to do about an event as it is stored.
#[derive(Debug)]
pub enum EventUpdate<T> {
    /// Write nothing.
    Skip(T),
    /// Write this in its place.
    Put(Box<Event>),
    /// Write this in its place, with a note that it has a change for the provider.
    PutEdit(Box<Event>),
}

/// What came of [`Store::update_event`].
#[derive(Debug)]
pub enum EventUpdated<T> {
    /// Nothing was to be written.
    Skipped(T),
    /// The event was written.
    Written {
        /// The event that it was made from.
        before: Option<Event>,
        /// The event as it is stored now.
        after: Box<Event>,
    },
    /// Concurrent writers won every attempt; nothing was written.
    Contended,
}

/// How often an update is decided anew because a concurrent writer was first.
const UPDATE_ATTEMPTS: usize = 8;

impl Store {
    /// Writes an event over what is stored: `decide` is given the event as it is, first as it is `known` if the caller has
    /// read it, and is asked again for each concurrent writer that was first.
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

    /// Writes an event; refused when it is not any more as it was read.
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

    /// Writes an event that has a change for the provider, and the note of it; refused as above.
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

    /// Writes an event in the way that its link asks for: with a note where a change waits for the provider.
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

    /// Removes an event; refused when it is not any more as it was read.
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

    /// The events of a calendar that have a change for the provider, at most `limit`, in the order of their ids.
    pub async fn pending_edits(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<Vec<EventId>> {
        let query = self
            .query(&self.calendar, keys::edits_partition(user, calendar), "")
            .consistent_read(true)
            .limit(limit);
        let (items, _) = self.page("find edits", query).await?;
        let id = |item: &super::Item| item.get(keys::SK)?.as_s().ok()?.parse().ok();
        Ok(items.iter().filter_map(id).collect())
    }

    /// Takes the note of a change away, once the change is written; the note of a change that was made after `revision`
    /// stays.
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
                "forget an edit",
                deletion.expression_attribute_values(":revision", n(revision)),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Removes at most `limit` notes of a calendar. Answers whether all are gone.
    pub async fn erase_edits(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let query = self
            .query(&self.calendar, keys::edits_partition(user, calendar), "")
            .projection_expression("pk, sk")
            .limit(limit);
        let (items, more) = self.page("erase the edits of a calendar", query).await?;
        self.delete_all(&self.calendar, items).await?;
        Ok(more.is_none())
    }
}
