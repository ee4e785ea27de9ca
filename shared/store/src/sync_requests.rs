//! Sync requests. The cursor counts them, and at most one message is in flight for each calendar.

use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::Cursor;
use calweave_domain::ids::{CalendarId, UserId};
use chrono::TimeDelta;

use super::{Result, Store, from_item, keys, n, s};

/// Age at which a message that no worker has received is considered lost.
const MESSAGE_LOST: TimeDelta = TimeDelta::minutes(15);

/// A counted sync request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Number of the request. The request is completed once [`Cursor::completed`] has reached this number.
    pub number: u64,
    /// Whether the caller has to send a message; otherwise one is in flight.
    pub send: bool,
}

impl Store {
    /// Counts a sync request. `None` when the calendar does not exist.
    pub async fn request_sync(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<Option<SyncRequest>> {
        let operation = "request a sync";
        let now = self.clock.now();
        let first = self
            .cursor_update(user, calendar)
            // Also makes the calendar due, so that the scheduled job finds it if the message is lost.
            .update_expression(
                "SET queuedAt = :now, duePk = if_not_exists(duePk, dueIn), dueSk = if_not_exists(dueSk, :dueSk) ADD requested :one",
            )
            .expression_attribute_values(":dueSk", s(keys::due_sort(now + MESSAGE_LOST, &calendar.to_string())))
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(queuedAt) OR queuedAt < :lost)")
            .expression_attribute_values(":now", n(now.timestamp_millis()))
            .expression_attribute_values(":lost", n((now - MESSAGE_LOST).timestamp_millis()))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew);
        if let Some(item) = self.update(operation, first).await? {
            return Ok(Some(SyncRequest {
                number: from_item::<Cursor>(operation, item)?.requested,
                send: true,
            }));
        }
        let joined = self
            .cursor_update(user, calendar)
            .update_expression("ADD requested :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew);
        let item = self.update(operation, joined).await?;
        item.map(|item| {
            Ok(SyncRequest {
                number: from_item::<Cursor>(operation, item)?.requested,
                send: false,
            })
        })
        .transpose()
    }

    /// Records that the message of a sync request could not be sent: the calendar is due at once for the scheduled job,
    /// and the next request sends a new message.
    pub async fn sync_request_unsent(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let request = self
            .cursor_update(user, calendar)
            .update_expression(
                "SET duePk = if_not_exists(duePk, dueIn), dueSk = :now REMOVE queuedAt",
            )
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(
                ":now",
                s(keys::due_sort(self.clock.now(), &calendar.to_string())),
            );
        self.update("record an unsent sync request", request)
            .await
            .map(drop)
    }
}
