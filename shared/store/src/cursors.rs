//! Where the sync of each calendar stands, and who may work on it.
//!
//! A [`Lease`] is the proof that its holder alone works on a calendar: there is no other way to write a cursor. It
//! carries a fencing number, and each write is refused once somebody else has taken the lease.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::{
    ChannelState, Cursor, SyncState, SyncStats, SyncStatus, Validators,
};
use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::permits::Permit;
use super::{Result, Store, StoreError, WriteOutcome, from_item, keys, n, s};

/// How long a lease is held without a sign of life. A killed worker's calendar waits this long.
pub const LEASE: TimeDelta = TimeDelta::seconds(60);
/// After this long a message that nobody took is thought lost.
const MESSAGE_LOST: TimeDelta = TimeDelta::minutes(15);

/// The right to write one calendar's events and cursor.
#[derive(Debug)]
pub struct Lease {
    user: UserId,
    calendar: CalendarId,
    fencing: u64,
    until: DateTime<Utc>,
    cursor: Cursor,
    /// Kept and given back with the lease.
    permit: Option<Permit>,
}

impl Lease {
    /// Whose calendar it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Which calendar it is.
    pub fn calendar(&self) -> CalendarId {
        self.calendar
    }

    /// Whether a permit is taken along already.
    pub fn has_permit(&self) -> bool {
        self.permit.is_some()
    }

