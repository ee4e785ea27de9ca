//! Counters that all function instances share: failed sign-ins, and calls per rate-limit window.

use aws_sdk_dynamodb::types::ReturnValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Result, Store, from_item, keys, n};

/// Number of failed sign-ins after which an address is locked.
pub const MAX_FAILURES: u32 = 5;
/// How long an address is locked, counted from the last attempt.
pub const LOCKOUT: TimeDelta = TimeDelta::minutes(30);

/// The outcome of [`Store::begin_attempt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAttempt {
    /// The attempt is allowed.
    Allowed,
    /// The address is locked until this instant.
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
    /// Counts a sign-in attempt. The caller counts before it verifies the password, so that concurrent attempts cannot
    /// exceed the limit, and clears the count after a success with [`Store::clear_attempts`].
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

    /// Clears the failed sign-ins of an address.
    pub async fn clear_attempts(&self, email_digest: &str) -> Result<()> {
        self.delete(
            "clear failed sign-ins",
            &self.identity,
            keys::lockout(email_digest),
        )
        .await
    }

    /// Adds `by` calls to a rate-limit window and returns the new total.
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
            // Kept for one more window, for instances whose clock is behind.
            .expression_attribute_values(":expires", n(window_start + 2 * window_seconds))
            .return_values(ReturnValue::UpdatedNew);
        let item = self.update(operation, request).await?.unwrap_or_default();
        from_item::<Count>(operation, item).map(|count| count.count)
    }
}
