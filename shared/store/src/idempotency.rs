//! Answers that are kept for a day, so that a request sent twice is carried out once.

use calweave_domain::ids::UserId;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Result, Store, WriteOutcome, keys, n, to_item};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// How long a request may be under way before another may take its place: longer than any function runs.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(2);

/// What is known of a request that was sent with a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRecord {
    /// Digest of method, path and body: the same key with another request is a mistake.
    pub request_hash: String,
    /// The answer, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<StoredResponse>,
    /// Unix seconds (DynamoDB TTL).
    #[serde(default)]
    pub expires_at: i64,
}

/// An answer as it was given.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`, where there was a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
}

impl Store {
    /// Claims a key for a request. `None` when it is claimed; otherwise what an earlier request left.
    pub async fn claim_idempotency(
        &self,
        user: UserId,
        key_digest: &str,
        request_hash: &str,
    ) -> Result<Option<IdempotencyRecord>> {
        let operation = "claim an idempotency key";
        let now = self.clock.now();
        let record = IdempotencyRecord {
            request_hash: request_hash.to_owned(),
            answer: None,
            expires_at: (now + UNDER_WAY).timestamp(),
        };
        let put = self
            .dynamo
            .put_item()
            .table_name(&self.identity)
            .set_item(Some(to_item(
                operation,
                keys::idempotency(user, key_digest),
                &record,
            )?))
            .condition_expression("attribute_not_exists(pk) OR expiresAt <= :now")
            .expression_attribute_values(":now", n(now.timestamp()));
        match self.put(operation, put).await? {
            WriteOutcome::Written => Ok(None),
            WriteOutcome::ConditionFailed => {
                let found = self
                    .get(
                        operation,
                        &self.identity,
                        keys::idempotency(user, key_digest),
                        true,
                    )
                    .await?;
                Ok(Some(found.unwrap_or(record)))
            }
        }
    }

    /// Keeps the answer to a request whose key was claimed.
    pub async fn store_response(
        &self,
        user: UserId,
        key_digest: &str,
        request_hash: &str,
        answer: StoredResponse,
    ) -> Result<()> {
        let operation = "keep an answer";
        let expires_at = (self.clock.now() + KEPT).timestamp();
        let record = IdempotencyRecord {
            request_hash: request_hash.to_owned(),
            answer: Some(answer),
            expires_at,
        };
        let item = to_item(operation, keys::idempotency(user, key_digest), &record)?;
        match self
            .put(
                operation,
                self.dynamo
                    .put_item()
                    .table_name(&self.identity)
                    .set_item(Some(item)),
            )
            .await?
        {
            WriteOutcome::Written | WriteOutcome::ConditionFailed => Ok(()),
        }
    }

    /// Gives a key back whose request failed in a way that may be tried again.
    pub async fn release_idempotency(&self, user: UserId, key_digest: &str) -> Result<()> {
        self.delete(
            "release an idempotency key",
            &self.identity,
            keys::idempotency(user, key_digest),
        )
        .await
    }
}
