//! Stored events of a calendar.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, WriteRequest,
};
use calweave_domain::agenda::index_position;
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, UserId};
use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::{Item, Result, Store, StoreError, from_item, keys, s, to_item};

/// Maximum number of items in a DynamoDB `BatchWriteItem` request.
pub const BATCH: usize = 25;
/// Maximum number of requests for one batch, including those that resend unprocessed items.
const ATTEMPTS: u32 = 8;
/// Maximum number of items in a DynamoDB `BatchGetItem` request.
const READ_BATCH: usize = 100;

/// Maximum size of a stored event in bytes: a DynamoDB item ends at 400 KB, and its keys and indexed attributes need some.
const MAX_EVENT: usize = 380_000;

/// Returns whether an event fits into an item.
pub fn is_storable(event: &Event) -> bool {
    serde_json::to_string(event).is_ok_and(|body| body.len() <= MAX_EVENT)
}

/// The attributes of a stored event that a sync compares.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEventHash {
    /// The event's id.
    pub id: EventId,
    /// Digest of the event's content.
    pub content_hash: String,
    /// The provider's version of the event, such as its ETag.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether an edit could not be written to the provider.
    #[serde(default)]
    pub is_failed: bool,
}

/// The attributes of an event's item: what a sync compares, and the whole event as JSON. Reading one attribute is
/// several times cheaper than reading thirty, and an agenda reads thousands of events.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredEvent {
    id: EventId,
    content_hash: String,
    body: String,
    /// The provider's version, copied from the link in `body`, as is `revision`, the count of writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// Whether an edit could not be written to the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_failed: bool,
    /// Where the `COUNT` of each rule of a series ends, so that readers need not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    count_ends: Vec<NaiveDateTime>,
}

impl StoredEvent {
    pub(super) fn read(self, operation: &'static str) -> Result<Event> {
        let event: Event =
            serde_json::from_str(&self.body).map_err(|error| StoreError::new(operation, error))?;
        if let Some(series) = &event.series {
            series.note_count_ends(event.start, &self.count_ends);
        }
        Ok(event)
    }
}

/// One write of a sync.
#[derive(Clone, Debug)]
pub enum EventWrite<'a> {
    /// Store the event.
    Put(&'a Event),
    /// Remove the event with this id.
    Delete(&'a EventId),
}

impl Store {
    /// Lists what a sync compares of each event of a calendar. Reads the whole partition, so a sync calls it only when
    /// the calendar has changed.
    pub async fn stored_event_hashes(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<Vec<StoredEventHash>> {
        let operation = "compare a calendar";
        let query = self
            .query(&self.calendar, keys::events_partition(user, calendar), "")
            .consistent_read(true)
            .projection_expression("id, contentHash, version, isFailed");
        self.all(operation, query)
            .await?
            .into_iter()
            .map(|item| from_item(operation, item))
            .collect()
    }

    /// Carries out up to [`BATCH`] writes. Unprocessed items are sent again with exponential backoff.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or items remain unprocessed after the last attempt.
    pub async fn write_events(&self, user: UserId, writes: &[EventWrite<'_>]) -> Result<()> {
        let operation = "write events";
        let request = |write: &EventWrite<'_>| {
            let builder = WriteRequest::builder();
            let built = match write {
                EventWrite::Put(event) => PutRequest::builder()
                    .set_item(Some(event_item(user, event)?))
                    .build()
                    .map(|put| builder.put_request(put).build()),
                EventWrite::Delete(id) => delete_request(keys::event(user, id).attributes()),
            };
            built.map_err(|error| StoreError::new(operation, error))
        };
        self.batch(
            operation,
            &self.calendar,
            writes.iter().map(request).collect::<Result<_>>()?,
        )
        .await
    }

    /// Carries out any number of writes, in concurrent batches.
    ///
    /// # Errors
    /// As [`Store::write_events`].
    pub async fn write_all_events(&self, user: UserId, writes: &[EventWrite<'_>]) -> Result<()> {
        futures::future::try_join_all(
            writes
                .chunks(BATCH)
                .map(|batch| self.write_events(user, batch)),
        )
        .await
        .map(drop)
    }

    /// Returns an event, a series, or an override by its id.
    pub async fn event(&self, user: UserId, id: &EventId) -> Result<Option<Event>> {
        let operation = "read an event";
        let stored: Option<StoredEvent> = self
            .get(operation, &self.calendar, keys::event(user, id), true)
            .await?;
        stored.map(|stored| stored.read(operation)).transpose()
    }

    /// Returns the events with these ids, without those that do not exist.
    pub async fn events(&self, user: UserId, ids: &[EventId]) -> Result<Vec<Event>> {
        let operation = "read events";
        let keys = ids
            .iter()
            .map(|id| keys::event(user, id).attributes())
            .collect();
        let items = self.read_all(operation, &self.calendar, keys).await?;
        items
            .into_iter()
            .map(|item| from_item::<StoredEvent>(operation, item)?.read(operation))
            .collect()
    }

    /// Reads items of a table by key. Keys without an item are skipped.
    pub(super) async fn read_all(
        &self,
        operation: &'static str,
        table: &str,
        keys: Vec<Item>,
    ) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for keys in keys.chunks(READ_BATCH) {
            let mut left = keys.to_vec();
            for attempt in 0..ATTEMPTS {
                if attempt > 0 {
                    tokio::time::sleep(Duration::from_millis(25 << attempt)).await;
                }
                let wanted = KeysAndAttributes::builder()
                    .set_keys(Some(left))
                    .consistent_read(true)
                    .build();
                let wanted = wanted.map_err(|error| StoreError::new(operation, error))?;
                let request = self.dynamo.batch_get_item().request_items(table, wanted);
                let answer = request
                    .return_consumed_capacity(ReturnConsumedCapacity::Total)
                    .send()
                    .await;
                let answer = answer.map_err(|error| StoreError::new(operation, error))?;
                answer
                    .consumed_capacity()
                    .iter()
                    .for_each(|consumed| self.meter.reads(Some(consumed)));
                items.extend(answer.responses.unwrap_or_default().into_values().flatten());
                left = answer
                    .unprocessed_keys
                    .unwrap_or_default()
                    .into_values()
                    .flat_map(|keys| keys.keys)
                    .collect();
                if left.is_empty() {
                    break;
                }
            }
            if !left.is_empty() {
                return Err(StoreError::new(
                    operation,
                    "DynamoDB did not return all items",
                ));
            }
        }
        Ok(items)
    }

    /// Returns the overrides of a series.
    pub async fn overrides(&self, user: UserId, series: &EventId) -> Result<Vec<Event>> {
        let operation = "read the overrides of a series";
        let prefix = format!("{series}_");
        let query = self
            .query(
                &self.calendar,
                keys::events_partition(user, series.calendar()),
                &prefix,
            )
            .consistent_read(true);
        self.all(operation, query)
            .await?
            .into_iter()
            .map(|item| from_item::<StoredEvent>(operation, item)?.read(operation))
            .collect()
    }

    /// Removes at most `limit` events of a calendar. Returns whether none are left.
    pub async fn erase_events(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let partition = keys::events_partition(user, calendar);
        self.erase_items("erase the events of a calendar", partition, limit)
            .await
    }

    /// Removes at most `limit` items of a partition of the `calendar` table. Returns whether none are left.
    pub(super) async fn erase_items(
        &self,
        operation: &'static str,
        partition: String,
        limit: i32,
    ) -> Result<bool> {
        let query = self
            .query(&self.calendar, partition, "")
            .projection_expression("pk, sk")
            .limit(limit);
        let (items, more) = self.page(operation, query).await?;
        self.delete_all(&self.calendar, items).await?;
        Ok(more.is_none())
    }

    /// Removes the items with these keys.
    pub(super) async fn delete_all(&self, table: &str, keys: Vec<Item>) -> Result<()> {
        let operation = "erase items";
        for keys in keys.chunks(BATCH) {
            let requests = keys.iter().map(|key| {
                delete_request(key.clone()).map_err(|error| StoreError::new(operation, error))
            });
            self.batch(operation, table, requests.collect::<Result<_>>()?)
                .await?;
        }
        Ok(())
    }

    pub(super) async fn batch(
        &self,
        operation: &'static str,
        table: &str,
        requests: Vec<WriteRequest>,
    ) -> Result<()> {
        let mut left = requests;
        for attempt in 0..ATTEMPTS {
            if left.is_empty() {
                return Ok(());
            }
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(25 << attempt)).await;
            }
            let answer = self
                .dynamo
                .batch_write_item()
                .request_items(table, left)
                .return_consumed_capacity(ReturnConsumedCapacity::Total)
                .send()
                .await
                .map_err(|error| StoreError::new(operation, error))?;
            self.meter.writes(None);
            answer
                .consumed_capacity()
                .iter()
                .for_each(|consumed| self.meter.written(consumed));
            left = answer
                .unprocessed_items
                .unwrap_or_default()
                .into_values()
                .flatten()
                .collect();
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(StoreError::new(
                operation,
                "DynamoDB did not process all items",
            ))
        }
    }
}

