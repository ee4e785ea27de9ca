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

/// Requests a sync of a calendar.
///
/// 202 at once. With `?wait=20`, waits up to that many seconds: 200 with the result if the sync is completed by then,
/// else 202. A sync that failed is completed too; see `syncStatus`.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/sync", operation_id = "syncCalendar", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`"), Wait),
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

/// Requests a sync of all connected calendars.
///
/// 202 at once. With `?wait=20`, waits up to that many seconds: 200 if all syncs are completed by then, else 202.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/sync-all", operation_id = "syncAllCalendars", tag = "calendars", security(("bearer" = [])), params(Wait),
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
