//! The trail of who did what. Entries are only ever added.

use serde::{Deserialize, Serialize};

use super::{Result, Store, keys, to_item};

/// One thing that somebody did.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// A user's id; `anonymous` where nobody is signed in.
    pub actor: String,
    /// What was done, such as `LOGIN_SUCCESS`.
    pub action: String,
    /// The id of what it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// `SUCCESS` or `FAILURE`.
    pub outcome: String,
    /// More, in words; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Where the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// The request, as the logs name it.
    pub request_id: String,
}

impl Store {
    /// Adds an entry. A trail that cannot be written does not fail what it is about; the caller logs the error.
    pub async fn append_audit(&self, entry: &AuditEntry) -> Result<()> {
        let operation = "write the audit trail";
        let now = self.clock.now();
        let unique = calweave_domain::ids::SessionId::new(&self.clock).to_string();
        let item = to_item(
            operation,
            keys::audit(&entry.actor, now, &unique["ses_".len()..]),
            entry,
        )?;
        self.put_item(operation, &self.audit, item).await
    }
}
