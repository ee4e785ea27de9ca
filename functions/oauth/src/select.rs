//! `POST /api/v1/calendar/oauth/{provider}/select`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::calendar::accounts::{SelectedCalendars, select_calendars};
use shared::http::views::CalendarView;
use shared::http::{ApiResult, AuditLog, Caller, Json, Problem, ProblemType, Problems};
use utoipa::ToSchema;

use crate::Context;

/// A selection of calendars.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectRequest {
    /// Session id, from the parameter `session` of the redirect.
    #[serde(alias = "code", alias = "session_id")]
    session_id: String,
    /// Ids of calendars that the session offers; at least one.
    #[serde(alias = "selected_calendar_ids")]
    selected_calendar_ids: Vec<String>,
}

/// The result of a selection.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectResponse {
    /// Number of selected calendars.
    connected_count: usize,
    /// The selected calendars. Their events follow within seconds.
    calendars: Vec<CalendarView>,
}

/// Connects calendars of an account that was just linked.
///
/// The session is then no longer valid. Calendars that are connected already do not change; a calendar that was
/// disconnected is connected again under its old id.
#[utoipa::path(post, path = "/api/v1/calendar/oauth/{provider}/select", operation_id = "selectCalendars", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "Provider: `google` or `microsoft`")), request_body = SelectRequest,
    responses((status = 201, body = SelectResponse), Problems))]
pub async fn select(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
    Path(provider): Path<String>,
    Json(body): Json<SelectRequest>,
) -> ApiResult<(StatusCode, Json<SelectResponse>)> {
    let (user, ids) = (caller.user(), &body.selected_calendar_ids);
    let selected = select_calendars(&context, user, &provider, &body.session_id, ids).await?;
    let SelectedCalendars {
        calendars,
        is_revoked,
    } = selected;
    for state in &calendars {
        let id = state.calendar.id.to_string();
        audit.success(user, "CALENDAR_CONNECT", Some(id)).await;
    }
    if is_revoked {
        return Err(Problem::because(
            ProblemType::Conflict,
            "the account's grant was revoked in the meantime; link it again",
        ));
    }
    let calendars: Vec<_> = calendars.into_iter().map(CalendarView::from).collect();
    let selected = SelectResponse {
        connected_count: calendars.len(),
        calendars,
    };
    Ok((StatusCode::CREATED, Json(selected)))
}
