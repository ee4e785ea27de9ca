//! `POST /api/v1/auth/signup`

use axum::extract::State;
use axum::http::StatusCode;
use chrono_tz::Tz;
use serde::Deserialize;
use shared::calendar::FieldError;
use shared::domain::account::{User, normalise_email};
use shared::domain::ids::UserId;
use shared::domain::secret::Secret;
use shared::http::AuditLog;
use shared::http::limits::SignInLimit;
use shared::http::{ApiResult, Json, Problem, ProblemType, Problems};
use shared::store::WriteOutcome;
use utoipa::ToSchema;

use crate::Context;
use crate::password;
use crate::tokens::{TokenPair, begin, hand_out};

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignupRequest {
    /// E-mail address. Each address can have one account.
    #[schema(example = "ada@example.org", format = "email", max_length = 254)]
    email: String,
    /// Password, by default at least 8 characters and always at most 128. Common passwords are refused.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 128)]
    password: String,
    /// Full name, at most 200 characters.
    #[serde(default, alias = "full_name")]
    #[schema(max_length = 200)]
    full_name: Option<String>,
    /// IANA time zone in which the user's events are shown. Defaults to `UTC`.
    #[serde(default)]
    #[schema(example = "Europe/Berlin", max_length = 64)]
    timezone: Option<String>,
}

/// Creates an account and signs in.
///
/// 409 if an account with this e-mail address exists.
#[utoipa::path(post, path = "/api/v1/auth/signup", operation_id = "signUp", tag = "auth", request_body = SignupRequest,
    responses((status = 201, body = TokenPair), Problems))]
pub async fn signup(
    State(context): State<Context>,
    _: SignInLimit,
    audit: AuditLog,
    Json(body): Json<SignupRequest>,
) -> ApiResult<(StatusCode, Json<TokenPair>)> {
    let mut errors = Vec::new();
    let email = normalise_email(&body.email).unwrap_or_else(|| {
        errors.push(FieldError {
            field: "email".into(),
            message: "is not an e-mail address".into(),
        });
        String::new()
    });
    errors.extend(password::complaint(
        &body.password,
        &email,
        context.passwords.min_length,
    ));
    let timezone = zone(body.timezone.as_deref()).unwrap_or_else(|error| {
        errors.push(error);
        Tz::UTC
    });
    let full_name = name(body.full_name).unwrap_or_else(|error| {
        errors.push(error);
        None
    });
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let now = context.clock.now();
    let password_hash = password::hash(Secret::new(body.password)).await?;
    let user = User {
        id: UserId::new(&context.clock),
        email,
        full_name,
        timezone,
        password_hash,
        created_at: now,
    };
    let (session, token) = begin(&context, user.id);
    if context.store.create_user(&user, &session).await? == WriteOutcome::ConditionFailed {
        audit
            .failure(
                "anonymous",
                "SIGNUP_FAILURE",
                "an account with this e-mail address exists",
            )
            .await;
        return Err(Problem::because(
            ProblemType::Conflict,
            "an account with this e-mail address exists",
        ));
    }
    audit
        .success(user.id, "SIGNUP_SUCCESS", Some(user.id.to_string()))
        .await;
    Ok((
        StatusCode::CREATED,
        Json(hand_out(&context, &session, &token, user)?),
    ))
}

/// Parses an IANA time zone. Without a name, returns UTC.
pub fn zone(name: Option<&str>) -> Result<Tz, FieldError> {
    let unknown = |_| FieldError {
        field: "timezone".into(),
        message: "is not an IANA time zone such as Europe/Berlin".into(),
    };
    name.map_or(Ok(Tz::UTC), |name| name.parse().map_err(unknown))
}

/// Normalises a full name: without control characters, trimmed, at most 200 characters; `None` when empty.
pub fn name(name: Option<String>) -> Result<Option<String>, FieldError> {
    let name = name
        .map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .collect::<String>()
                .trim()
                .to_owned()
        })
        .filter(|name| !name.is_empty());
    match &name {
        Some(long) if long.chars().count() > 200 => Err(FieldError {
            field: "fullName".into(),
            message: "must have at most 200 characters".into(),
        }),
        _ => Ok(name),
    }
}
