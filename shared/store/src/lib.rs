//! Typed access to the DynamoDB tables and the sync queue. Every read of a user's data takes the user. What is read without
//! one is what says whose it is: an e-mail address, an account, a channel by its id and secret, and counters of calls.
//!
//! Every call fails with [`StoreError`] when DynamoDB does not answer or an item cannot be deserialized. A conditional
//! write returns [`WriteOutcome::ConditionFailed`] instead of an error when its condition does not hold.

use std::error::Error;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, TransactWriteItem};
use aws_types::SdkConfig;
use calweave_base::clock::Clock;
use calweave_base::config::TableNames;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::conflicts::Conflicts;
pub use self::error::{StoreError, WriteOutcome};
use self::keys::{Item, Key};
pub use self::meter::CapacityMeter;

pub mod accounts;
pub mod agenda;
mod aliases;
pub mod audit;
pub mod authorizations;
pub mod calendars;
pub mod channels;
mod conflicts;
pub mod connections;
pub mod counters;
pub mod cursors;
pub mod edits;
pub mod erasures;
mod error;
pub mod events;
mod expression;
pub mod full_syncs;
pub mod grants;
pub mod idempotency;
pub mod keys;
pub mod leases;
mod meter;
pub mod permits;
pub mod queue;
pub mod secrets;
pub mod sessions;
pub mod slots;
pub mod sync_requests;

/// The four DynamoDB tables, with a meter of the capacity that they consume.
#[derive(Clone)]
pub struct Store {
    dynamo: Client,
    identity: String,
    vault: String,
    calendar: String,
    audit: String,
    clock: Clock,
    meter: Arc<CapacityMeter>,
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Creates a store over the tables that the configuration names.
    pub fn new(sdk: &SdkConfig, tables: &TableNames, clock: Clock) -> Self {
        let sdk = aws_sdk_dynamodb::config::Builder::from(sdk).retry_classifier(Conflicts);
        Self {
            dynamo: Client::from_conf(sdk.build()),
            identity: tables.identity.clone(),
            vault: tables.vault.clone(),
            calendar: tables.calendar.clone(),
            audit: tables.audit.clone(),
            clock,
            meter: Arc::default(),
        }
    }

    /// Returns the meter of the capacity that this store consumes.
    pub fn meter(&self) -> &CapacityMeter {
        &self.meter
    }

