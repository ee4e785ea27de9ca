//! `GET /api/v1/calendar/events/upcoming`

use axum::extract::State;
use chrono::TimeDelta;
use serde::Deserialize;
use shared::calendar::agenda::{AgendaQuery, cover_window, list_occurrences};
use shared::calendar::calendars::{connected_calendars, zone_of};
use shared::calendar::filter::EventFilter;
use shared::domain::agenda::Window;
use shared::http::{ApiResult, Bearer, Json, Problem, Problems, Query};
use utoipa::IntoParams;

use crate::Context;
use crate::view::{EventPage, EventView};

/// The parameters of the list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UpcomingQuery {
    /// Maximum number of events, 1 to 100. Defaults to 10.
    #[serde(default)]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// IANA time zone of the reader. Defaults to the zone of the user's profile.
    #[serde(default)]
    #[param(example = "Europe/Berlin", max_length = 64)]
    timezone: Option<String>,
}

/// Length of the window.
const AHEAD: TimeDelta = TimeDelta::days(30);

/// Lists current and upcoming events.
///
/// These are the events that overlap the next 30 days, sorted by start, then by id. Series are expanded into their
/// occurrences. The list has one page.
#[utoipa::path(get, path = "/api/v1/calendar/events/upcoming", operation_id = "listUpcomingEvents", tag = "events", security(("bearer" = [])), params(UpcomingQuery),
    responses((status = 200, body = EventPage), Problems))]
pub async fn upcoming(
    State(context): State<Context>,
    bearer: Bearer,
    Query(query): Query<UpcomingQuery>,
) -> ApiResult<Json<EventPage>> {
    let limit = query.limit.unwrap_or(10);
    if !(1..=100).contains(&limit) {
        return Err(Problem::field("limit", "must be between 1 and 100"));
    }
    let read = bearer.read_with_profile(&context.http, |user| connected_calendars(&context, user));
    let (user, calendars) = read.await?;
    let zone = zone_of(&user, query.timezone.as_deref())?;
    let now = context.clock.now();
    let window = Window {
        start: now,
        end: now + AHEAD,
        zone,
    };
    let covered = cover_window(&context, user.id, &calendars, &window).await?;
    let wanted = AgendaQuery {
        user: user.id,
        window,
        calendars: &covered,
        filter: &EventFilter::default(),
        expands_series: true,
        after: None,
        limit: limit as usize,
    };
    let page = list_occurrences(&context.store, wanted, |one| {
        calendars
            .get(&one.event.calendar())
            .map(|state| EventView::new(one, &state.calendar, zone))
    });
    Ok(Json(EventPage::new(page.await?, None, &covered, true)))
}
