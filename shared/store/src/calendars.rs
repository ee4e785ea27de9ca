//! Calendars and their remote sources.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, TransactWriteItem, Update};
use calweave_domain::calendar::{
    Calendar, CalendarSource, CalendarState, Cursor, FeedSource, SyncStatus, Validators,
};
use calweave_domain::ids::{CalendarId, UserId};
use serde::{Deserialize, Serialize};

use super::accounts::put;
use super::expression::UpdateExpression;
use super::keys::DueKind;
use super::{Item, Result, Store, StoreError, WriteOutcome, from_item, keys, n, s, to_item, value};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceMarker {
    calendar_id: CalendarId,
}

impl Store {
    /// Creates a calendar with its cursor. The condition fails when the user has a calendar of the same source.
    pub async fn create_calendar(&self, calendar: &Calendar) -> Result<WriteOutcome> {
        let operation = "create a calendar";
        let user = calendar.user_id;
        let marker = SourceMarker {
            calendar_id: calendar.id,
        };
        let due = match calendar.source {
            CalendarSource::Feed(_) => DueKind::Feed,
            CalendarSource::Account(_) => DueKind::Account,
        };
        let cursor = Cursor {
            due_in: due.partition_of(user),
            ..Cursor::default()
        };
        let writes = vec![
            put(
                &self.calendar,
                to_item(
                    operation,
                    keys::source(user, &calendar.source.key(calendar.connection_id)),
                    &marker,
                )?,
                Some("attribute_not_exists(pk)"),
            )?,
            put(
                &self.calendar,
                to_item(operation, keys::calendar(user, calendar.id), calendar)?,
                None,
            )?,
            put(
                &self.calendar,
                to_item(operation, keys::cursor(user, calendar.id), &cursor)?,
                None,
            )?,
        ];
        self.transact(operation, writes).await
    }

    /// Returns the calendar of a source (see [`CalendarSource::key`]), connected or not.
    pub async fn calendar_of(&self, user: UserId, source: &str) -> Result<Option<CalendarId>> {
        let marker: Option<SourceMarker> = self
            .get(
                "find a calendar",
                &self.calendar,
                keys::source(user, source),
                true,
            )
            .await?;
        Ok(marker.map(|marker| marker.calendar_id))
    }

    /// Lists all calendars of a user with their cursors, in one query, the oldest first.
    pub async fn calendars(&self, user: UserId) -> Result<Vec<CalendarState>> {
        let operation = "list calendars";
        let query = self
            .query(
                &self.calendar,
                keys::user_partition(user),
                keys::CALENDAR_PREFIX,
            )
            .consistent_read(true);
        pair(operation, self.all(operation, query).await?)
    }

    /// Returns a calendar with its cursor.
    pub async fn calendar(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<Option<CalendarState>> {
        let operation = "read a calendar";
        let query = self
            .query(
                &self.calendar,
                keys::user_partition(user),
                &keys::calendar(user, calendar).sk,
            )
            .consistent_read(true);
        Ok(pair(operation, self.all(operation, query).await?)?.pop())
    }

    /// Updates the name and colour of a calendar; a field that is `None` keeps its value. Returns the updated calendar,
    /// or `None` when it does not exist.
    pub async fn update_calendar(
        &self,
        user: UserId,
        calendar: CalendarId,
        name: Option<&str>,
        color: Option<&str>,
    ) -> Result<Option<Calendar>> {
        let operation = "change a calendar";
        let key = keys::calendar(user, calendar);
        let mut update = UpdateExpression::default();
        if let Some(name) = name {
            update.set("name", s(name));
        }
        if let Some(color) = color {
            update.set("color", s(color));
        }
        if update.is_empty() {
            return self.get(operation, &self.calendar, key, true).await;
        }
        let request = update
            .apply(self.change(&self.calendar, key))
            .condition_expression("attribute_exists(pk)")
            .return_values(ReturnValue::AllNew);
        self.update(operation, request)
            .await?
            .map(|item| from_item(operation, item))
            .transpose()
    }

    /// Disconnects a calendar. The condition fails when it is disconnected already.
    pub async fn disconnect(&self, user: UserId, calendar: CalendarId) -> Result<WriteOutcome> {
        let request = self
            .change(&self.calendar, keys::calendar(user, calendar))
            .update_expression("SET isConnected = :new")
            .condition_expression("isConnected = :old")
            .expression_attribute_values(":new", AttributeValue::Bool(false))
            .expression_attribute_values(":old", AttributeValue::Bool(true));
        self.done("disconnect a calendar", request).await
    }

    /// Connects a disconnected calendar again, and makes its first sync a full one: a removal may have begun, so not all that
    /// the sync state and the validators stand for need still be stored. The condition fails when the calendar is connected
    /// already; then nothing changes.
    pub async fn connect_again(&self, user: UserId, calendar: CalendarId) -> Result<WriteOutcome> {
        let operation = "connect a calendar again";
        let connect = Update::builder()
            .table_name(&self.calendar)
            .set_key(Some(keys::calendar(user, calendar).attributes()))
            .update_expression("SET isConnected = :new, connectedAt = :now")
            .condition_expression("isConnected = :old")
            .expression_attribute_values(":new", AttributeValue::Bool(true))
            .expression_attribute_values(":old", AttributeValue::Bool(false))
            .expression_attribute_values(":now", value(operation, &self.clock.now())?)
            .build();
        let reset = Update::builder()
            .table_name(&self.calendar)
            .set_key(Some(keys::cursor(user, calendar).attributes()))
            .update_expression(
                "SET validators = :none, #status = :pending, failures = :zero \
                 REMOVE syncState, fullSync, askedWindow, suspect, heldUntil, lastSyncedAt, lastError",
            )
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":none", value(operation, &Validators::default())?)
            .expression_attribute_values(":pending", value(operation, &SyncStatus::Pending)?)
            .expression_attribute_values(":zero", n(0))
            .build();
        let writes = [connect, reset].into_iter().map(|update| {
            let update = update.map_err(|error| StoreError::new(operation, error))?;
            Ok(TransactWriteItem::builder().update(update).build())
        });
        self.transact(operation, writes.collect::<Result<_>>()?)
            .await
    }

