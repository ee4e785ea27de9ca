//! `POST /api/v1/calendar/oauth/{provider}/select`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shared::app::App;
use shared::domain::calendar::{AccountCalendar, Calendar, DEFAULT_COLOR, Source};
use shared::domain::connection::ConnectionStatus;
use shared::domain::ids::{CalendarId, UserId};
use shared::http::trail::Trail;
use shared::http::views::{CalendarView, connected};
use shared::http::{Answer, Caller, Json, Problem, ProblemType, Problems};
use shared::store::Outcome;
use shared::store::authorizations::Selection;
use shared::sync::request_sync;
use utoipa::ToSchema;

/// The choice.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Select {
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
pub struct Selected {
    /// How many were chosen.
    connected_count: usize,
    /// The chosen calendars; their events follow within seconds.
    calendars: Vec<CalendarView>,
}

/// Connects calendars of an account that was just linked. Uses the session up. One that is connected already stays as it
/// is; one that was disconnected comes back under its old id.
#[utoipa::path(post, path = "/api/v1/calendar/oauth/{provider}/select", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "`google` or `microsoft`")), request_body = Select,
    responses((status = 201, body = Selected), Problems))]
pub async fn select(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Path(provider): Path<String>,
    Json(body): Json<Select>,
) -> Answer<(StatusCode, Json<Selected>)> {
    let user = caller.user();
    let offered = app.store.selection(user, &body.session_id).await?;
    let offered = offered
        .filter(|offered| offered.provider.path() == provider)
        .ok_or_else(Problem::not_found)?;
    let chosen = choose(&offered, &body.selected_calendar_ids)?;
    // Whoever takes it first has it: of two choices at once the second finds nothing.
    let taken = app
        .store
        .take_selection(user, &body.session_id)
        .await?
        .ok_or_else(Problem::not_found)?;
    let mut calendars = Vec::with_capacity(chosen.len());
    for calendar in chosen {
        let id = connect(&app, user, &taken, calendar).await?;
        request_sync(&app, user, id, 0).await?;
        trail
            .success(user, "CALENDAR_CONNECT", Some(id.to_string()))
            .await;
        calendars.push(connected(&app, user, id).await?.into());
    }
    let connection = app.store.connection(user, taken.connection_id).await?;
    if connection.is_none_or(|connection| connection.status == ConnectionStatus::Disconnected) {
        return Err(Problem::because(
            ProblemType::Conflict,
            "the account was given back meanwhile; link it again",
        ));
    }
    Ok((
        StatusCode::CREATED,
        Json(Selected {
            connected_count: calendars.len(),
            calendars,
        }),
    ))
}

fn choose<'a>(offered: &'a Selection, ids: &[String]) -> Answer<Vec<&'a AccountCalendar>> {
    if ids.is_empty() {
        return Err(Problem::field(
            "selectedCalendarIds",
            "must name at least one calendar",
        ));
    }
    let mut ids: Vec<&String> = ids.iter().collect();
    ids.sort_unstable();
    ids.dedup();
    let find = |id: &&String| {
        offered
            .calendars
            .iter()
            .find(|calendar| calendar.remote_id == **id)
    };
    let unknown = || {
        Problem::field(
            "selectedCalendarIds",
            "names a calendar that this session does not offer",
        )
    };
    ids.iter().map(|id| find(id).ok_or_else(unknown)).collect()
}

async fn connect(
    app: &App,
    user: UserId,
    selection: &Selection,
    chosen: &AccountCalendar,
) -> Answer<CalendarId> {
    let now = app.clock.now();
    let calendar = Calendar {
        id: CalendarId::new(&app.clock),
        user_id: user,
        connection_id: selection.connection_id,
        provider: selection.provider,
        name: chosen.name.clone(),
        color: chosen
            .color
            .clone()
            .unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
        is_connected: true,
        is_unwatched: false,
        created_at: now,
        source: Source::Account(chosen.clone()),
    };
    if app.store.create_calendar(&calendar).await? == Outcome::Done {
        return Ok(calendar.id);
    }
    let key = calendar.source.key(selection.connection_id);
    let id = app
        .store
        .calendar_of(user, &key)
        .await?
        .ok_or_else(Problem::not_found)?;
    // Refused when it is connected already.
    let _: Outcome = app.store.set_connected(user, id, true).await?;
    Ok(id)
}