    /// Checks that DynamoDB can be reached, by reading an item that does not exist.
    pub async fn ping(&self) -> Result<()> {
        let key = Key {
            pk: "PING".into(),
            sk: "PING".into(),
        };
        self.get::<serde_json::Value>("reach DynamoDB", &self.identity, key, false)
            .await
            .map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        table: &str,
        key: Key,
        consistent: bool,
    ) -> Result<Option<T>> {
        let request: GetItemFluentBuilder = self.dynamo.get_item();
        let answer = request
            .table_name(table)
            .set_key(Some(key.attributes()))
            .consistent_read(consistent)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::new(operation, error))?;
        self.meter.reads(answer.consumed_capacity());
        answer
            .item
            .map(|item| from_item(operation, item))
            .transpose()
    }

    /// Writes an item unconditionally.
    async fn put_item(&self, operation: &'static str, table: &str, item: Item) -> Result<()> {
        match self
            .put(
                operation,
                self.dynamo
                    .put_item()
                    .table_name(table)
                    .set_item(Some(item)),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Removes an item and returns it; `None` when it does not exist.
    async fn take<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        table: &str,
        key: Key,
    ) -> Result<Option<T>> {
        let answer = self
            .dynamo
            .delete_item()
            .table_name(table)
            .set_key(Some(key.attributes()))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::new(operation, error))?;
        self.meter.writes(answer.consumed_capacity());
        answer
            .attributes
            .map(|item| from_item(operation, item))
            .transpose()
    }

    async fn put(
        &self,
        operation: &'static str,
        request: PutItemFluentBuilder,
    ) -> Result<WriteOutcome> {
        let answer = request
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let answer = refused(operation, answer)?;
        self.meter.writes(
            answer
                .as_ref()
                .and_then(|answer| answer.consumed_capacity()),
        );
        Ok(answer.map_or(WriteOutcome::ConditionFailed, |_| WriteOutcome::Written))
    }

    /// Returns the attributes that the request's `ReturnValues` selects, or `None` when the condition does not hold.
    async fn update(
        &self,
        operation: &'static str,
        request: UpdateItemFluentBuilder,
    ) -> Result<Option<Item>> {
        let answer = request
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let answer = refused(operation, answer)?;
        self.meter.writes(
            answer
                .as_ref()
                .and_then(|answer| answer.consumed_capacity()),
        );
        Ok(answer.map(|answer| answer.attributes.unwrap_or_default()))
    }

    async fn delete(&self, operation: &'static str, table: &str, key: Key) -> Result<()> {
        let request: DeleteItemFluentBuilder = self.dynamo.delete_item();
        let answer = request
            .table_name(table)
            .set_key(Some(key.attributes()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::new(operation, error))?;
        self.meter.writes(answer.consumed_capacity());
        Ok(())
    }

    /// Removes an item if the request's condition holds.
    async fn delete_if(
        &self,
        operation: &'static str,
        request: DeleteItemFluentBuilder,
    ) -> Result<WriteOutcome> {
        let answer = request
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        let answer = refused(operation, answer)?;
        self.meter.writes(
            answer
                .as_ref()
                .and_then(|answer| answer.consumed_capacity()),
        );
        Ok(answer.map_or(WriteOutcome::ConditionFailed, |_| WriteOutcome::Written))
    }

    /// Starts a removal of an item, to which the caller adds a condition.
    fn deletion(&self, table: &str, key: Key) -> DeleteItemFluentBuilder {
        self.dynamo
            .delete_item()
            .table_name(table)
            .set_key(Some(key.attributes()))
    }

    /// Starts an update of an item, to which the caller adds expressions.
    fn change(&self, table: &str, key: Key) -> UpdateItemFluentBuilder {
        self.dynamo
            .update_item()
            .table_name(table)
            .set_key(Some(key.attributes()))
    }

    /// Runs an update and returns whether its condition held.
    async fn done(
        &self,
        operation: &'static str,
        request: UpdateItemFluentBuilder,
    ) -> Result<WriteOutcome> {
        Ok(if self.update(operation, request).await?.is_some() {
            WriteOutcome::Written
        } else {
            WriteOutcome::ConditionFailed
        })
    }

    async fn transact(
        &self,
        operation: &'static str,
        writes: Vec<TransactWriteItem>,
    ) -> Result<WriteOutcome> {
        let request = self.dynamo.transact_write_items();
        let answer = request
            .set_transact_items(Some(writes))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await;
        match answer {
            Ok(answer) => {
                answer
                    .consumed_capacity()
                    .iter()
                    .for_each(|consumed| self.meter.writes(Some(consumed)));
                Ok(WriteOutcome::Written)
            }
            Err(error) => {
                let service = error.as_service_error();
                let conditional = service.is_some_and(|error| {
                    use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as E;
                    matches!(error, E::TransactionCanceledException(cancelled) if cancelled
                        .cancellation_reasons()
                        .iter()
                        .any(|reason| reason.code() == Some("ConditionalCheckFailed")))
                });
                if conditional {
                    Ok(WriteOutcome::ConditionFailed)
                } else {
                    Err(StoreError::new(operation, error))
                }
            }
        }
    }

    /// Reads one page of a query. Returns its items and the start key of the next page.
    async fn page(
        &self,
        operation: &'static str,
        request: QueryFluentBuilder,
    ) -> Result<(Vec<Item>, Option<Item>)> {
        let answer = request
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::new(operation, error))?;
        self.meter.reads(answer.consumed_capacity());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    /// Reads all pages of a query.
    async fn all(&self, operation: &'static str, request: QueryFluentBuilder) -> Result<Vec<Item>> {
        let (mut items, mut next) = self.page(operation, request.clone()).await?;
        while let Some(start) = next {
            let (more, then) = self
                .page(
                    operation,
                    request.clone().set_exclusive_start_key(Some(start)),
                )
                .await?;
            items.extend(more);
            next = then;
        }
        Ok(items)
    }

    /// Starts a query for the items of a partition whose sort key starts with `prefix`; an empty prefix selects all.
    fn query(&self, table: &str, partition: String, prefix: &str) -> QueryFluentBuilder {
        let request = self
            .dynamo
            .query()
            .table_name(table)
            .expression_attribute_values(":pk", s(partition));
        if prefix.is_empty() {
            return request.key_condition_expression("pk = :pk");
        }
        request
            .key_condition_expression("pk = :pk AND begins_with(sk, :prefix)")
            .expression_attribute_values(":prefix", s(prefix))
    }
}

/// Maps a failed condition of a write to `Ok(None)`.
fn refused<T, E>(
    operation: &'static str,
    answer: std::result::Result<T, SdkError<E>>,
) -> Result<Option<T>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(None),
        Err(error) => Err(StoreError::new(operation, error)),
    }
}

fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// Serializes a value to an attribute.
fn value(operation: &'static str, value: &impl Serialize) -> Result<AttributeValue> {
    serde_dynamo::to_attribute_value(value).map_err(|error| StoreError::new(operation, error))
}

fn n(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn to_item(operation: &'static str, key: Key, value: &impl Serialize) -> Result<Item> {
    let mut item: Item =
        serde_dynamo::to_item(value).map_err(|error| StoreError::new(operation, error))?;
    item.extend(key.attributes());
    Ok(item)
}

fn from_item<T: DeserializeOwned>(operation: &'static str, item: Item) -> Result<T> {
    serde_dynamo::from_item(item).map_err(|error| StoreError::new(operation, error))
}
