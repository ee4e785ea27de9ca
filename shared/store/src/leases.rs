//! Leases: who may work on a calendar.
//!
//! A [`Lease`] shows that its holder alone writes the events of a calendar and finishes its syncs. It carries a fencing
//! number, and a write under it is refused once somebody else has taken the lease. What a person asks for needs no lease:
//! requests ([`super::sync_requests`]) and resets ([`super::cursors`]) touch only attributes that no holder relies on.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use calweave_domain::calendar::{Cursor, Validators};
use calweave_domain::ids::{CalendarId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use super::permits::Permit;
use super::{Result, Store, WriteOutcome, from_item, n, value};

/// How long a lease is valid without renewal. The calendar of a killed worker waits this long.
pub const LEASE_LIFETIME: TimeDelta = TimeDelta::seconds(60);

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

impl Store {
    /// Takes the lease of a calendar; `None` when somebody holds it, or the calendar is gone.
    pub async fn acquire_lease(&self, user: UserId, calendar: CalendarId) -> Result<Option<Lease>> {
        let operation = "lease a calendar";
        let now = self.clock.now();
        let until = now + LEASE_LIFETIME;
        let request = self
            .cursor_update(user, calendar)
            // The message that led here is being worked on: from now on a new request needs a new message.
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
    pub async fn renew_lease(&self, lease: &mut Lease) -> Result<WriteOutcome> {
        let now = self.clock.now();
        if lease.until - now > LEASE_LIFETIME / 2 {
            return Ok(WriteOutcome::Written);
        }
        let until = now + LEASE_LIFETIME;
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

    /// Forgets what the last answer is compared with, before the first event is written: if this sync is interrupted,
    /// the next one must look again.
    pub async fn begin_writes(&self, lease: &Lease) -> Result<WriteOutcome> {
        let request = self
            .update_as_holder(lease)
            .update_expression("SET validators = :none")
            .expression_attribute_values(":none", value("begin to write", &Validators::default())?);
        self.done("begin to write", request).await
    }

    /// Gives the lease back without having come to an end: what was wanted still is.
    pub async fn release_lease(&self, lease: Lease) -> Result<Option<Cursor>> {
        self.release_permit_of(&lease).await?;
        let request = self
            .update_as_holder(&lease)
            .update_expression("REMOVE leasedUntil, queuedAt")
            .return_values(ReturnValue::AllNew);
        self.update("give a lease back", request)
            .await?
            .map(|item| from_item("give a lease back", item))
            .transpose()
    }

    /// Releases the permit that is attached to a lease, if there is one.
    pub(super) async fn release_permit_of(&self, lease: &Lease) -> Result<()> {
        match &lease.permit {
            Some(permit) => self.release_permit(lease.user, permit).await,
            None => Ok(()),
        }
    }

    /// An update that succeeds only for the holder of the lease.
    pub(super) fn update_as_holder(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.cursor_update(lease.user, lease.calendar)
            .condition_expression("fencing = :fencing")
            .expression_attribute_values(":fencing", n(lease.fencing))
    }
}
