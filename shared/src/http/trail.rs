//! Writes the audit trail from a request. A trail that cannot be written is logged and fails nothing.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::layers::Origin;
use crate::app::App;
use crate::error_chain::Chain;
use crate::store::audit::AuditEntry;

/// What a request can add to the trail.
#[derive(Clone, Debug)]
pub struct Trail {
    app: App,
    origin: Origin,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

impl FromRequestParts<App> for Trail {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self {
            app: app.clone(),
            origin: parts
                .extensions
                .get::<Origin>()
                .cloned()
                .unwrap_or_default(),
        })
    }
}

impl Trail {
    /// Notes that something was done.
    pub async fn success(&self, actor: impl ToString, action: &str, resource: Option<String>) {
        self.append(actor.to_string(), action, resource, "SUCCESS", None)
            .await;
    }

    /// Notes that something was tried in vain.
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
        if let Err(error) = self.app.store.append_audit(&entry).await {
            tracing::error!(error.chain = %Chain(&error), "could not write the audit trail");
        }
    }
}
