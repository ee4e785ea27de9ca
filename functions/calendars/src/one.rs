//! `GET` and `DELETE /api/v1/calendar/calendars/{id}`, and `PATCH /api/v1/calendar/calendars/{id}/color`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::calendar::calendars::{change_color, connected_calendar};
use shared::domain::ids::CalendarId;
use shared::http::AuditLog;
use shared::http::sync::disconnect_one;
use shared::http::views::CalendarView;
use shared::http::{ApiResult, Caller, Id, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// Returns a connected calendar.
#[utoipa::path(get, path = "/api/v1/calendar/calendars/{id}", operation_id = "getCalendar", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<CalendarId>,
) -> ApiResult<Json<CalendarView>> {
    Ok(Json(
        connected_calendar(&context, caller.user(), id)
            .await?
            .into(),
    ))
}

/// Disconnects a calendar.
///
/// The calendar and its events disappear at once; the stored events are removed shortly after. The URL of a feed is
/// deleted at once. After the last calendar of an account, the account's grant is removed too.
#[utoipa::path(delete, path = "/api/v1/calendar/calendars/{id}", operation_id = "disconnectCalendar", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
    Id(id): Id<CalendarId>,
) -> ApiResult<StatusCode> {
    disconnect_one(&context, &audit, caller.user(), id).await
}

/// A change of the colour.
#[derive(Deserialize, ToSchema)]
pub struct Color {
    /// Colour as `#RGB` or `#RRGGBB`.
    #[schema(example = "#1F77B4")]
    color: String,
}

/// Changes the colour of a calendar in Calweave.
#[utoipa::path(patch, path = "/api/v1/calendar/calendars/{id}/color", operation_id = "updateCalendarColor", tag = "calendars", security(("bearer" = [])), request_body = Color,
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn color(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<CalendarId>,
    Json(body): Json<Color>,
) -> ApiResult<Json<CalendarView>> {
    let state = change_color(&context, caller.user(), id, &body.color).await?;
    Ok(Json(state.into()))
}
