//! Error responses of Google (Calendar API, "Handle API errors").

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::parts::refused;

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub reason: String,
    pub message: String,
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
            retry_after: None,
        }
    }

    pub fn not_found() -> Self {
        Self::new(404, "notFound", "Not Found")
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message)
    }

    fn body(&self) -> Value {
        let domain = match self.reason.as_str() {
            "rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded" => "usageLimits",
            "fullSyncRequired" | "updatedMinTooLongAgo" => "calendar",
            _ => "global",
        };
        json!({ "error": {
            "code": self.status,
            "message": self.message,
            "errors": [{ "domain": domain, "reason": self.reason, "message": self.message }]
        } })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self.status, self.body(), self.retry_after)
    }
}
