//! Where things are kept: the names of tables, key and queue.

use super::Environment;

/// The DynamoDB tables.
#[derive(Clone, Debug)]
pub struct TableNames {
    /// Users, sessions and counters.
    pub identity: String,
    /// Sealed secrets.
    pub vault: String,
    /// Calendars and events.
    pub calendar: String,
    /// The audit trail.
    pub audit: String,
}

impl TableNames {
    /// Reads `…_TABLE`.
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
    /// Its id, ARN or alias.
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

/// The SQS queue of sync work.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Its URL.
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
