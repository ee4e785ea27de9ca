//! What a person sees in a stretch of time, from the agenda index.
//!
//! Each span is read by itself (see [`calweave_domain::agenda::Span`]): short events from as far before the window as
//! they can reach, in order of their start; long ones and series as far as they are not over. So a query reads what it
//! returns, whatever else is stored.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use calweave_domain::agenda::Span;
use calweave_domain::event::Event;
use calweave_domain::ids::UserId;
use chrono::{DateTime, Utc};

use super::events::StoredEvent;
use super::{Item, Result, Store, StoreError, from_item, keys, s};

/// The events of one span in a stretch of the index, page by page.
pub struct SpanPages<'a> {
    store: &'a Store,
    user: UserId,
    span: Span,
    low: String,
    high: String,
    next: Next,
}

enum Next {
    First,
    From(Item),
    Nothing,
}

impl Store {
    /// The events of one span whose place in the index lies between two instants. Long events and series are placed by
    /// their end, so for them `high` is left out: all that are not over by `low` count.
    pub fn span(
        &self,
        user: UserId,
        span: Span,
        low: DateTime<Utc>,
        high: DateTime<Utc>,
    ) -> SpanPages<'_> {
        let high = match span.reach() {
            Some(_) => keys::sortable(high),
            // Behind every year.
            None => "A".to_owned(),
        };
        SpanPages {
            store: self,
            user,
            span,
            low: keys::sortable(low),
            high,
            next: Next::First,
        }
    }
}

impl SpanPages<'_> {
    /// Whether everything has been read.
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// The next events, in the order of the index; nothing after the last. `limit` is how many are looked at.
    pub async fn next(&mut self, limit: Option<i32>) -> Result<Vec<Event>> {
        let operation = "read the agenda";
        let start = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Nothing => return Ok(vec![]),
            Next::First => None,
            Next::From(item) => Some(item),
        };
        let partition = keys::agenda_partition(self.user, self.span.name());
        let answer = self
            .store
            .dynamo
            .query()
            .table_name(&self.store.calendar)
            .index_name(keys::AGENDA.name)
            .key_condition_expression("agendaPk = :pk AND agendaSk BETWEEN :low AND :high")
            .expression_attribute_values(":pk", s(partition))
            .expression_attribute_values(":low", AttributeValue::S(self.low.clone()))
            .expression_attribute_values(":high", AttributeValue::S(self.high.clone()))
            .set_exclusive_start_key(start)
            .set_limit(limit)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .send()
            .await
            .map_err(|error| StoreError::new(operation, error))?;
        self.store.meter.reads(answer.consumed_capacity());
        self.next = answer.last_evaluated_key.map_or(Next::Nothing, Next::From);
        let items = answer.items.unwrap_or_default().into_iter();
        items
            .map(|item| from_item::<StoredEvent>(operation, item)?.read(operation))
            .collect()
    }
}
