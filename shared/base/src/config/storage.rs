//! Names of the DynamoDB tables, the KMS key and the SQS queue.

use super::Environment;

/// The names of the DynamoDB tables.
#[derive(Clone, Debug)]
pub struct TableNames {
    /// Users, sessions and counters.
    pub identity: String,
    /// Sealed secrets and wrapped data keys.
    pub vault: String,
    /// Calendars and events.
    pub calendar: String,
    /// The audit log.
    pub audit: String,
}

impl TableNames {
    /// Reads `IDENTITY_TABLE`, `VAULT_TABLE`, `CALENDAR_TABLE` and `AUDIT_TABLE`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        Self {
            identity: env.required("IDENTITY_TABLE"),
            vault: env.required("VAULT_TABLE"),
            calendar: env.required("CALENDAR_TABLE"),
            audit: env.required("AUDIT_TABLE"),
        }
    }
}

/// The KMS key that wraps data keys.
#[derive(Clone, Debug)]
pub struct KeyConfig {
    /// Key id, ARN or alias.
    pub kms_key_id: String,
}

impl KeyConfig {
    /// Reads `KMS_KEY_ID`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        Self {
            kms_key_id: env.required("KMS_KEY_ID"),
        }
    }
}

/// The SQS queue of sync messages.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Queue URL.
    pub url: String,
}

impl QueueConfig {
    /// Reads `SYNC_QUEUE_URL`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        Self {
            url: env.required("SYNC_QUEUE_URL"),
        }
    }
}
