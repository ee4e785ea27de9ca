//! Cursors: the state of each calendar's sync.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::{
    ChannelState, Cursor, SyncState, SyncStats, SyncStatus, Validators,
};
use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, Utc};

use super::expression::UpdateExpression;
use super::leases::Lease;
use super::{Result, Store, from_item, keys, n, s, value};

/// How a sync ended.
#[derive(Clone, Debug)]
pub struct SyncReport {
    /// `None` for a failure: then what the last success left stands.
    pub success: Option<SyncSuccess>,
    /// Why it failed, in words for the person. Without this and without success it was not tried, and is still wanted.
    pub error: Option<String>,
    /// When the calendar is next due.
    pub next_sync_at: DateTime<Utc>,
    /// In how many seconds to try again at once, where that may help.
    pub again_in: Option<i32>,
}

impl SyncReport {
    /// Whether it was not tried.
    pub fn is_postponed(&self) -> bool {
        self.success.is_none() && self.error.is_none()
    }
}

/// What a successful sync leaves behind.
#[derive(Clone, Debug, Default)]
pub struct SyncSuccess {
    /// What to compare a feed's next answer with; `None` when there was nothing new and they stay as they are.
    pub validators: Option<Validators>,
    /// How far an account's calendar has been read; `None` leaves it as it is.
    pub sync_state: Option<SyncState>,
    /// Who pushes changes of the calendar; `None` leaves it as it is.
    pub channel: Option<ChannelState>,
    /// How often the producer wants to be asked, in seconds; `None` leaves it as it is.
    pub refresh_seconds: Option<i64>,
    /// Digest of an answer that was not fully believed.
    pub suspect: Option<String>,
    /// How often in a row changes made here could not be written.
    pub push_failures: u32,
    /// What was odd; `None` leaves it as it is.
    pub warnings: Option<Vec<String>>,
    /// What was done.
    pub stats: SyncStats,
}

impl Store {
    /// Records how a sync ended, and releases the lease. Answers with the cursor as it is then, or with `None` when the
    /// lease was lost.
    pub async fn finish_sync(&self, lease: Lease, report: &SyncReport) -> Result<Option<Cursor>> {
        let operation = "finish a sync";
        if report.is_postponed() {
            return self.release_lease(lease).await;
        }
        self.release_permit_of(&lease).await?;
        let due = keys::due_sort(report.next_sync_at, &lease.calendar().to_string());
        let mut update = UpdateExpression::default();
        // A message that came while the lease was held was dropped, so from here on a request needs a new one.
        update.remove("leasedUntil").remove("queuedAt");
        update
            .set("completed", n(lease.cursor().requested))
            .set("nextSyncAt", value(operation, &report.next_sync_at)?)
            .copy("duePk", "dueIn")
            .set("dueSk", s(due));
        match &report.success {
            Some(success) => self.add_success(&mut update, success)?,
            None => {
                let error = report.error.as_deref().unwrap_or("the sync failed");
                let failures = lease.cursor().failures.saturating_add(1);
                update
                    .set("status", value(operation, &SyncStatus::Failed)?)
                    .set("failures", n(failures))
                    .set("lastError", s(error));
            }
        }
        let request = update.apply(self.update_as_holder(&lease));
        self.update(operation, request.return_values(ReturnValue::AllNew))
            .await?
            .map(|item| from_item(operation, item))
            .transpose()
    }

    fn add_success(&self, update: &mut UpdateExpression, success: &SyncSuccess) -> Result<()> {
        let operation = "finish a sync";
        update
            .set("status", value(operation, &SyncStatus::Synced)?)
            .set("failures", n(0))
            .set("lastSyncedAt", value(operation, &self.clock.now())?)
            .set("stats", value(operation, &success.stats)?)
            .set("eventCount", n(success.stats.total))
            .set("pushFailures", n(success.push_failures))
            .remove("lastError");
        if let Some(validators) = &success.validators {
            update.set("validators", value(operation, validators)?);
        }
        if let Some(sync_state) = &success.sync_state {
            update.set("syncState", value(operation, sync_state)?);
        }
        if let Some(channel) = &success.channel {
            update.set("channel", value(operation, channel)?);
        }
        if let Some(warnings) = &success.warnings {
            update.set("warnings", value(operation, warnings)?);
        }
        if let Some(seconds) = success.refresh_seconds {
            update.set("refreshSeconds", n(seconds));
        }
        match &success.suspect {
            Some(suspect) => update.set("suspect", s(suspect)),
            None => update.remove("suspect"),
        };
        Ok(())
    }

    /// Gives the lease back without having synced, and takes the calendar off what is due.
    pub async fn finish_disconnected(&self, lease: Lease) -> Result<Option<Cursor>> {
        let operation = "end work on a disconnected calendar";
        let request = self
            .update_as_holder(&lease)
            .update_expression(
                "SET completed = :completed, validators = :none, eventCount = :zero, #status = :pending, warnings = :nothing \
                 REMOVE leasedUntil, queuedAt, duePk, dueSk, nextSyncAt, suspect, lastSyncedAt, lastError, #state, channel",
            )
            .expression_attribute_names("#state", "syncState")
            .expression_attribute_values(":completed", n(lease.cursor().requested))
            .expression_attribute_values(":none", value(operation, &Validators::default())?)
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", value(operation, &SyncStatus::Pending)?)
            .expression_attribute_values(":nothing", value(operation, &Vec::<String>::new())?)
            .expression_attribute_values(":zero", n(0))
            .return_values(ReturnValue::AllNew);
        self.update(operation, request)
            .await?
            .map(|item| from_item(operation, item))
            .transpose()
    }

    /// Has the next sync open a channel where one could not be opened before. Changes nothing about one that is open.
    pub async fn retry_channel(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "try a channel again";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET channel.renewAt = :now")
            .condition_expression("attribute_exists(channel) AND attribute_not_exists(channel.id)")
            .expression_attribute_values(":now", value(operation, &self.clock.now())?);
        self.update(operation, request).await.map(drop)
    }

    /// Has the next sync read everything anew.
    pub async fn reset_sync_state(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "forget how far a calendar was read";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET validators = :none")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":none", value(operation, &Validators::default())?);
        self.update(operation, request).await?;
        // How far back it has been read stays known: a position without its query is used for nothing else.
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET #state.#query = :nothing")
            .condition_expression("attribute_exists(#state)")
            .expression_attribute_names("#state", "syncState")
            .expression_attribute_names("#query", "query")
            .expression_attribute_values(":nothing", s(""));
        self.update(operation, request).await.map(drop)
    }

    /// Forgets how fresh a calendar is, because it now stands for another feed.
    pub async fn reset_sync_status(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "forget how fresh a calendar is";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET #status = :pending REMOVE lastSyncedAt, lastError, nextSyncAt")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":pending", value(operation, &SyncStatus::Pending)?);
        self.update(operation, request).await.map(drop)
    }

    pub(super) fn cursor_update(
        &self,
        user: UserId,
        calendar: CalendarId,
    ) -> UpdateItemFluentBuilder {
        self.change(&self.calendar, keys::cursor(user, calendar))
    }
}
