//! `POST /api/v1/calendar/events/{id}/retry-sync`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::calendar::events;
use shared::domain::ids::EventId;
use shared::http::AuditLog;
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, Caller, Id, Problems, Query};

use crate::Context;
use crate::view::EventView;
use crate::wait::WaitQuery;

/// Retries a failed or paused change of an event.
///
/// An event that was deleted at the provider is recreated. 200 if the provider has the change within `wait` seconds,
/// else 202. 409 if there is no change to write.
#[utoipa::path(post, path = "/api/v1/calendar/events/{id}/retry-sync", operation_id = "retryEvent", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Event id, `evt_…`"), WaitQuery),
    responses((status = 200, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn retry(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    Query(query): Query<WaitQuery>,
    Id(id): Id<EventId>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let retried = events::retry(&context, caller.user(), &id).await?;
    audit
        .success(caller.user(), "EVENT_RETRY", Some(id.to_string()))
        .await;
    let retried = retried.push(&context, limit).await?;
    Ok(EventView::updated(&retried).answer(retried.is_synced, StatusCode::OK))
}
