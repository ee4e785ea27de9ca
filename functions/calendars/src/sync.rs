//! `POST /api/v1/calendar/calendars/{id}/sync` and `POST /api/v1/calendar/calendars/sync-all`

use axum::extract::State;
use axum::response::Response;
use shared::domain::ids::CalendarId;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::sync::{SyncAll, Wait, sync_all, sync_one};
use shared::http::views::SyncView;
use shared::http::{ApiResult, Caller, Id, Problems, Query};

use crate::Context;

/// Asks for a sync: 202 at once, or with `?wait=20` after up to that many seconds 200 with what was done.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/sync", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn one(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> ApiResult<Response> {
    sync_one(&context, &audit, caller.user(), id, wait).await
}

/// Asks for a sync of all connected calendars: 202 at once, or with `?wait=20` 200 as soon as all are finished.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/sync-all", tag = "calendars", security(("bearer" = [])), params(Wait),
    responses((status = 200, body = SyncAll), (status = 202, body = SyncAll), Problems))]
pub async fn all(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
) -> ApiResult<Response> {
    sync_all(&context, &audit, caller.user(), wait).await
}
