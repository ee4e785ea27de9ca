//! `POST /api/v1/sync/trigger`

use axum::extract::State;
use axum::response::Response;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::sync::{SyncAll, Wait, sync_all};
use shared::http::{ApiResult, Caller, Problems, Query};

use crate::Context;

/// Asks for a sync of all connected calendars, both ways: 202 at once, or with `?wait=20` 200 as soon as all are finished.
#[utoipa::path(post, path = "/api/v1/sync/trigger", tag = "sync", security(("bearer" = [])), params(Wait),
    responses((status = 200, body = SyncAll), (status = 202, body = SyncAll), Problems))]
pub async fn trigger(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
) -> ApiResult<Response> {
    sync_all(&context, &audit, caller.user(), wait).await
}
