//! Queries of the agenda index: the events of a user in a time window.
//!
//! Each span is queried separately (see [`calweave_domain::agenda::Span`]). Spans of limited length are read in the
//! order of their start, from the span's maximum length before the window. Longer events and series are read if they
//! end after the window's start. So the cost of a query depends only on the events that it returns.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use calweave_domain::agenda::Span;
use calweave_domain::event::Event;
use calweave_domain::ids::UserId;
use chrono::{DateTime, Utc};
use tracing::error;

use super::events::StoredEvent;
use super::{Item, Result, Store, StoreError, from_item, keys, s};

/// Paginated query of one span, for a range of the agenda index.
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
    /// Starts a query for the events of one span whose sort key lies between two instants. Long events and series are
    /// sorted by their end, so `high` is ignored for them: the query returns all that end at or after `low`.
    pub fn span(
        &self,
        user: UserId,
        span: Span,
        low: DateTime<Utc>,
        high: DateTime<Utc>,
    ) -> SpanPages<'_> {
        let high = match span.reach() {
            Some(_) => keys::sortable(high),
            // Sorts after every year.
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
    /// Returns whether all pages have been read.
    pub fn is_done(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// Reads the next page, in the order of the index; empty after the last page. `limit` is the maximum number of
    /// events.
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
        let read = |item| {
            let event =
                from_item::<StoredEvent>(operation, item).and_then(|stored| stored.read(operation));
            // One event that cannot be read costs that event.
            event
                .inspect_err(|error| error!("left out a stored event: {error}"))
                .ok()
        };
        Ok(items.filter_map(read).collect())
    }
}
