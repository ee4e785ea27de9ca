//! The audit log. Entries are only added, never changed.

use std::borrow::Cow;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{Result, Store, keys, n, to_item};

/// The actor of an unauthenticated request.
pub const ANONYMOUS: &str = "anonymous";
/// How long entries of unauthenticated requests are kept.
const ANONYMOUS_KEPT: TimeDelta = TimeDelta::days(90);

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// The user's id, or `anonymous` for unauthenticated requests.
    pub actor: String,
    /// The action, such as `LOGIN_SUCCESS`.
    pub action: String,
    /// The id of the resource that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// `SUCCESS` or `FAILURE`.
    pub outcome: String,
    /// Further details as text; never contains secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The client's IP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The request id, as in the logs.
    pub request_id: String,
}

impl Store {
    /// Adds an entry. Callers log an error and continue: a failure to write the audit log does not fail the audited
    /// action.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<()> {
        let operation = "write the audit log";
        let now = self.clock.now();
        let unique = calweave_domain::ids::SessionId::new(&self.clock).to_string();
        let unique = &unique["ses_".len()..];
        let is_anonymous = entry.actor == ANONYMOUS;
        let actor = if is_anonymous {
            // Spread over several partitions: anybody can cause such entries.
            Cow::Owned(format!("{ANONYMOUS}#{}", &unique[unique.len() - 1..]))
        } else {
            Cow::Borrowed(entry.actor.as_str())
        };
        let mut item = to_item(operation, keys::audit(&actor, now, unique), entry)?;
        if is_anonymous {
            let until = now + ANONYMOUS_KEPT;
            item.insert(keys::TTL.to_owned(), n(until.timestamp()));
        }
        self.put_item(operation, &self.audit, item).await
    }
}
