//! `POST /api/v1/sync/trigger`

use axum::extract::State;
use axum::response::Response;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::sync::{SyncAll, Wait, sync_all};
use shared::http::{ApiResult, Caller, Problems, Query};

use crate::Context;

/// Requests a sync of all connected calendars, in both directions.
///
/// 202 at once. With `?wait=20`, waits up to that many seconds: 200 if all syncs are completed by then, else 202.
#[utoipa::path(post, path = "/api/v1/sync/trigger", operation_id = "triggerSync", tag = "sync", security(("bearer" = [])), params(Wait),
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
