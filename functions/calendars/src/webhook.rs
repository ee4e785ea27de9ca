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

/// Turns push on for a calendar of an account.
///
/// Push is on by default. If a channel could not be opened before, the requested sync tries again. With `?wait=20`,
/// waits up to that many seconds for this sync: 200 if it is completed by then, else 202. `hasWebhook` of the calendar
/// shows whether a channel is open.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/webhook", operation_id = "openChannel", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`"), Wait),
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
    audit
        .success(caller.user(), "WEBHOOK_OPEN", Some(id.to_string()))
        .await;
    sync_one(&context, &audit, caller.user(), id, wait).await
}

/// Turns push off for a calendar of an account.
///
/// The calendar is polled from then on. With `?wait=20`, waits up to that many seconds for the sync that applies the
/// change: 200 if it is completed by then, else 202.
#[utoipa::path(delete, path = "/api/v1/calendar/calendars/{id}/webhook", operation_id = "closeChannel", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`"), Wait),
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
    audit
        .success(caller.user(), "WEBHOOK_CLOSE", Some(id.to_string()))
        .await;
    sync_one(&context, &audit, caller.user(), id, wait).await
}
