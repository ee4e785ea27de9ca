//! Counters that all function instances share: failed sign-ins, and calls per rate-limit window.

use aws_sdk_dynamodb::types::ReturnValue;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{Result, Store, from_item, keys, n};

/// Length of a window of one day.
pub const DAY_SECONDS: i64 = 86_400;

/// How failed sign-ins of one subject delay further ones.
#[derive(Clone, Copy, Debug)]
pub struct AttemptPolicy {
    /// Number of failures without a delay.
    pub free: u32,
    /// Delay after the next failure. It doubles with each further one.
    pub first_delay: TimeDelta,
    /// The longest delay.
    pub longest_delay: TimeDelta,
    /// How long failures are remembered, counted from the last one.
    pub kept: TimeDelta,
}

/// Sign-ins to one e-mail address from one network.
pub const FROM_ONE_NETWORK: AttemptPolicy = AttemptPolicy {
    free: 5,
    first_delay: TimeDelta::minutes(1),
    longest_delay: TimeDelta::minutes(30),
    kept: TimeDelta::hours(2),
};
/// Sign-ins to one e-mail address from all networks together.
pub const FROM_EVERYWHERE: AttemptPolicy = AttemptPolicy {
    free: 100,
    first_delay: TimeDelta::minutes(1),
    longest_delay: TimeDelta::minutes(15),
    kept: TimeDelta::hours(24),
};
/// Number of attempts of one subject that may be under way at once, as long as none is delayed.
const AT_ONCE: u32 = 20;
/// How long the networks are remembered from which somebody has signed in.
const KNOWN_NETWORK: TimeDelta = TimeDelta::days(90);

impl AttemptPolicy {
    fn delay(&self, failures: u32) -> TimeDelta {
        let doublings = failures.saturating_sub(self.free).min(16);
        (self.first_delay * (1 << doublings)).min(self.longest_delay)
    }
}

/// The outcome of [`Store::begin_attempt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInAttempt {
    /// The attempt is allowed.
    Allowed,
    /// Attempts are refused until this instant.
    LockedUntil(DateTime<Utc>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attempts {
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    locked_until: i64,
    #[serde(default)]
    expires_at: i64,
}

#[derive(Deserialize)]
struct Count {
    count: u64,
}

impl Store {
    /// Begins a sign-in attempt. It counts as under way until [`Store::fail_attempt`] or [`Store::clear_attempts`], so that
    /// concurrent attempts cannot exceed the limit, and right passwords do not count as failures meanwhile.
    pub async fn begin_attempt(
        &self,
        subject: &str,
        policy: AttemptPolicy,
    ) -> Result<SignInAttempt> {
        let operation = "begin a sign-in";
        let now = self.clock.now();
        let first = self
            .change(&self.identity, keys::lockout(subject))
            .update_expression(
                "SET expiresAt = :until, failures = :zero, pending = :one, lockedUntil = :zero",
            )
            .condition_expression("attribute_not_exists(expiresAt) OR expiresAt <= :now")
            .expression_attribute_values(":until", n((now + policy.kept).timestamp()))
            .expression_attribute_values(":zero", n(0))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(now.timestamp()));
        if self.update(operation, first).await?.is_some() {
            return Ok(SignInAttempt::Allowed);
        }
        let further = self
            .change(&self.identity, keys::lockout(subject))
            .update_expression("ADD pending :one")
            .condition_expression(
                "(failures < :free AND pending < :atOnce) OR (failures >= :free AND lockedUntil <= :now AND pending < :one)",
            )
            .expression_attribute_values(":free", n(policy.free))
            .expression_attribute_values(":atOnce", n(AT_ONCE))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":now", n(now.timestamp()));
        if self.update(operation, further).await?.is_some() {
            return Ok(SignInAttempt::Allowed);
        }
        let locked = self.locked_until(subject).await?;
        // Others are under way.
        let soon = now + TimeDelta::seconds(5);
        Ok(SignInAttempt::LockedUntil(
            locked.map_or(soon, |until| until.max(soon)),
        ))
    }

    /// Returns until when attempts of a subject are refused; `None` if they are not.
    pub async fn locked_until(&self, subject: &str) -> Result<Option<DateTime<Utc>>> {
        let operation = "read failed sign-ins";
        let attempts: Option<Attempts> = self
            .get(operation, &self.identity, keys::lockout(subject), true)
            .await?;
        let now = self.clock.now().timestamp();
        let current = attempts.filter(|one| one.expires_at > now && one.locked_until > now);
        Ok(current.and_then(|one| DateTime::from_timestamp(one.locked_until, 0)))
    }

    /// Counts a failed sign-in.
    pub async fn fail_attempt(&self, subject: &str, policy: AttemptPolicy) -> Result<()> {
        let operation = "count a failed sign-in";
        let now = self.clock.now();
        let counted = self
            .change(&self.identity, keys::lockout(subject))
            .update_expression("SET expiresAt = :until ADD failures :one, pending :less")
            .expression_attribute_values(":until", n((now + policy.kept).timestamp()))
            .expression_attribute_values(":one", n(1))
            .expression_attribute_values(":less", n(-1))
            .return_values(ReturnValue::UpdatedNew);
        let item = self.update(operation, counted).await?.unwrap_or_default();
        let Attempts { failures, .. } = from_item(operation, item)?;
        if failures < policy.free {
            return Ok(());
        }
        let until = now + policy.delay(failures);
        let locked = self
            .change(&self.identity, keys::lockout(subject))
            .update_expression("SET lockedUntil = :until")
            .expression_attribute_values(":until", n(until.timestamp()));
        self.update(operation, locked).await.map(drop)
    }

    /// Clears the failed sign-ins of a subject.
    pub async fn clear_attempts(&self, subject: &str) -> Result<()> {
        self.delete(
            "clear failed sign-ins",
            &self.identity,
            keys::lockout(subject),
        )
        .await
    }

    /// Remembers that the owner of an e-mail address has signed in from a network.
    pub async fn remember_network(&self, email_digest: &str, network: &str) -> Result<()> {
        let until = self.clock.now() + KNOWN_NETWORK;
        let known = self
            .change(&self.identity, keys::known_network(email_digest, network))
            .update_expression("SET expiresAt = :until")
            .expression_attribute_values(":until", n(until.timestamp()));
        self.update("remember a network", known).await.map(drop)
    }

    /// Returns whether the owner of an e-mail address has signed in from a network of late.
    pub async fn is_known_network(&self, email_digest: &str, network: &str) -> Result<bool> {
        let known: Option<Attempts> = self
            .get(
                "read a network",
                &self.identity,
                keys::known_network(email_digest, network),
                false,
            )
            .await?;
        let now = self.clock.now().timestamp();
        Ok(known.is_some_and(|known| known.expires_at > now))
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

    /// Returns how many calls have been counted in a window.
    pub async fn counted_calls(
        &self,
        policy: &str,
        subject: &str,
        window_start: i64,
    ) -> Result<u64> {
        let key = keys::rate(policy, subject, window_start);
        let count: Option<Count> = self
            .get("read a count of calls", &self.identity, key, false)
            .await?;
        Ok(count.map_or(0, |count| count.count))
    }
}
