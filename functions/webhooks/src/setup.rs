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

/// What is set up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchResponse {
    /// Calendars whose provider is asked to push.
    calendar_count: usize,
}

/// Has the providers push changes of all connected calendars of the caller's accounts, as they do from the start where they
/// can; what stands in the way of a channel that could not be opened is tried anew.
#[utoipa::path(post, path = "/api/v1/webhooks/setup", tag = "webhooks", security(("bearer" = [])),
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
