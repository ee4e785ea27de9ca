//! `GET /api/v1/calendar/events/{id}`

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use shared::calendar::events::read_event;
use shared::domain::ids::EventId;
use shared::http::layers::conditional;
use shared::http::{ApiResult, Caller, Id, Json, Problems, Query};
use utoipa::IntoParams;

use crate::Context;
use crate::view::EventView;

/// The parameters of the request.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OneQuery {
    /// IANA time zone of the reader. Defaults to the zone of the user's profile.
    #[serde(default)]
    #[param(example = "Europe/Berlin", max_length = 64)]
    timezone: Option<String>,
}

/// Returns an event, a series, or one occurrence of a series.
///
/// With `If-None-Match`, 304 if it has not changed.
#[utoipa::path(get, path = "/api/v1/calendar/events/{id}", operation_id = "getEvent", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Event id, `evt_…`"), OneQuery),
    responses((status = 200, body = EventView), (status = 304, description = "Not modified"), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    headers: HeaderMap,
    Query(query): Query<OneQuery>,
    Id(id): Id<EventId>,
) -> ApiResult<Response> {
    let zone = query.timezone.as_deref();
    let read = read_event(&context, caller.user(), id, zone).await?;
    let view = EventView::new(&read.occurrence()?, &read.calendar, read.zone);
    let tag = view.etag().to_owned();
    Ok(conditional(&headers, &tag, Json(view)))
}
