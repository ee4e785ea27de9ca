//! `POST /api/v1/auth/refresh`

use axum::extract::State;
use chrono::TimeDelta;
use serde::Deserialize;
use shared::domain::account::Session;
use shared::http::AuditLog;
use shared::http::token::{REFRESH_LIFETIME, RefreshToken};
use shared::http::{ApiResult, Json, Problem, ProblemType, Problems};
use shared::store::WriteOutcome;
use utoipa::ToSchema;

use crate::Context;
use crate::tokens::{TokenPair, hand_out};

/// How long a session lasts, however often it is refreshed.
const SESSION_LIFETIME: TimeDelta = TimeDelta::days(90);
/// How long a refresh token that was just used is not taken for a copy.
const REPEATED_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// A request for new tokens.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshRequest {
    /// Refresh token from the last sign-in or refresh.
    #[serde(alias = "refresh_token")]
    refresh_token: String,
}

/// Exchanges a refresh token for new tokens.
///
/// A refresh token is valid for one use. A second use means that the token was copied: the session ends at once with
/// all of its tokens, and the user has to sign in again. Within ten seconds it is refused only, as two tabs of a browser may
/// refresh at the same time. A session ends 90 days after the user has signed in.
#[utoipa::path(post, path = "/api/v1/auth/refresh", operation_id = "refreshTokens", tag = "auth", request_body = RefreshRequest,
    responses((status = 200, body = TokenPair), Problems))]
pub async fn refresh(
    State(context): State<Context>,
    audit: AuditLog,
    Json(body): Json<RefreshRequest>,
) -> ApiResult<Json<TokenPair>> {
    let refused = || {
        Problem::because(
            ProblemType::Unauthenticated,
            "this refresh token is not valid; sign in again",
        )
    };
    let token = RefreshToken::parse(&body.refresh_token).ok_or_else(refused)?;
    let session = context
        .store
        .session(token.user, token.session)
        .await?
        .filter(|session| token.belongs_to(session))
        .ok_or_else(refused)?;
    let now = context.clock.now();
    let next = token.next();
    let expires_at = (now + REFRESH_LIFETIME).min(session.created_at + SESSION_LIFETIME);
    let rotated = Session {
        current_hash: next.hash(),
        expires_at: expires_at.timestamp(),
        ..session.clone()
    };
    let outcome = if token.is_current(&session) {
        context
            .store
            .rotate_session(&rotated, &session.current_hash)
            .await?
    } else {
        WriteOutcome::ConditionFailed
    };
    if outcome == WriteOutcome::ConditionFailed && is_repeated(&context, &token).await? {
        return Err(Problem::because(
            ProblemType::Unauthenticated,
            "this refresh token was just used; use the one that was returned",
        ));
    }
    if outcome == WriteOutcome::ConditionFailed {
        context.store.end_session(token.user, token.session).await?;
        audit
            .failure(
                token.user,
                "REFRESH_REUSED",
                "a refresh token was used twice; its session was ended",
            )
            .await;
        return Err(refused());
    }
    let user = context.store.user(token.user).await?.ok_or_else(refused)?;
    hand_out(&context, &rotated, &next, user).map(Json)
}

/// Returns whether a refresh token is the one that was used last, within [`REPEATED_WITHIN`].
async fn is_repeated(context: &Context, token: &RefreshToken) -> ApiResult<bool> {
    let session = context.store.session(token.user, token.session).await?;
    let now = context.clock.now();
    Ok(session.is_some_and(|session| {
        let is_soon = session
            .rotated_at
            .is_some_and(|at| now - at <= REPEATED_WITHIN);
        is_soon && session.previous_hash == Some(token.hash())
    }))
}
