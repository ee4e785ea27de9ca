//! Cursors: the sync state of each calendar.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::{
    ChannelState, Cursor, SyncStats, SyncStatus, Validators, WrittenToday,
};
use calweave_domain::coverage::AskedWindow;
use calweave_domain::ids::{CalendarId, UserId};
use calweave_domain::sync_state::SyncState;
use chrono::{DateTime, TimeDelta, Utc};

use super::expression::UpdateExpression;
use super::leases::Lease;
use super::{Result, Store, WriteOutcome, from_item, keys, n, s, value};

/// The outcome of a sync.
#[derive(Clone, Debug)]
pub struct SyncReport {
    /// The results of a successful sync. `None` leaves the results of the last successful sync in place.
    pub success: Option<SyncSuccess>,
    /// The reason of a failure, as a text for the user. `None` without success means that the sync was postponed.
    pub error: Option<String>,
    /// When the calendar is next due.
    pub next_sync_at: DateTime<Utc>,
    /// Delay in seconds before a retry by message; `None` when a prompt retry is not useful.
    pub again_in: Option<i32>,
    /// After a failure: until when no request is carried out.
    pub hold_until: Option<DateTime<Utc>>,
    /// Number of interruptions that still count.
    pub interruptions: u32,
    /// How many events have been written today, if that is known; `None` keeps the stored count.
    pub written: Option<WrittenToday>,
}

/// What the owner of a calendar reads whose syncs were killed again and again.
const SET_ASIDE: &str = "Reading this calendar takes too long: it was interrupted each time. It is tried again in some hours.";

/// The longest delay of a message, in seconds (an SQS limit).
pub const MAX_DELAY: i32 = 900;

impl SyncReport {
    /// A sync that is not attempted now, and is requested again after a delay.
    pub fn postponed(now: DateTime<Utc>, delay: TimeDelta) -> Self {
        let seconds = i32::try_from(delay.num_seconds() + 1).unwrap_or(MAX_DELAY);
        Self {
            success: None,
            error: None,
            next_sync_at: now + TimeDelta::seconds(i64::from(MAX_DELAY)),
            again_in: Some(seconds.min(MAX_DELAY)),
            hold_until: None,
            interruptions: 0,
            written: None,
        }
    }

    /// A sync that is not attempted for a while, because workers were killed by it.
    pub fn set_aside(now: DateTime<Utc>, time: TimeDelta, interruptions: u32) -> Self {
        let until = now + time;
        Self {
            success: None,
            error: Some(SET_ASIDE.to_owned()),
            next_sync_at: until,
            again_in: None,
            hold_until: Some(until),
            interruptions,
            written: None,
        }
    }

    /// Returns whether the sync was postponed: not attempted, and still requested.
    pub fn is_postponed(&self) -> bool {
        self.success.is_none() && self.error.is_none()
    }
}

/// The results of a successful sync.
#[derive(Clone, Debug, Default)]
pub struct SyncSuccess {
    /// Validators of a feed's response; `None` keeps the stored ones.
    pub validators: Option<Validators>,
    /// Sync token or delta link of an account's calendar, with its query; `None` keeps the stored one.
    pub sync_state: Option<SyncState>,
    /// Push channel of the calendar; `None` keeps the stored one.
    pub channel: Option<ChannelState>,
    /// Refresh interval that the feed requests, in seconds; `None` keeps the stored one.
    pub refresh_seconds: Option<i64>,
    /// Digest of a result whose removals have to be confirmed by a second sync; `None` when there is none.
    pub suspect: Option<String>,
    /// Number of consecutive syncs in which edits could not be written to the provider.
    pub push_failures: u32,
    /// Warnings for the user; `None` keeps the stored ones.
    pub warnings: Option<Vec<String>>,
    /// Statistics of the sync.
    pub stats: SyncStats,
    /// Whether a full sync has come to its end.
    pub ends_full_sync: bool,
    /// Whether a full sync goes on in the next invocation.
    pub is_unfinished: bool,
}

