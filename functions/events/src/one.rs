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
