//! `GET` and `DELETE /api/v1/calendar/calendars/{id}`, and `PATCH /api/v1/calendar/calendars/{id}/color`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::app::App;
use shared::domain::calendar::normalise_color;
use shared::domain::ids::CalendarId;
use shared::http::trail::Trail;
use shared::http::views::{CalendarView, connected};
use shared::http::{Answer, Caller, Id, Json, Problem, Problems};
use utoipa::ToSchema;

/// One connected calendar.
#[utoipa::path(get, path = "/api/v1/calendar/calendars/{id}", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CalendarId>,
) -> Answer<Json<CalendarView>> {
    Ok(Json(connected(&app, caller.user(), id).await?.into()))
}

/// Disconnects a calendar. Its secrets are forgotten at once, its events soon after.
#[utoipa::path(delete, path = "/api/v1/calendar/calendars/{id}", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Id(id): Id<CalendarId>,
) -> Answer<StatusCode> {
    shared::http::sync::disconnect_one(&app, &trail, caller.user(), id).await
}

/// Another colour.
#[derive(Deserialize, ToSchema)]
pub struct Color {
    /// `#RGB` or `#RRGGBB`
    #[schema(example = "#1F77B4")]
    color: String,
}

/// Changes the colour in which a calendar is shown.
#[utoipa::path(patch, path = "/api/v1/calendar/calendars/{id}/color", tag = "calendars", security(("bearer" = [])), request_body = Color,
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn color(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CalendarId>,
    Json(body): Json<Color>,
) -> Answer<Json<CalendarView>> {
    let color = normalise_color(&body.color)
        .ok_or_else(|| Problem::field("color", "must be #RGB or #RRGGBB"))?;
    connected(&app, caller.user(), id).await?;
    app.store
        .update_calendar(caller.user(), id, None, Some(&color))
        .await?;
    Ok(Json(connected(&app, caller.user(), id).await?.into()))
}
