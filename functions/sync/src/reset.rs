//! `POST /api/v1/sync/reset`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::calendar::sync_requests::reset_all;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The result of the request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResetResponse {
    /// Number of calendars whose sync was requested.
    calendar_count: usize,
}

/// Requests a full sync of all connected calendars.
///
/// No event is removed beforehand, and unchanged events are not written again.
#[utoipa::path(post, path = "/api/v1/sync/reset", operation_id = "resetSync", tag = "sync", security(("bearer" = [])),
    responses((status = 202, body = ResetResponse), Problems))]
pub async fn reset(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
) -> ApiResult<(StatusCode, Json<ResetResponse>)> {
    let user = caller.user();
    let calendar_count = reset_all(&context, user).await?;
    audit.success(user, "SYNC_RESET", None).await;
    Ok((StatusCode::ACCEPTED, Json(ResetResponse { calendar_count })))
}