impl Store {
    /// Stores the outcome of a sync and releases the lease. Returns the new cursor, or `None` when the lease was lost.
    pub async fn finish_sync(&self, lease: Lease, report: &SyncReport) -> Result<Option<Cursor>> {
        let operation = "finish a sync";
        if report.is_postponed() {
            return self.release_lease(lease).await;
        }
        self.release_permit_of(&lease).await?;
        let due = keys::due_sort(report.next_sync_at, &lease.calendar().to_string());
        let mut update = UpdateExpression::default();
        // A message that arrived while the lease was held was dropped, so the next request has to send a new one.
        update.remove("leasedUntil").remove("queuedAt");
        update
            .set("completed", n(lease.cursor().requested))
            .set("nextSyncAt", value(operation, &report.next_sync_at)?)
            .copy("duePk", "dueIn")
            .set("dueSk", s(due))
            .set("interruptions", n(report.interruptions));
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
        if let Some(written) = &report.written {
            update.set("written", value(operation, written)?);
        }
        match &report.hold_until {
            Some(until) => update.set("heldUntil", value(operation, until)?),
            None => update.remove("heldUntil"),
        };
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
        if success.ends_full_sync {
            update.remove("fullSync");
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

    /// Releases the lease of a disconnected calendar, clears its sync state, and removes it from the due index.
    pub async fn finish_disconnected(&self, lease: Lease) -> Result<Option<Cursor>> {
        let operation = "end work on a disconnected calendar";
        let request = self
            .update_as_holder(&lease)
            .update_expression(
                "SET completed = :completed, validators = :none, eventCount = :zero, #status = :pending, warnings = :nothing \
                 REMOVE leasedUntil, queuedAt, duePk, dueSk, nextSyncAt, suspect, lastSyncedAt, lastError, #state, fullSync, channel, askedWindow, heldUntil",
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

    /// Makes the next full sync read a stretch beyond the regular window. The condition fails when the calendar has not been
    /// read at all.
    pub async fn ask_window(
        &self,
        user: UserId,
        calendar: CalendarId,
        asked: &AskedWindow,
    ) -> Result<WriteOutcome> {
        let operation = "ask for a stretch of a calendar";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET askedWindow = :asked")
            .condition_expression("attribute_exists(syncState)")
            .expression_attribute_values(":asked", value(operation, asked)?);
        self.done(operation, request).await
    }

    /// Makes the next sync renew the calendar's channel. If the provider has `lost` the channel, the sync opens a new one.
    pub async fn renew_channel(
        &self,
        user: UserId,
        calendar: CalendarId,
        lost: bool,
    ) -> Result<()> {
        let operation = "renew a channel";
        let request = self
            .cursor_update(user, calendar)
            .update_expression(if lost {
                "SET channel.renewAt = :now REMOVE channel.resourceId"
            } else {
                "SET channel.renewAt = :now"
            })
            .condition_expression("attribute_exists(channel)")
            .expression_attribute_values(":now", value(operation, &self.clock.now())?);
        self.update(operation, request).await.map(drop)
    }

    /// Makes the next sync open a channel where an earlier attempt failed. Has no effect on an open channel.
    pub async fn retry_channel(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "try a channel again";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET channel.renewAt = :now")
            .condition_expression("attribute_exists(channel) AND attribute_not_exists(channel.id)")
            .expression_attribute_values(":now", value(operation, &self.clock.now())?);
        self.update(operation, request).await.map(drop)
    }

    /// Clears the validators and the query of the sync state, so that the next sync is a full sync.
    pub async fn reset_sync_state(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "reset the sync state of a calendar";
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET validators = :none")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":none", value(operation, &Validators::default())?);
        self.update(operation, request).await?;
        // Only the query is cleared: a sync state without its query is never continued, but still tells how far back
        // the calendar has been read.
        let request = self
            .cursor_update(user, calendar)
            .update_expression("SET #state.#query = :nothing")
            .condition_expression("attribute_exists(#state)")
            .expression_attribute_names("#state", "syncState")
            .expression_attribute_names("#query", "query")
            .expression_attribute_values(":nothing", s(""));
        self.update(operation, request).await.map(drop)
    }

    /// Ends the hold of a calendar whose feed has just been fetched.
    pub async fn end_hold(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let request = self
            .cursor_update(user, calendar)
            .update_expression("REMOVE heldUntil")
            .condition_expression("attribute_exists(pk)");
        self.update("end a hold", request).await.map(drop)
    }

    /// Resets the sync status of a calendar that was moved to another feed.
    pub async fn reset_sync_status(&self, user: UserId, calendar: CalendarId) -> Result<()> {
        let operation = "reset the sync status of a calendar";
        let request = self
            .cursor_update(user, calendar)
            .update_expression(
                "SET #status = :pending REMOVE lastSyncedAt, lastError, nextSyncAt, heldUntil",
            )
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
