//! Sync requests: counted in the cursor, with at most one message in flight for each calendar.

use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::Cursor;
use calweave_domain::ids::{CalendarId, UserId};
use chrono::TimeDelta;

use super::{Result, Store, from_item, keys, n, s};

/// After this long a message that no worker has received is considered lost.
const MESSAGE_LOST: TimeDelta = TimeDelta::minutes(15);

/// A counted sync request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Its number: it is answered once [`Cursor::completed`] has reached it.
    pub number: u64,
    /// Whether a message has to be sent; otherwise one is under way.
    pub send: bool,
}

impl Store {
    /// Counts a sync request. `None` when the calendar is gone.
    pub async fn request_sync(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> Result<Option<SyncRequest>> {
        let operation = "ask for a sync";
        let now = self.clock.now();
        let first = self
            .cursor_update(user, calendar)
            // Also due, if it is not yet: should the message be lost, the job finds the calendar.
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

    /// The message of a sync request could not be sent: the schedule finds the calendar when it looks next, and a new
    /// request sends a new message.
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
        self.update("note that nobody was asked for a sync", request)
            .await
            .map(drop)
    }
}
