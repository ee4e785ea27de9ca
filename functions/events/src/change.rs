//! `PUT /api/v1/calendar/events/{id}`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use shared::calendar::events::{self, EventDraft, Precondition, Update};
use shared::domain::ids::EventId;
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, AuditLog, Caller, Id, Json, Problems, Query};

use crate::Context;
use crate::if_match::IfMatch;
use crate::view::EventView;
use crate::wait::WaitQuery;

/// Updates an event, a series, or one occurrence of a series.
///
/// Omitted fields keep their values. 200 if the provider has the change within `wait` seconds, else 202: the change is
/// stored, and is written to the provider later. With `If-Match`, 412 if the event has changed since it was read.
#[utoipa::path(put, path = "/api/v1/calendar/events/{id}", operation_id = "updateEvent", tag = "events", security(("bearer" = [])), request_body = EventDraft,
    params(("id" = String, Path, description = "Event id, `evt_…`"), ("If-Match" = Option<String>, Header, description = "Entity tag: `etag` of the event"), WaitQuery),
    responses((status = 200, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn change(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    (headers, Query(query)): (HeaderMap, Query<WaitQuery>),
    Id(id): Id<EventId>,
    Json(body): Json<EventDraft>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let user = caller.user();
    let if_match = IfMatch::of(&headers);
    let check = if_match.as_ref().map(IfMatch::precondition);
    let update = Update {
        draft: body,
        precondition: check.as_ref().map(|check| check as Precondition<'_>),
    };
    let updated = events::update(&context, user, id.clone(), update).await?;
    audit
        .success(user, "EVENT_UPDATE", Some(id.to_string()))
        .await;
    let updated = updated.push(&context, limit).await?;
    Ok(EventView::updated(&updated).answer(updated.is_synced, StatusCode::OK))
}
