//! `POST /api/v1/auth/refresh`

use axum::extract::State;
use serde::Deserialize;
use shared::domain::account::Session;
use shared::http::AuditLog;
use shared::http::token::{REFRESH_LIFETIME, RefreshToken};
use shared::http::{ApiResult, Json, Problem, ProblemType, Problems};
use shared::store::WriteOutcome;
use utoipa::ToSchema;

use crate::Context;
use crate::tokens::{TokenPair, hand_out};

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
/// all of its tokens, and the user has to sign in again.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", request_body = RefreshRequest,
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
    let next = token.next();
    let rotated = Session {
        current_hash: next.hash(),
        expires_at: (context.clock.now() + REFRESH_LIFETIME).timestamp(),
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
