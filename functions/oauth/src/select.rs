//! `POST /api/v1/calendar/oauth/{provider}/select`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::calendar::accounts::{SelectedCalendars, select_calendars};
use shared::http::views::CalendarView;
use shared::http::{ApiResult, AuditLog, Caller, Json, Problem, ProblemType, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The choice.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectRequest {
    /// As the page was given it.
    #[serde(alias = "code", alias = "session_id")]
    session_id: String,
    /// Ids that the session offered; at least one.
    #[serde(alias = "selected_calendar_ids")]
    selected_calendar_ids: Vec<String>,
}

/// What is connected now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectResponse {
    /// How many were chosen.
    connected_count: usize,
    /// The chosen calendars; their events follow within seconds.
    calendars: Vec<CalendarView>,
}

/// Connects calendars of an account that was just linked. Uses the session up. One that is connected already stays as it
/// is; one that was disconnected comes back under its old id.
#[utoipa::path(post, path = "/api/v1/calendar/oauth/{provider}/select", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "`google` or `microsoft`")), request_body = SelectRequest,
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
            "the account was given back meanwhile; link it again",
        ));
    }
    let calendars: Vec<_> = calendars.into_iter().map(CalendarView::from).collect();
    let selected = SelectResponse {
        connected_count: calendars.len(),
        calendars,
    };
    Ok((StatusCode::CREATED, Json(selected)))
}