    /// Takes a permit along ([`Store::acquire_permit`]).
    pub fn attach_permit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// The cursor as it was when the lease began.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}

/// What came of a wish for a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncRequest {
    /// Its number: it is answered once [`Cursor::completed`] has reached it.
    pub number: u64,
    /// Whether a message has to be sent; otherwise one is under way.
    pub send: bool,
}

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
    /// Counts a wish for a sync. `None` when the calendar is gone.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
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

    /// The message that was to answer a wish could not be sent: the schedule finds the calendar when it looks next, and a new
    /// wish sends a new message.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
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

    /// Takes the lease of a calendar; `None` when somebody holds it, or the calendar is gone.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn lease(&self, user: UserId, calendar: CalendarId) -> Result<Option<Lease>> {
        let operation = "lease a calendar";
        let now = self.clock.now();
        let until = now + LEASE;
        let request = self
            .cursor_update(user, calendar)
            // The message that led here is being worked on: from now on a new wish needs a new one.
            .update_expression("SET leasedUntil = :until ADD fencing :one REMOVE queuedAt")
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(leasedUntil) OR leasedUntil < :now)")
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":now", n(now.timestamp_millis()))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew);
        let Some(item) = self.update(operation, request).await? else {
            return Ok(None);
        };
        let cursor: Cursor = from_item(operation, item)?;
        Ok(Some(Lease {
            user,
            calendar,
            fencing: cursor.fencing,
            until,
            cursor,
            permit: None,
        }))
    }

    /// Shows that the holder is alive, where half of the time is over. Refused when somebody else has the lease now:
    /// then the holder must stop.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn renew_lease(&self, lease: &mut Lease) -> Result<WriteOutcome> {
        let now = self.clock.now();
        if lease.until - now > LEASE / 2 {
            return Ok(WriteOutcome::Written);
        }
        let until = now + LEASE;
        let request = self
            .held(lease)
            .update_expression("SET leasedUntil = :until")
            .expression_attribute_values(":until", n(until.timestamp_millis()));
        let outcome = outcome(self.update("keep a lease", request).await?.is_some());
        if outcome == WriteOutcome::Written {
            lease.until = until;
        }
        match &mut lease.permit {
            Some(permit) if outcome == WriteOutcome::Written => {
                self.renew_permit(lease.user, permit).await
            }
            _ => Ok(outcome),
        }
    }

    /// Forgets what the last answer is compared with, before the first event is written: if this sync is interrupted,
    /// the next one must look again.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn begin_writes(&self, lease: &Lease) -> Result<WriteOutcome> {
        let request = self
            .held(lease)
            .update_expression("SET validators = :none")
            .expression_attribute_values(":none", value("begin to write", &Validators::default())?);
        Ok(outcome(
            self.update("begin to write", request).await?.is_some(),
        ))
    }

    /// Ends a sync and gives the lease back. Answers with the cursor as it is now, or with `None` when the lease was
    /// lost.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn finish_sync(&self, lease: Lease, ending: &SyncReport) -> Result<Option<Cursor>> {
        let operation = "end a sync";
        if ending.is_postponed() {
            return self.release_lease(lease).await;
        }
        if let Some(permit) = &lease.permit {
            self.release_permit(lease.user, permit).await?;
        }
        let mut sets = vec![
            "completed = :completed",
            "nextSyncAt = :next",
            "duePk = dueIn",
            "dueSk = :dueSk",
            "#status = :status",
            "failures = :failures",
        ];
        // A message that came while the lease was held was dropped, so from here on a wish needs a new one.
        let mut removes = vec!["leasedUntil", "queuedAt"];
        let mut request = self
            .held(&lease)
            .expression_attribute_values(":completed", n(lease.cursor.requested))
            .expression_attribute_values(":next", value(operation, &ending.next_sync_at)?)
            .expression_attribute_values(
                ":dueSk",
                s(keys::due_sort(
                    ending.next_sync_at,
                    &lease.calendar.to_string(),
                )),
            )
            .expression_attribute_names("#status", "status");
        match &ending.success {
            Some(success) => {
                sets.extend([
                    "lastSyncedAt = :now",
                    "stats = :stats",
                    "eventCount = :count",
                    "pushFailures = :pushFailures",
                ]);
                removes.push("lastError");
                request = request
                    .expression_attribute_values(":status", value(operation, &SyncStatus::Synced)?)
                    .expression_attribute_values(":failures", n(0))
                    .expression_attribute_values(":pushFailures", n(success.push_failures))
                    .expression_attribute_values(":now", value(operation, &self.clock.now())?)
                    .expression_attribute_values(":count", n(success.stats.total))
                    .expression_attribute_values(":stats", value(operation, &success.stats)?);
                if let Some(validators) = &success.validators {
                    sets.push("validators = :validators");
                    request = request
                        .expression_attribute_values(":validators", value(operation, validators)?);
                }
                if let Some(sync_state) = &success.sync_state {
                    sets.push("#state = :state");
                    request = request
                        .expression_attribute_names("#state", "syncState")
                        .expression_attribute_values(":state", value(operation, sync_state)?);
                }
                if let Some(channel) = &success.channel {
                    sets.push("channel = :channel");
                    request =
                        request.expression_attribute_values(":channel", value(operation, channel)?);
                }
                if let Some(warnings) = &success.warnings {
                    sets.push("warnings = :warnings");
                    request = request
                        .expression_attribute_values(":warnings", value(operation, warnings)?);
                }
                if let Some(seconds) = success.refresh_seconds {
                    sets.push("refreshSeconds = :refresh");
                    request = request.expression_attribute_values(":refresh", n(seconds));
                }
                match &success.suspect {
                    Some(suspect) => {
                        sets.push("suspect = :suspect");
                        request = request.expression_attribute_values(":suspect", s(suspect));
                    }
                    None => removes.push("suspect"),
                }
            }
            None => {
                sets.push("lastError = :error");
                request = request
                    .expression_attribute_values(":status", value(operation, &SyncStatus::Failed)?)
                    .expression_attribute_values(
                        ":failures",
                        n(lease.cursor.failures.saturating_add(1)),
                    )
                    .expression_attribute_values(
                        ":error",
                        s(ending.error.as_deref().unwrap_or("the sync failed")),
                    );
            }
        }
        let request = request
            .update_expression(format!(
                "SET {} REMOVE {}",
                sets.join(", "),
                removes.join(", ")
            ))
            .return_values(ReturnValue::AllNew);
        self.update(operation, request)
            .await?
            .map(|item| from_item(operation, item))
            .transpose()
    }

    /// Gives the lease back without having come to an end: what was wanted still is.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn release_lease(&self, lease: Lease) -> Result<Option<Cursor>> {
        if let Some(permit) = &lease.permit {
            self.release_permit(lease.user, permit).await?;
        }
        let request = self
            .held(&lease)
            .update_expression("REMOVE leasedUntil, queuedAt")
            .return_values(ReturnValue::AllNew);
        self.update("give a lease back", request)
            .await?
            .map(|item| from_item("give a lease back", item))
            .transpose()
    }

    /// Gives the lease back without having synced, and takes the calendar off what is due.
    ///
    /// # Errors
    /// When DynamoDB does not answer.
    pub async fn finish_disconnected(&self, lease: Lease) -> Result<Option<Cursor>> {
        let operation = "end work on a disconnected calendar";
        let request = self
            .held(&lease)
            .update_expression(
                "SET completed = :completed, validators = :none, eventCount = :zero, #status = :pending, warnings = :nothing \
                 REMOVE leasedUntil, queuedAt, duePk, dueSk, nextSyncAt, suspect, lastSyncedAt, lastError, #state, channel",
            )
            .expression_attribute_names("#state", "syncState")
            .expression_attribute_values(":completed", n(lease.cursor.requested))
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
    ///
    /// # Errors
    /// When DynamoDB does not answer.
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
    ///
    /// # Errors
    /// When DynamoDB does not answer.
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
    ///
    /// # Errors
    /// When DynamoDB does not answer.
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

    fn cursor_update(&self, user: UserId, calendar: CalendarId) -> UpdateItemFluentBuilder {
        self.dynamo
            .update_item()
            .table_name(&self.calendar)
            .set_key(Some(keys::cursor(user, calendar).attributes()))
    }

    /// An update that only the holder of the lease can make.
    fn held(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.cursor_update(lease.user, lease.calendar)
            .condition_expression("fencing = :fencing")
            .expression_attribute_values(":fencing", n(lease.fencing))
    }
}

fn outcome(done: bool) -> WriteOutcome {
    if done {
        WriteOutcome::Written
    } else {
        WriteOutcome::ConditionFailed
    }
}

fn value(
    operation: &'static str,
    value: &impl Serialize,
) -> Result<aws_sdk_dynamodb::types::AttributeValue> {
    serde_dynamo::to_attribute_value(value).map_err(|error| StoreError::new(operation, error))
}
