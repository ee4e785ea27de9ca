//! `GET /api/v1/calendar/events/{id}`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use shared::app::App;
use shared::domain::agenda::{alone, find};
use shared::domain::ids::EventId;
use shared::http::layers::conditional;
use shared::http::views::connected;
use shared::http::{Answer, Caller, Id, Json, Problem, Problems, Query};
use utoipa::IntoParams;

use crate::view::{EventView, reader_zone};

/// How to read it.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OneQuery {
    /// The reader's zone; the person's own unless given.
    #[serde(default)]
    timezone: Option<String>,
}

/// An event, a series, or one occurrence of a series.
#[utoipa::path(get, path = "/api/v1/calendar/events/{id}", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "`evt_…`"), OneQuery),
    responses((status = 200, body = EventView), (status = 304, description = "as before"), Problems))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<OneQuery>,
    Id(id): Id<EventId>,
) -> Answer<Response> {
    let calendar = connected(&app, caller.user(), id.calendar())
        .await?
        .calendar;
    let zone = reader_zone(&app, caller.user(), query.timezone.as_deref()).await?;
    let stored = app.store.event(caller.user(), &id).await?;
    if stored.as_ref().is_some_and(|event| !event.is_shown()) {
        return Err(Problem::not_found());
    }
    let view = match (stored, id.original_start()) {
        // An event, a series, or an occurrence that differs from its rule.
        (Some(event), _) => EventView::new(&alone(&event, zone), &calendar, zone),
        (None, None) => return Err(Problem::not_found()),
        (None, Some(original)) => {
            let series = app
                .store
                .event(caller.user(), &id.series())
                .await?
                .ok_or_else(Problem::not_found)?;
            let one = find(&series, original, zone).ok_or_else(Problem::not_found)?;
            EventView::new(&one, &calendar, zone)
        }
    };
    let tag = view.etag().to_owned();
    Ok(conditional(&headers, &tag, Json(view)))
}