fn delete_request(
    key: Item,
) -> std::result::Result<WriteRequest, aws_sdk_dynamodb::error::BuildError> {
    DeleteRequest::builder()
        .set_key(Some(key))
        .build()
        .map(|delete| WriteRequest::builder().delete_request(delete).build())
}

pub(super) fn event_item(user: UserId, event: &Event) -> Result<Item> {
    let (span, at) = index_position(event);
    let operation = "write events";
    let body = bounded_body(event).map_err(|error| StoreError::new(operation, error))?;
    let stored = StoredEvent {
        id: event.id.clone(),
        content_hash: event.content_hash.clone(),
        body,
        version: event.link.as_ref().and_then(|link| link.version.clone()),
        revision: event.link.as_ref().map(|link| link.revision),
        is_failed: event
            .link
            .as_ref()
            .is_some_and(|link| link.failure.is_some()),
        count_ends: event
            .series
            .as_ref()
            .map(|series| series.count_ends(event.start))
            .unwrap_or_default(),
    };
    let mut item = to_item(operation, keys::event(user, &event.id), &stored)?;
    if !event.is_visible() {
        // Hidden from the agenda, but stored until the provider has removed it.
        return Ok(item);
    }
    let place: HashMap<_, _> = [
        (
            keys::AGENDA.pk.to_owned(),
            s(keys::agenda_partition(user, span.name())),
        ),
        (
            keys::AGENDA.sk.to_owned(),
            s(keys::agenda_sort(at, &event.id)),
        ),
    ]
    .into();
    item.extend(place);
    Ok(item)
}

/// Serializes an event. Where that does not fit into an item, the states that an edit has replaced are left out, then what was kept
/// of a conflict: a merge may then find a conflict more, but no change is lost.
fn bounded_body(event: &Event) -> serde_json::Result<String> {
    let body = serde_json::to_string(event)?;
    if body.len() <= MAX_EVENT {
        return Ok(body);
    }
    let mut event = event.clone();
    if let Some(edit) = event
        .link
        .as_deref_mut()
        .and_then(|link| link.edit.as_deref_mut())
    {
        edit.earlier.clear();
    }
    let body = serde_json::to_string(&event)?;
    if body.len() <= MAX_EVENT {
        return Ok(body);
    }
    if let Some(link) = event.link.as_deref_mut() {
        link.kept = None;
    }
    serde_json::to_string(&event)
}
