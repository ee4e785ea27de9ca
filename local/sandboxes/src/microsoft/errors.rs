//! Error responses of Graph (<https://learn.microsoft.com/graph/errors>).

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::parts::refused;

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub retry_after: Option<u64>,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            retry_after: None,
        }
    }

    pub fn not_found() -> Self {
        Self::new(
            404,
            "ErrorItemNotFound",
            "The specified object was not found in the store.",
        )
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "ErrorPropertyValidationFailure", message)
    }

    pub fn body(&self) -> Value {
        let inner = json!({ "date": "2026-11-21T00:00:00", "request-id": "sandbox", "client-request-id": "sandbox" });
        json!({ "error": { "code": self.code, "message": self.message, "innerError": inner } })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        refused(self.status, self.body(), self.retry_after)
    }
}
