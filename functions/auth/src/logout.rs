//! `POST /api/v1/auth/logout` and `POST /api/v1/auth/revoke-all`

use axum::extract::State;
use axum::http::StatusCode;
use shared::http::AuditLog;
use shared::http::{ApiResult, Caller, Problems};

use crate::Context;

/// Signs out: ends this session.
///
/// The session's tokens are no longer valid when this returns.
#[utoipa::path(post, path = "/api/v1/auth/logout", operation_id = "signOut", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn logout(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
) -> ApiResult<StatusCode> {
    context
        .store
        .end_session(caller.user(), caller.session())
        .await?;
    audit
        .success(caller.user(), "LOGOUT", Some(caller.session().to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Signs out on all devices: ends all sessions of the caller.
#[utoipa::path(post, path = "/api/v1/auth/revoke-all", operation_id = "endAllSessions", tag = "auth", security(("bearer" = [])), responses((status = 204), Problems))]
pub async fn revoke_all(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
) -> ApiResult<StatusCode> {
    context.store.end_all_sessions(caller.user()).await?;
    audit.success(caller.user(), "LOGOUT_ALL", None).await;
    Ok(StatusCode::NO_CONTENT)
}
