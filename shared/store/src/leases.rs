//! Leases: the exclusive right to sync a calendar.
//!
//! A [`Lease`] proves that only its holder writes the events of a calendar and finishes its syncs. It carries a fencing
//! number: a write under the lease fails once another worker has acquired it. Actions of users need no lease: sync
//! requests ([`super::sync_requests`]) and resets ([`super::cursors`]) change only attributes that no holder relies on.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::{Cursor, Validators};
use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use super::permits::Permit;
use super::{Result, Store, WriteOutcome, from_item, n, s, value};

/// How long a lease is valid without renewal. After a worker is killed, its calendar is blocked for this long.
pub const LEASE_LIFETIME: TimeDelta = TimeDelta::seconds(60);

/// What the owner of a calendar reads when a worker was killed.
const INTERRUPTED: &str = "The last sync was interrupted before it was finished. It is repeated.";

/// The right to write one calendar's events and cursor.
#[derive(Debug)]
pub struct Lease {
    user: UserId,
    calendar: CalendarId,
    fencing: u64,
    until: DateTime<Utc>,
    cursor: Box<Cursor>,
    /// Renewed and released together with the lease.
    permit: Option<Permit>,
}

impl Lease {
    /// Returns the owner of the calendar.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Returns the leased calendar.
    pub fn calendar(&self) -> CalendarId {
        self.calendar
    }

    /// Returns the fencing number, which no other lease of the calendar has.
    pub fn fencing(&self) -> u64 {
        self.fencing
    }

    /// Returns whether a permit is attached.
    pub fn has_permit(&self) -> bool {
        self.permit.is_some()
    }

    /// Attaches a permit ([`Store::acquire_permit`]), which is renewed and released together with the lease.
    pub fn attach_permit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Returns whether the last worker with this lease was killed before it released it.
    pub fn follows_interruption(&self) -> bool {
        self.cursor.expired_lease > 0
    }

    /// Returns the cursor as of the acquisition of the lease.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }
}

impl Store {
    /// Acquires the lease of a calendar; `None` when another worker holds it or the calendar does not exist.
    pub async fn acquire_lease(&self, user: UserId, calendar: CalendarId) -> Result<Option<Lease>> {
        let operation = "lease a calendar";
        let now = self.clock.now();
        let until = now + LEASE_LIFETIME;
        let request = self
            .cursor_update(user, calendar)
            // The message is in process, so the next sync request has to send a new one.
            // Every run that ends removes `leasedUntil`: where it is still there, the last run was killed.
            .update_expression(
                "SET expiredLease = if_not_exists(leasedUntil, :zero), leasedUntil = :until \
                 ADD fencing :one REMOVE queuedAt",
            )
            .expression_attribute_values(":zero", n(0))
            .condition_expression("attribute_exists(pk) AND (attribute_not_exists(leasedUntil) OR leasedUntil < :now)")
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":now", n(now.timestamp_millis()))
            .expression_attribute_values(":one", n(1))
            .return_values(ReturnValue::AllNew);
        let Some(item) = self.update(operation, request).await? else {
            return Ok(None);
        };
        let cursor: Box<Cursor> = from_item(operation, item)?;
        Ok(Some(Lease {
            user,
            calendar,
            fencing: cursor.fencing,
            until,
            cursor,
            permit: None,
        }))
    }

    /// Renews the lease, and its permit, once half of its lifetime is over. The condition fails when another worker has
    /// acquired one of them: the holder must then stop.
    pub async fn renew_lease(&self, lease: &mut Lease) -> Result<WriteOutcome> {
        let now = self.clock.now();
        if lease.until - now > LEASE_LIFETIME / 2 {
            return Ok(WriteOutcome::Written);
        }
        self.confirm_lease(lease).await
    }

    /// Renews the lease, and its permit, at once. A holder whose clock is behind may take a lease for its own that another
    /// worker has acquired since, so it confirms it before it writes what it has read.
    pub async fn confirm_lease(&self, lease: &mut Lease) -> Result<WriteOutcome> {
        let until = self.clock.now() + LEASE_LIFETIME;
        let request = self
            .update_as_holder(lease)
            .update_expression("SET leasedUntil = :until")
            .expression_attribute_values(":until", n(until.timestamp_millis()));
        let outcome = self.done("renew a lease", request).await?;
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

    /// Records that the last sync was interrupted, as a failed sync. A successful sync clears it. Counts the interruptions until
    /// a sync gets further ([`Store::checkpoint`]) or ends.
    pub async fn record_interruption(&self, lease: &mut Lease) -> Result<WriteOutcome> {
        let operation = "record an interrupted sync";
        lease.cursor.failures = lease.cursor.failures.saturating_add(1);
        lease.cursor.interruptions = lease.cursor.interruptions.saturating_add(1);
        let request = self
            .update_as_holder(lease)
            .update_expression(
                "SET lastError = :error, failures = :failures, interruptions = :interruptions",
            )
            .expression_attribute_values(":interruptions", n(lease.cursor.interruptions))
            .expression_attribute_values(":error", s(INTERRUPTED))
            .expression_attribute_values(":failures", n(lease.cursor.failures));
        self.done(operation, request).await
    }

    /// Clears the validators before the first event is written, so that after an interruption the next sync compares
    /// everything again.
    pub async fn begin_writes(&self, lease: &Lease) -> Result<WriteOutcome> {
        let request = self
            .update_as_holder(lease)
            .update_expression("SET validators = :none")
            .expression_attribute_values(":none", value("begin to write", &Validators::default())?);
        self.done("begin to write", request).await
    }

    /// Releases the lease without finishing the sync: its requests remain open. Returns the cursor, or `None` when the
    /// lease was lost.
    pub async fn release_lease(&self, lease: Lease) -> Result<Option<Cursor>> {
        self.release_permit_of(&lease).await?;
        let request = self
            .update_as_holder(&lease)
            .update_expression("REMOVE leasedUntil, queuedAt")
            .return_values(ReturnValue::AllNew);
        self.update("release a lease", request)
            .await?
            .map(|item| from_item("release a lease", item))
            .transpose()
    }

    /// Releases the permit that is attached to a lease, if any.
    pub(super) async fn release_permit_of(&self, lease: &Lease) -> Result<()> {
        match &lease.permit {
            Some(permit) => self.release_permit(lease.user, permit).await,
            None => Ok(()),
        }
    }

    /// Starts an update of the cursor that succeeds only for the holder of the lease.
    pub(super) fn update_as_holder(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.cursor_update(lease.user, lease.calendar)
            .condition_expression("fencing = :fencing")
            .expression_attribute_values(":fencing", n(lease.fencing))
    }
}
