//! Events of a calendar.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity, WriteRequest,
};
use calweave_domain::agenda::index_position;
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, UserId};
use serde::{Deserialize, Serialize};

use super::{Item, Result, Store, StoreError, from_item, keys, s, to_item};

/// Items that DynamoDB takes in one batch.
pub const BATCH: usize = 25;
/// How often a batch is sent again for what was not taken.
const ATTEMPTS: u32 = 8;
/// Items that DynamoDB gives in one batch.
const READ_BATCH: usize = 100;

/// Which event, and what it said when it was stored.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredEventHash {
    /// Which.
    pub id: EventId,
    /// Its content.
    pub content_hash: String,
    /// The provider's version of it.
    #[serde(default)]
    pub version: Option<String>,
    /// Whether a change made here could not be written to the provider.
    #[serde(default)]
    pub is_failed: bool,
}

/// An event as its item holds it: what a sync compares, and the whole as JSON. One attribute is several times cheaper to
/// read than thirty, and an agenda reads thousands.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StoredEvent {
    id: EventId,
    content_hash: String,
    body: String,
    /// The provider's version, and the count of writes: as in the body's link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// Whether a change could not be written to the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_failed: bool,
}

impl StoredEvent {
    pub(super) fn read(self, operation: &'static str) -> Result<Event> {
        serde_json::from_str(&self.body).map_err(|error| StoreError::new(operation, error))
    }
}

/// One write of a sync.
#[derive(Clone, Debug)]
pub enum EventWrite<'a> {
    /// Store the event as it is now.
    Put(&'a Event),
    /// Remove it.
    Delete(&'a EventId),
}

impl Store {
    /// What is stored of a calendar, as far as a sync has to know. Reads the whole calendar, so it is asked only when
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

    /// Carries out up to [`BATCH`] writes. What DynamoDB does not take at once is sent again, ever more slowly.
    ///
    /// # Errors
    /// When DynamoDB does not answer, or still does not take everything.
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

    /// Carries out any number of writes, some batches at once: DynamoDB takes them side by side.
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

    /// An event, a series, or an override, by the id it is stored under.
    pub async fn event(&self, user: UserId, id: &EventId) -> Result<Option<Event>> {
        let operation = "read an event";
        let stored: Option<StoredEvent> = self
            .get(operation, &self.calendar, keys::event(user, id), true)
            .await?;
        stored.map(|stored| stored.read(operation)).transpose()
    }

    /// Those of these events that are stored.
    pub async fn events(&self, user: UserId, ids: &[EventId]) -> Result<Vec<Event>> {
        let operation = "read events";
        let keys = ids
            .iter()
            .map(|id| keys::event(user, id).attributes())
            .collect();
        let items = self.read_all(operation, keys).await?;
        items
            .into_iter()
            .map(|item| from_item::<StoredEvent>(operation, item)?.read(operation))
            .collect()
    }

    /// Those of these items of the `calendar` table that are there.
    pub(super) async fn read_all(
        &self,
        operation: &'static str,
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
                let request = self
                    .dynamo
                    .batch_get_item()
                    .request_items(&self.calendar, wanted);
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
                    "DynamoDB did not give all items",
                ));
            }
        }
        Ok(items)
    }

    /// The occurrences of a series that are stored as events of their own.
    pub async fn overrides(&self, user: UserId, series: &EventId) -> Result<Vec<Event>> {
        let operation = "read the changed occurrences of a series";
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

    /// Removes at most `limit` events of a calendar. Answers whether all are gone.
    pub async fn erase_events(
        &self,
        user: UserId,
        calendar: CalendarId,
        limit: i32,
    ) -> Result<bool> {
        let operation = "erase the events of a calendar";
        let query = self
            .query(&self.calendar, keys::events_partition(user, calendar), "")
            .projection_expression("pk, sk")
            .limit(limit);
        let (items, more) = self.page(operation, query).await?;
        self.delete_all(&self.calendar, items).await?;
        Ok(more.is_none())
    }

    /// Removes these items, whatever they are.
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

    async fn batch(
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
                "DynamoDB did not take all items",
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
    let body = serde_json::to_string(event).map_err(|error| StoreError::new(operation, error))?;
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
    };
    let mut item = to_item(operation, keys::event(user, &event.id), &stored)?;
    if !event.is_visible() {
        // Nobody sees it any more; it is kept until the provider has let it go.
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
