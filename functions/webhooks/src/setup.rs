//! `POST /api/v1/webhooks/setup`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::calendar::sync_requests::watch_all;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The result of the request.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchResponse {
    /// Number of calendars for which push was turned on.
    calendar_count: usize,
}

/// Turns push on for all connected calendars of the caller's accounts.
///
/// Push is on by default. If a channel could not be opened before, the requested sync of the calendar tries again.
#[utoipa::path(post, path = "/api/v1/webhooks/setup", operation_id = "openAllChannels", tag = "webhooks", security(("bearer" = [])),
    responses((status = 202, body = WatchResponse), Problems))]
pub async fn setup(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
) -> ApiResult<(StatusCode, Json<WatchResponse>)> {
    let user = caller.user();
    let calendar_count = watch_all(&context, user).await?;
    audit.success(user, "WEBHOOK_SETUP", None).await;
    Ok((StatusCode::ACCEPTED, Json(WatchResponse { calendar_count })))
}
