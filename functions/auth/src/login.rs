//! `POST /api/v1/auth/login` and `POST /api/v1/auth/jwt/login`

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::domain::account::normalise_email;
use shared::domain::secret::Secret;
use shared::http::AuditLog;
use shared::http::extract::Form;
use shared::http::limits::SignInLimit;
use shared::http::{ApiResult, Json, Problem, ProblemType, Problems};
use shared::store::WriteOutcome;
use shared::store::audit::ANONYMOUS;
use shared::store::counters::{FROM_EVERYWHERE, FROM_ONE_NETWORK, SignInAttempt};
use utoipa::ToSchema;

use crate::Context;
use crate::password;
use crate::tokens::{OAuthTokens, TokenPair, begin, hand_out};

/// A sign-in with e-mail address and password.
#[derive(Deserialize, ToSchema)]
pub struct LoginRequest {
    /// E-mail address. Case is ignored.
    #[schema(example = "ada@example.org")]
    email: String,
    /// Password.
    #[schema(example = "correct horse battery")]
    password: String,
}

/// A sign-in with the form of the OAuth 2.0 password grant (RFC 6749 4.3.2).
#[derive(Deserialize, ToSchema)]
pub struct LoginForm {
    /// E-mail address.
    username: String,
    /// Password.
    password: String,
}

/// Signs in with e-mail address and password.
///
/// Five failed sign-ins to an e-mail address from one network delay further ones from there: by a minute, and by twice as long
/// after each further failure, up to 30 minutes (423 with `Retry-After`), whether or not an account has the address. After 100
/// failures within a day, networks from which nobody has signed in to it are delayed too.
#[utoipa::path(post, path = "/api/v1/auth/login", operation_id = "signIn", tag = "auth", request_body = LoginRequest,
    responses((status = 200, body = TokenPair), (status = 423, description = "Too many failed sign-ins for this e-mail address",
        content_type = "application/problem+json", body = shared::http::problem::ProblemBody), Problems))]
pub async fn login(
    State(context): State<Context>,
    _: SignInLimit,
    audit: AuditLog,
    Json(body): Json<LoginRequest>,
) -> ApiResult<Json<TokenPair>> {
    sign_in(&context, &audit, &body.email, Secret::new(body.password))
        .await
        .map(Json)
}

/// Signs in with the form of the OAuth 2.0 password grant.
#[utoipa::path(post, path = "/api/v1/auth/jwt/login", operation_id = "signInWithForm", tag = "auth",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = OAuthTokens), Problems))]
pub async fn login_form(
    State(context): State<Context>,
    _: SignInLimit,
    audit: AuditLog,
    Form(body): Form<LoginForm>,
) -> ApiResult<Json<OAuthTokens>> {
    let tokens = sign_in(&context, &audit, &body.username, Secret::new(body.password)).await?;
    Ok(Json(tokens.into()))
}

/// Begins an attempt. Returns until when it is refused: because of failures from the same network, or of very many from
/// anywhere, unless somebody has signed in from this network before.
async fn refused(
    context: &Context,
    email_digest: &str,
    network: &str,
    from_network: &str,
) -> ApiResult<Option<DateTime<Utc>>> {
    let store = &context.store;
    if let Some(until) = store.locked_until(email_digest).await?
        && !store.is_known_network(email_digest, network).await?
    {
        return Ok(Some(until));
    }
    match store.begin_attempt(from_network, FROM_ONE_NETWORK).await? {
        SignInAttempt::Allowed => Ok(None),
        SignInAttempt::LockedUntil(until) => Ok(Some(until)),
    }
}

async fn sign_in(
    context: &Context,
    audit: &AuditLog,
    email: &str,
    password: Secret,
) -> ApiResult<TokenPair> {
    // An invalid address is counted and refused in the same way as an unknown one.
    let email = normalise_email(email).unwrap_or_else(|| email.trim().to_lowercase());
    let email_digest = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, email.as_bytes()));
    let network = audit.network();
    let from_network = format!("{email_digest}#{network}");
    if let Some(until) = refused(context, &email_digest, &network, &from_network).await? {
        audit
            .failure_of(ANONYMOUS, "LOGIN_FAILURE", &email_digest, "locked")
            .await;
        let wait = (until - context.clock.now()).num_seconds().max(1);
        return Err(
            Problem::because(ProblemType::AccountLocked, "try again later").retry_after(wait),
        );
    }
    let user = if email.is_empty() || email.len() > 254 {
        None
    } else {
        context.store.user_by_email(&email).await?
    };
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = password::verify(password, hash).await?;
    let store = &context.store;
    if !right || user.is_none() {
        store.fail_attempt(&from_network, FROM_ONE_NETWORK).await?;
        store.fail_attempt(&email_digest, FROM_EVERYWHERE).await?;
        // The owner of an account sees who tries to get in.
        let actor = user.map_or(ANONYMOUS.to_owned(), |user| user.id.to_string());
        audit
            .failure_of(
                actor,
                "LOGIN_FAILURE",
                &email_digest,
                "wrong e-mail or password",
            )
            .await;
        return Err(Problem::new(ProblemType::InvalidCredentials));
    }
    let user = user.ok_or(Problem::new(ProblemType::InvalidCredentials))?;
    store.clear_attempts(&from_network).await?;
    store.remember_network(&email_digest, &network).await?;
    let (session, token) = begin(context, user.id);
    if context.store.create_session(&session).await? == WriteOutcome::ConditionFailed {
        return Err(Problem::new(ProblemType::InvalidCredentials));
    }
    audit
        .success(user.id, "LOGIN_SUCCESS", Some(session.id.to_string()))
        .await;
    hand_out(context, &session, &token, user)
}
