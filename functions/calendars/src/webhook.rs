//! `POST` and `DELETE /api/v1/calendar/calendars/{id}/webhook`

use axum::extract::State;
use axum::response::Response;
use shared::calendar::sync_requests::set_watched;
use shared::domain::ids::CalendarId;
use shared::http::AuditLog;
use shared::http::limits::SyncLimit;
use shared::http::sync::{Wait, sync_one};
use shared::http::views::SyncView;
use shared::http::{ApiResult, Caller, Id, Problems, Query};

use crate::Context;

/// Has the provider push changes of a calendar, as it does from the start where it can. What stands in the way of a channel
/// that could not be opened is tried anew. With `?wait=20`, 200 once that was tried; `hasWebhook` of the calendar says
/// whether it worked.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/webhook", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn open(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> ApiResult<Response> {
    set_watched(&context, caller.user(), id, true).await?;
    sync_one(&context, &audit, caller.user(), id, wait).await
}

/// Has the provider push no more: the calendar is polled from then on.
#[utoipa::path(delete, path = "/api/v1/calendar/calendars/{id}/webhook", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn close(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> ApiResult<Response> {
    set_watched(&context, caller.user(), id, false).await?;
    sync_one(&context, &audit, caller.user(), id, wait).await
}
