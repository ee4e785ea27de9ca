//! Errors as `application/problem+json` (RFC 9457). A 5xx never explains itself to the caller; its cause is logged once.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use calweave_base::error_chain::Chain;
use calweave_calendar::{BackendError, Error, FieldError, FieldErrors};
use calweave_store::StoreError;
use calweave_store::queue::QueueError;
use calweave_vault::VaultError;
use serde::Serialize;
use tracing::error;

/// Every kind of problem that the API reports. Its slug is part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemType {
    /// The request cannot be read: not JSON, or a parameter of the wrong form.
    BadRequest,
    /// One or more fields have a value that cannot be used; `errors` names them.
    ValidationFailed,
    /// There is no valid access token.
    Unauthenticated,
    /// E-mail and password do not belong together.
    InvalidCredentials,
    /// Too many failed sign-ins for this address.
    AccountLocked,
    /// There is nothing here, or it is somebody else's.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// It exists already, or goes against what is there.
    Conflict,
    /// The `Idempotency-Key` was used for another request, or its first use is not finished.
    IdempotencyConflict,
    /// The request's body is too large.
    TooLarge,
    /// The body is not of a type that can be read.
    UnsupportedMediaType,
    /// The address of a feed cannot be used.
    FeedUnusable,
    /// It can only be read.
    ReadOnly,
    /// It is another by now than `If-Match` says.
    PreconditionFailed,
    /// Too many requests.
    RateLimited,
    /// Something on our side failed.
    Internal,
    /// Something that this depends on does not answer.
    Unavailable,
}

impl ProblemType {
    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::ValidationFailed | Self::FeedUnusable => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ReadOnly => StatusCode::FORBIDDEN,
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
            Self::BadRequest => "The request cannot be read",
            Self::ValidationFailed => "A field has a value that cannot be used",
            Self::Unauthenticated => "Sign in first",
            Self::InvalidCredentials => "E-mail or password is wrong",
            Self::AccountLocked => "Too many failed sign-ins",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This method is not supported here",
            Self::Conflict => "It goes against what is there",
            Self::IdempotencyConflict => "The idempotency key is taken",
            Self::TooLarge => "The request is too large",
            Self::UnsupportedMediaType => "The body is not of a type that can be read",
            Self::FeedUnusable => "The feed cannot be used",
            Self::ReadOnly => "It can only be read",
            Self::PreconditionFailed => "It has changed meanwhile",
            Self::RateLimited => "Too many requests",
            Self::Internal => "Something went wrong on our side",
            Self::Unavailable => "Not available right now",
        }
    }
}

/// The body of a problem.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Which kind: a slug that stays the same.
    pub r#type: ProblemType,
    /// The kind, in words.
    pub title: &'static str,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's id, as the logs have it.
    pub instance: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A problem as an endpoint returns it; the outermost layer writes it down.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: ProblemType,
    detail: Option<String>,
    errors: Vec<FieldError>,
    retry_after: Option<i64>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: ProblemType) -> Self {
        Self {
            kind,
            detail: None,
            errors: vec![],
            retry_after: None,
        }
    }

    /// A problem of this kind, explained.
    pub fn because(kind: ProblemType, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(kind)
        }
    }

    /// One field cannot be used.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::fields(vec![FieldError::new(field, message)])
    }

    /// Some fields cannot be used.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(ProblemType::ValidationFailed)
        }
    }

    /// There is nothing here, or it is somebody else's: the caller cannot tell which.
    pub fn not_found() -> Self {
        Self::new(ProblemType::NotFound)
    }

    /// Seconds after which it may be tried again.
    #[must_use]
    pub fn retry_after(mut self, seconds: i64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// As it is sent.
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
    /// Status and headers; the body is written by [`super::layers::service`], which knows the request's id.
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
            Error::Changed => Self::because(
                ProblemType::PreconditionFailed,
                "the event is another by now; read it again",
            ),
            Error::Contended => Self::because(
                ProblemType::Conflict,
                "others are changing it at this moment; try again",
            ),
            Error::FeedUnusable(detail) => Self::because(ProblemType::FeedUnusable, detail),
            Error::Unavailable(detail) => Self::because(ProblemType::Unavailable, detail),
            Error::Misconfigured(_) | Error::Backend(_) => Self::internal(&error),
        }
    }
}

/// The problems that any endpoint may answer with, for the OpenAPI document.
#[derive(utoipa::IntoResponses)]
pub enum Problems {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// There is no valid access token.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// It can only be read.
    #[response(status = 403, content_type = "application/problem+json")]
    ReadOnly(ProblemBody),
    /// There is nothing here, or it is somebody else's.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// It exists already, or the idempotency key is taken.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// It is another by now than `If-Match` says.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(ProblemBody),
    /// A field has a value that cannot be used.
    #[response(status = 422, content_type = "application/problem+json")]
    ValidationFailed(ProblemBody),
    /// Too many requests; `Retry-After` says when to try again.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(ProblemBody),
    /// Something went wrong on our side.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(ProblemBody),
}
