//! Idempotency keys, with the responses to their requests: a request that is sent again within a day is processed once.

use calweave_domain::ids::UserId;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Result, Store, WriteOutcome, keys, n, to_item};

/// How long a response is stored.
const KEPT: TimeDelta = TimeDelta::hours(24);
/// How long the claim of a request in progress is valid; longer than any function runs.
const UNDER_WAY: TimeDelta = TimeDelta::minutes(2);

/// A request that was sent with an idempotency key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdempotencyRecord {
    /// Digest of method, path and body. Using the key for a request with another digest is an error.
    pub request_hash: String,
    /// The response; `None` while the request is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<StoredResponse>,
    /// When the record expires, in Unix seconds (DynamoDB TTL).
    #[serde(default)]
    pub expires_at: i64,
}

/// A stored response.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type` header; `None` without a body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The response body.
    pub body: String,
}

impl Store {
    /// Claims an idempotency key for a request. Returns `None` when the claim succeeds, and otherwise the record of the
    /// earlier request.
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

    /// Stores the response to a request that has claimed its key.
    pub async fn store_response(
        &self,
        user: UserId,
        key_digest: &str,
        request_hash: &str,
        answer: StoredResponse,
    ) -> Result<()> {
        let operation = "store a response";
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

    /// Releases the key of a request that failed in a way that allows a retry.
    pub async fn release_idempotency(&self, user: UserId, key_digest: &str) -> Result<()> {
        self.delete(
            "release an idempotency key",
            &self.identity,
            keys::idempotency(user, key_digest),
        )
        .await
    }
}