    /// Turns push for a calendar on or off. The condition fails when the calendar does not exist.
    pub async fn set_watched(
        &self,
        user: UserId,
        calendar: CalendarId,
        watched: bool,
    ) -> Result<WriteOutcome> {
        let request = self
            .change(&self.calendar, keys::calendar(user, calendar))
            .update_expression("SET isUnwatched = :unwatched")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":unwatched", AttributeValue::Bool(!watched));
        self.done("turn push for a calendar on or off", request)
            .await
    }

    /// Updates a calendar's source, name and colour from the provider. The condition fails when the calendar does not
    /// exist.
    pub async fn update_source(&self, calendar: &Calendar) -> Result<WriteOutcome> {
        let operation = "update the source of a calendar";
        let mut update = UpdateExpression::default();
        update
            .set("source", value(operation, &calendar.source)?)
            .set("name", s(&calendar.name))
            .set("color", s(&calendar.color));
        let key = keys::calendar(calendar.user_id, calendar.id);
        let request = update
            .apply(self.change(&self.calendar, key))
            .condition_expression("attribute_exists(pk)");
        self.done(operation, request).await
    }

    /// Moves a calendar to another feed. The condition fails when the user has a calendar of that feed, or the calendar
    /// does not exist.
    pub async fn move_feed(&self, calendar: &Calendar, feed: FeedSource) -> Result<WriteOutcome> {
        let operation = "move a calendar to another feed";
        let user = calendar.user_id;
        let moved = Calendar {
            source: CalendarSource::Feed(feed),
            ..calendar.clone()
        };
        let (from, to) = (
            calendar.source.key(calendar.connection_id),
            moved.source.key(calendar.connection_id),
        );
        let marker = SourceMarker {
            calendar_id: calendar.id,
        };
        let marker = to_item(operation, keys::source(user, &to), &marker)?;
        let writes = vec![
            put(&self.calendar, marker, Some("attribute_not_exists(pk)"))?,
            put(
                &self.calendar,
                to_item(operation, keys::calendar(user, calendar.id), &moved)?,
                Some("attribute_exists(pk)"),
            )?,
        ];
        let outcome = self.transact(operation, writes).await?;
        if outcome == WriteOutcome::Written {
            self.delete(operation, &self.calendar, keys::source(user, &from))
                .await?;
        }
        Ok(outcome)
    }

    /// Removes at most `limit` items of a user's partition of a table. Returns whether no more pages are left.
    pub async fn erase_partition(
        &self,
        table: PersonTable,
        user: UserId,
        limit: i32,
    ) -> Result<bool> {
        let operation = "erase the items of an account";
        let table = match table {
            PersonTable::Identity => &self.identity,
            PersonTable::Vault => &self.vault,
            PersonTable::Calendar => &self.calendar,
        };
        let query = self
            .query(table, keys::user_partition(user), "")
            .projection_expression("pk, sk")
            .limit(limit);
        let (items, more) = self.page(operation, query).await?;
        // The record of the erasure itself is removed last, by `end_erasure`.
        let gone = keys::erasure(user, "").sk;
        let keys = items.into_iter().filter(|item| {
            !item
                .get(keys::SK)
                .and_then(|sk| sk.as_s().ok())
                .is_some_and(|sk| sk.starts_with(&gone))
        });
        self.delete_all(table, keys.collect()).await?;
        Ok(more.is_none())
    }
}

/// A table that has a partition for each user.
#[derive(Clone, Copy, Debug)]
pub enum PersonTable {
    /// Sessions and the profile.
    Identity,
    /// Sealed secrets and the wrapped data key.
    Vault,
    /// Calendars, cursors, connections, slots and markers.
    Calendar,
}

/// Joins each calendar with its cursor, which sorts directly after it.
fn pair(operation: &'static str, items: Vec<Item>) -> Result<Vec<CalendarState>> {
    let mut states: Vec<CalendarState> = Vec::with_capacity(items.len() / 2);
    for item in items {
        let is_cursor = item
            .get(keys::SK)
            .and_then(|sk| sk.as_s().ok())
            .is_some_and(|sk| sk.ends_with(keys::CURSOR_SUFFIX));
        if is_cursor {
            if let Some(last) = states.last_mut() {
                last.cursor = from_item(operation, item)?;
            }
        } else {
            states.push(CalendarState {
                calendar: from_item(operation, item)?,
                cursor: Cursor::default(),
            });
        }
    }
    Ok(states)
}
