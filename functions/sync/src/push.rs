//! `POST /api/v1/sync/push-all`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::calendar::sync_requests::retry_all;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The result of the request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushResponse {
    /// Number of failed changes that are retried.
    retried: usize,
    /// Number of calendars whose sync was requested.
    calendar_count: usize,
}

/// Retries all failed local changes in the caller's writable calendars.
///
/// Reads all events of these calendars, and requests their sync.
#[utoipa::path(post, path = "/api/v1/sync/push-all", operation_id = "retryFailedChanges", tag = "sync", security(("bearer" = [])),
    responses((status = 202, body = PushResponse), Problems))]
pub async fn push_all(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
) -> ApiResult<(StatusCode, Json<PushResponse>)> {
    let user = caller.user();
    let (retried, calendar_count) = retry_all(&context, user).await?;
    audit.success(user, "SYNC_PUSH_ALL", None).await;
    Ok((
        StatusCode::ACCEPTED,
        Json(PushResponse {
            retried,
            calendar_count,
        }),
    ))
}
