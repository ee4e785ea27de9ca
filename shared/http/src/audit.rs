//! The audit log. A failure to write an entry is logged and does not fail the request.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use calweave_base::error_chain::Chain;
use calweave_store::Store;
use calweave_store::audit::AuditEntry;

use super::HttpState;
use super::origin::RequestOrigin;

/// Adds entries to the audit log for one request.
#[derive(Clone)]
pub struct AuditLog {
    store: Store,
    origin: RequestOrigin,
}

impl<S: HttpState> FromRequestParts<S> for AuditLog {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let origin = parts.extensions.get::<RequestOrigin>();
        Ok(Self {
            store: state.as_ref().store.clone(),
            origin: origin.cloned().unwrap_or_default(),
        })
    }
}

impl AuditLog {
    /// Returns the network of the client.
    pub fn network(&self) -> String {
        self.origin.network()
    }

    /// Records a failed action of somebody who is not signed in. `subject` says whose account it is about: a user's id, or a
    /// digest if there is no such account.
    pub async fn failure_of(
        &self,
        actor: impl ToString,
        action: &str,
        subject: &str,
        detail: &str,
    ) {
        let (subject, detail) = (Some(subject.to_owned()), Some(detail.to_owned()));
        self.append(actor.to_string(), action, subject, "FAILURE", detail)
            .await;
    }

    /// Records a successful action.
    pub async fn success(&self, actor: impl ToString, action: &str, resource: Option<String>) {
        self.append(actor.to_string(), action, resource, "SUCCESS", None)
            .await;
    }

    /// Records a failed action.
    pub async fn failure(&self, actor: impl ToString, action: &str, detail: &str) {
        self.append(
            actor.to_string(),
            action,
            None,
            "FAILURE",
            Some(detail.to_owned()),
        )
        .await;
    }

    async fn append(
        &self,
        actor: String,
        action: &str,
        resource: Option<String>,
        outcome: &str,
        detail: Option<String>,
    ) {
        let entry = AuditEntry {
            actor,
            action: action.to_owned(),
            resource,
            outcome: outcome.to_owned(),
            detail,
            ip_address: Some(self.origin.ip.clone()).filter(|ip| !ip.is_empty()),
            request_id: self.origin.request_id.clone(),
        };
        if let Err(error) = self.store.append_audit(&entry).await {
            tracing::error!(error.chain = %Chain(&error), "could not write the audit log");
        }
    }
}
