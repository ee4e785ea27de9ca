//! Errors as `application/problem+json` (RFC 9457). A 500 gives the client no cause; the cause is logged once.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use calweave_base::error_chain::Chain;
use calweave_calendar::{BackendError, Error, FieldError, FieldErrors};
use calweave_store::StoreError;
use calweave_store::queue::QueueError;
use calweave_vault::VaultError;
use serde::Serialize;
use tracing::error;

/// The types of problems that the API returns. The slugs are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// The request is malformed: the body is not JSON or cannot be read.
    BadRequest,
    /// One or more fields are invalid; `errors` lists them.
    ValidationFailed,
    /// The access token is missing or not valid.
    Unauthenticated,
    /// The e-mail address or the password is incorrect.
    InvalidCredentials,
    /// Too many failed sign-ins for this e-mail address.
    AccountLocked,
    /// The resource does not exist, or belongs to another user.
    NotFound,
    /// The path does not support this method.
    MethodNotAllowed,
    /// The resource exists already, or the request conflicts with the stored state.
    Conflict,
    /// The `Idempotency-Key` was used for another request, or its first request is not finished.
    IdempotencyConflict,
    /// The request body is too large.
    TooLarge,
    /// The media type of the request body is not supported.
    UnsupportedMediaType,
    /// The address of a feed cannot be used.
    FeedUnusable,
    /// The resource is read-only.
    ReadOnly,
    /// A quota of the user is used up; the detail names it.
    QuotaExceeded,
    /// The resource has changed: its entity tag does not match `If-Match`.
    PreconditionFailed,
    /// Too many requests.
    RateLimited,
    /// An internal error.
    Internal,
    /// The service is not available, such as when this deployment has no client at the provider.
    Unavailable,
}

impl ProblemType {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::ValidationFailed | Self::FeedUnusable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ReadOnly | Self::QuotaExceeded => StatusCode::FORBIDDEN,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::Unauthenticated | Self::InvalidCredentials => StatusCode::UNAUTHORIZED,
            Self::AccountLocked => StatusCode::LOCKED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::IdempotencyConflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is malformed",
            Self::ValidationFailed => "One or more fields are invalid",
            Self::Unauthenticated => "Authentication is required",
            Self::InvalidCredentials => "The e-mail address or password is incorrect",
            Self::AccountLocked => "Too many failed sign-ins",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "The method is not allowed",
            Self::Conflict => "The request conflicts with the current state",
            Self::IdempotencyConflict => "The idempotency key is in use",
            Self::TooLarge => "The request is too large",
            Self::UnsupportedMediaType => "The media type is not supported",
            Self::FeedUnusable => "The feed cannot be used",
            Self::ReadOnly => "The resource is read-only",
            Self::QuotaExceeded => "A quota is used up",
            Self::PreconditionFailed => "The resource has changed",
            Self::RateLimited => "Too many requests",
            Self::Internal => "Internal server error",
            Self::Unavailable => "Service unavailable",
        }
    }
}

/// A problem (RFC 9457).
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// The problem type, a stable slug.
    pub r#type: ProblemType,
    /// Summary of the problem type.
    pub title: &'static str,
    /// HTTP status code.
    pub status: u16,
    /// Explanation of this occurrence of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Request id, as in the logs.
    pub instance: String,
    /// Validation errors of request fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// The error of a handler. The outermost layer renders it.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemType,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<i64>,
}

impl Problem {
    /// Creates a problem of a type.
    pub fn new(kind: ProblemType) -> Self {
        Self {
            kind,
            detail: None,
            errors: vec![],
            retry_after: None,
        }
    }

    /// Creates a problem of a type with a detail.
    pub fn because(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(kind)
        }
    }

    /// Creates a validation problem for one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, message)])
    }

    /// Creates a validation problem for several fields.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(ProblemType::ValidationFailed)
        }
    }

    /// Creates a not-found problem, also for resources of other users, so that clients cannot tell the difference.
    pub fn not_found() -> Self {
        Self::new(ProblemType::NotFound)
    }

    /// Sets the `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// Returns the response body. `instance` is the request id.
    pub fn body(&self, instance: &str) -> ProblemBody {
        ProblemBody {
            r#type: self.kind,
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            instance: instance.to_owned(),
            errors: self.errors.clone(),
        }
    }

    fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        error!(error.chain = %Chain(error), "request failed: {}", Chain(error));
        Self::new(ProblemType::Internal)
    }
}

impl IntoResponse for Problem {
    /// Returns status and headers. [`super::layers::service`] adds the body, because it has the request id.
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind.status() == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

macro_rules! internal {
    ($($error:ty),+) => {
        $(impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Self::internal(&error)
            }
        })+
    };
}

internal!(
    StoreError,
    VaultError,
    QueueError,
    serde_json::Error,
    tokio::task::JoinError
);

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        Self::internal(&error)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::not_found(),
            Error::ReadOnly(detail) => Self::because(ProblemType::ReadOnly, detail),
            Error::Invalid(FieldErrors(errors)) => Self::fields(errors),
            Error::Conflict(detail) => Self::because(ProblemType::Conflict, detail),
            Error::Quota(detail) => Self::because(ProblemType::QuotaExceeded, detail),
            Error::Changed => Self::because(
                ProblemType::PreconditionFailed,
                "the event has changed since it was read; read it again",
            ),
            Error::Contended => Self::because(
                ProblemType::Conflict,
                "concurrent requests are changing the event; try again",
            ),
            Error::FeedUnusable(detail) => Self::because(ProblemType::FeedUnusable, detail),
            Error::Unavailable(detail) => Self::because(ProblemType::Unavailable, detail),
            Error::Misconfigured(_) | Error::Backend(_) => Self::internal(&error),
        }
    }
}

/// The problems that any endpoint can return, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Problems {
    /// The request is malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// The access token is missing or not valid.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// The resource is read-only, or a quota is used up.
    #[response(status = 403, content_type = "application/problem+json")]
    ReadOnly(ProblemBody),
    /// The resource does not exist, or belongs to another user.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The request conflicts with the stored state, or the idempotency key is in use.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The resource has changed: its entity tag does not match `If-Match`.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(ProblemBody),
    /// The request body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// The media type of the request body is not supported.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
    /// One or more fields are invalid.
    #[response(status = 422, content_type = "application/problem+json")]
    ValidationFailed(ProblemBody),
    /// Too many failed sign-ins for this e-mail address.
    #[response(status = 423, content_type = "application/problem+json")]
    Locked(ProblemBody),
    /// Too many requests; `Retry-After` contains the number of seconds to wait.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(ProblemBody),
    /// An internal error.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
    /// The service, or a part of it that the request needs, is not available.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemBody),
}
