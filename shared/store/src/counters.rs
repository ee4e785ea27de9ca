//! Counters that hold across Lambdas: failed sign-ins, and calls per window.

use aws_sdk_dynamodb::types::ReturnValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Result, Store, from_item, keys, n};

/// Failures after which an address is locked.
pub const MAX_FAILURES: u32 = 5;
/// How long it is locked, counted from the last attempt.
pub const LOCKOUT: TimeDelta = TimeDelta::minutes(30);

/// Whether a sign-in may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAttempt {
    /// It may.
    Allowed,
    /// Not before this instant.
    LockedUntil(DateTime<Utc>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lockout {
    expires_at: i64,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

impl Store {
    /// Counts an attempt to sign in before the password is looked at, so that many at once cannot outrun the count.
    /// A success clears it with [`Store::clear_attempts`].
    pub async fn begin_attempt(&self, email_digest: &str) -> Result<SignInAttempt> {
        let operation = "count a sign-in";
        let now = self.clock.now();
        let table = &self.identity;
        let update = || {
            self.dynamo
                .update_item()
                .table_name(table)
                .set_key(Some(keys::lockout(email_digest).attributes()))
        };
        let counted = update()
            .update_expression("SET expiresAt = :until ADD failures :one")
            .condition_expression("expiresAt > :now AND failures < :max")
            .expression_attribute_values(":until", n((now + LOCKOUT).timestamp()))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(now.timestamp()))
            .expression_attribute_values(":max", n(MAX_FAILURES));
        if self.update(operation, counted).await?.is_some() {
            return Ok(SignInAttempt::Allowed);
        }
        let first = update()
            .update_expression("SET expiresAt = :until, failures = :one")
            .condition_expression("attribute_not_exists(expiresAt) OR expiresAt <= :now")
            .expression_attribute_values(":until", n((now + LOCKOUT).timestamp()))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(now.timestamp()));
        if self.update(operation, first).await?.is_some() {
            return Ok(SignInAttempt::Allowed);
        }
        let lockout: Option<Lockout> = self
            .get(operation, &self.identity, keys::lockout(email_digest), true)
            .await?;
        let until = lockout.and_then(|lockout| DateTime::from_timestamp(lockout.expires_at, 0));
        Ok(SignInAttempt::LockedUntil(until.unwrap_or(now + LOCKOUT)))
    }

    /// Forgets the failures of an address.
    pub async fn clear_attempts(&self, email_digest: &str) -> Result<()> {
        self.delete(
            "clear failed sign-ins",
            &self.identity,
            keys::lockout(email_digest),
        )
        .await
    }

    /// Adds `by` calls to a window and answers with how many it has now.
    pub async fn count_calls(
        &self,
        policy: &str,
        subject: &str,
        window_start: i64,
        window_seconds: i64,
        by: u64,
    ) -> Result<u64> {
        let operation = "count calls";
        let request = self
            .change(&self.identity, keys::rate(policy, subject, window_start))
            .update_expression("SET expiresAt = :expires ADD #count :by")
            .expression_attribute_names("#count", "count")
            .expression_attribute_values(":by", n(by))
            // Kept for one more window, so that a clock that is a little behind still finds it.
            .expression_attribute_values(":expires", n(window_start + 2 * window_seconds))
            .return_values(ReturnValue::UpdatedNew);
        let item = self.update(operation, request).await?.unwrap_or_default();
        from_item::<Count>(operation, item).map(|count| count.count)
    }
}
