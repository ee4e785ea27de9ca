//! How many syncs may call about one account at once. Some providers refuse whoever asks too much at a time of one
//! mailbox, so an account has a few permits, and all workers together no more than these.

use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Result, Store, WriteOutcome, keys, n};

/// How long a permit is kept without a sign of life. That of a killed worker is free after this long.
pub const PERMIT_LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// How often a permit is tried for that somebody else is faster to take.
const MAX_ATTEMPTS: usize = 4;

/// The right to call about an account.
#[derive(Clone, Debug)]
pub struct Permit {
    connection: ConnectionId,
    number: usize,
    until: DateTime<Utc>,
}

/// What came of asking for a permit.
#[derive(Debug)]
pub enum PermitOutcome {
    /// It is there.
    Acquired(Permit),
    /// None is free just now.
    Exhausted,
    /// The provider wants to hear nothing about this account until then.
    Paused(DateTime<Utc>),
}

fn name(number: usize) -> String {
    format!("permit{number}")
}

impl Store {
    /// Takes one of an account's `count` permits.
    pub async fn acquire_permit(
        &self,
        user: UserId,
        connection: ConnectionId,
        count: usize,
    ) -> Result<PermitOutcome> {
        for _ in 0..MAX_ATTEMPTS {
            let now = self.clock.now();
            let item: Option<serde_json::Map<String, serde_json::Value>> = self
                .get(
                    "look for a permit",
                    &self.calendar,
                    keys::permits(user, connection),
                    true,
                )
                .await?;
            let until = |name: &str| {
                item.as_ref()
                    .and_then(|item| DateTime::from_timestamp_millis(item.get(name)?.as_i64()?))
            };
            if let Some(paused) = until("notBefore").filter(|until| *until > now) {
                return Ok(PermitOutcome::Paused(paused));
            }
            let Some(number) =
                (0..count).find(|number| until(&name(*number)).is_none_or(|until| until < now))
            else {
                return Ok(PermitOutcome::Exhausted);
            };
            let permit = Permit {
                connection,
                number,
                until: now + PERMIT_LIFETIME,
            };
            let request = self
                .change(&self.calendar, keys::permits(user, connection))
                .update_expression("SET #permit = :until")
                .condition_expression(
                    "(attribute_not_exists(#permit) OR #permit < :now) AND (attribute_not_exists(notBefore) OR notBefore <= :now)",
                )
                .expression_attribute_names("#permit", name(number))
                .expression_attribute_values(":until", n(permit.until.timestamp_millis()))
                .expression_attribute_values(":now", n(now.timestamp_millis()));
            if self.done("take a permit", request).await? == WriteOutcome::Written {
                return Ok(PermitOutcome::Acquired(permit));
            }
        }
        Ok(PermitOutcome::Exhausted)
    }

    /// Shows that whoever has a permit is alive. Refused when somebody else has it by now.
    pub async fn renew_permit(&self, user: UserId, permit: &mut Permit) -> Result<WriteOutcome> {
        let until = self.clock.now() + PERMIT_LIFETIME;
        let request = self
            .change(&self.calendar, keys::permits(user, permit.connection))
            .update_expression("SET #permit = :until")
            .condition_expression("#permit = :mine")
            .expression_attribute_names("#permit", name(permit.number))
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":mine", n(permit.until.timestamp_millis()));
        let outcome = self.done("keep a permit", request).await?;
        if outcome == WriteOutcome::Written {
            permit.until = until;
        }
        Ok(outcome)
    }

    /// Gives a permit back.
    pub async fn release_permit(&self, user: UserId, permit: &Permit) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::permits(user, permit.connection))
            .update_expression("REMOVE #permit")
            .condition_expression("#permit = :mine")
            .expression_attribute_names("#permit", name(permit.number))
            .expression_attribute_values(":mine", n(permit.until.timestamp_millis()));
        self.done("leave a permit", request).await.map(drop)
    }

    /// Lets nobody call about an account before `until`.
    pub async fn pause_calls(
        &self,
        user: UserId,
        connection: ConnectionId,
        until: DateTime<Utc>,
    ) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::permits(user, connection))
            .update_expression("SET notBefore = :until")
            .condition_expression("attribute_not_exists(notBefore) OR notBefore < :until")
            .expression_attribute_values(":until", n(until.timestamp_millis()));
        self.done("pause the calls about an account", request)
            .await
            .map(drop)
    }

    /// Removes an account's permits.
    pub async fn delete_permits(&self, user: UserId, connection: ConnectionId) -> Result<()> {
        self.delete(
            "remove an account's permits",
            &self.calendar,
            keys::permits(user, connection),
        )
        .await
    }
}
