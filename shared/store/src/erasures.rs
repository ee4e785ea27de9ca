//! Erasures, which take several steps, and queries of the due index.

use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys::{DUE, DueKind};
use super::{Item, Result, Store, keys, n, s, to_item};

/// A calendar or an account that a scheduled job has to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DueItem {
    /// The owner.
    pub user_id: UserId,
    /// The calendar; `None` for the whole account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_id: Option<CalendarId>,
}

const ACCOUNT: &str = "ACCOUNT";

fn subject(due: &DueItem) -> String {
    due.calendar_id
        .map_or_else(|| ACCOUNT.to_owned(), |calendar| calendar.to_string())
}

impl Store {
    /// Records an erasure before it begins, so that a scheduled job resumes it if it is interrupted.
    pub async fn begin_erasure(&self, due: &DueItem) -> Result<()> {
        let operation = "begin an erasure";
        let subject = subject(due);
        let mut item = to_item(operation, keys::erasure(due.user_id, &subject), due)?;
        item.insert(
            DUE.pk.to_owned(),
            s(DueKind::Erasure.partition_of(due.user_id)),
        );
        item.insert(
            DUE.sk.to_owned(),
            s(keys::due_sort(self.clock.now(), &subject)),
        );
        self.put_item(operation, &self.calendar, item).await
    }

    /// Removes the record of a finished erasure.
    pub async fn end_erasure(&self, due: &DueItem) -> Result<()> {
        self.delete(
            "end an erasure",
            &self.calendar,
            keys::erasure(due.user_id, &subject(due)),
        )
        .await
    }

    /// Lists the items of a kind that are due by `until` in one shard: at most `limit`, the longest overdue first.
    pub async fn due(
        &self,
        kind: DueKind,
        shard: u32,
        until: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<DueItem>> {
        Ok(self
            .due_items(kind, shard, until, limit)
            .await?
            .iter()
            .filter_map(read_due)
            .collect())
    }

    pub(super) async fn due_items(
        &self,
        kind: DueKind,
        shard: u32,
        until: DateTime<Utc>,
        limit: i32,
    ) -> Result<Vec<Item>> {
        let query = self
            .dynamo
            .query()
            .table_name(&self.calendar)
            .index_name(DUE.name)
            .key_condition_expression("duePk = :pk AND dueSk < :until")
            .expression_attribute_values(":pk", s(kind.partition(shard)))
            .expression_attribute_values(":until", s(keys::due_sort(until, "~")))
            .limit(limit);
        Ok(self.page("query the due index", query).await?.0)
    }

    /// Moves a calendar's due time, so that a calendar that cannot be synced does not block those after it. Counts up
    /// `postponed`; does nothing for a whole account.
    pub async fn postpone(&self, due: &DueItem, until: DateTime<Utc>) -> Result<()> {
        let Some(calendar) = due.calendar_id else {
            return Ok(());
        };
        let request = self
            .change(&self.calendar, keys::cursor(due.user_id, calendar))
            .update_expression("SET dueSk = :due ADD postponed :one")
            .condition_expression("attribute_exists(duePk)")
            .expression_attribute_values(":due", s(keys::due_sort(until, &calendar.to_string())))
            .expression_attribute_values(":one", n(1));
        self.update("postpone a sync", request).await.map(drop)
    }
}

/// Parses the owner and the calendar from the keys, because the index projects keys only.
fn read_due(item: &Item) -> Option<DueItem> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let user_id = text(keys::PK)?.strip_prefix("USER#")?.parse().ok()?;
    let sk = text(keys::SK)?;
    let calendar = sk
        .strip_prefix(keys::CALENDAR_PREFIX)
        .and_then(|rest| rest.strip_suffix(keys::CURSOR_SUFFIX));
    let calendar = calendar.or_else(|| sk.strip_prefix("ERASURE#"))?;
    Some(DueItem {
        user_id,
        calendar_id: calendar.parse().ok(),
    })
}
