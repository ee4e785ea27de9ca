//! Permits, which bound the number of syncs that call a provider about the same account at once. Some providers cap the
//! concurrent calls to a mailbox, so each account has a fixed number of permits that all workers share.

use calweave_domain::ids::{ConnectionId, UserId};
use chrono::{DateTime, TimeDelta, Utc};

use super::{Result, Store, WriteOutcome, keys, n};

/// How long a permit is valid without renewal. The permit of a killed worker becomes free after this time.
pub const PERMIT_LIFETIME: TimeDelta = TimeDelta::seconds(60);
/// Attempts to acquire a permit when concurrent workers take the free ones first.
const MAX_ATTEMPTS: usize = 4;

/// The right to call a provider about one account.
#[derive(Clone, Debug)]
pub struct Permit {
    connection: ConnectionId,
    number: usize,
    until: DateTime<Utc>,
}

/// The outcome of [`Store::acquire_permit`].
#[derive(Debug)]
pub enum PermitOutcome {
    /// A permit was acquired.
    Acquired(Permit),
    /// All permits are in use.
    Exhausted,
    /// Calls about the account are paused until this instant, because the provider throttled it.
    Paused(DateTime<Utc>),
}

fn name(number: usize) -> String {
    format!("permit{number}")
}

impl Store {
    /// Acquires one of an account's `count` permits.
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
                    "read the permits of an account",
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
            if self.done("acquire a permit", request).await? == WriteOutcome::Written {
                return Ok(PermitOutcome::Acquired(permit));
            }
        }
        Ok(PermitOutcome::Exhausted)
    }

    /// Renews a permit. The condition fails when another worker holds it.
    pub async fn renew_permit(&self, user: UserId, permit: &mut Permit) -> Result<WriteOutcome> {
        let until = self.clock.now() + PERMIT_LIFETIME;
        let request = self
            .change(&self.calendar, keys::permits(user, permit.connection))
            .update_expression("SET #permit = :until")
            .condition_expression("#permit = :mine")
            .expression_attribute_names("#permit", name(permit.number))
            .expression_attribute_values(":until", n(until.timestamp_millis()))
            .expression_attribute_values(":mine", n(permit.until.timestamp_millis()));
        let outcome = self.done("renew a permit", request).await?;
        if outcome == WriteOutcome::Written {
            permit.until = until;
        }
        Ok(outcome)
    }

    /// Releases a permit.
    pub async fn release_permit(&self, user: UserId, permit: &Permit) -> Result<()> {
        let request = self
            .change(&self.calendar, keys::permits(user, permit.connection))
            .update_expression("REMOVE #permit")
            .condition_expression("#permit = :mine")
            .expression_attribute_names("#permit", name(permit.number))
            .expression_attribute_values(":mine", n(permit.until.timestamp_millis()));
        self.done("release a permit", request).await.map(drop)
    }

    /// Pauses all calls about an account until `until`; an earlier time than the stored one has no effect.
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

    /// Removes the permits of an account.
    pub async fn delete_permits(&self, user: UserId, connection: ConnectionId) -> Result<()> {
        self.delete(
            "remove an account's permits",
            &self.calendar,
            keys::permits(user, connection),
        )
        .await
    }
}
