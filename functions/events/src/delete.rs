//! `DELETE /api/v1/calendar/events/{id}`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::calendar::events::{self, Precondition, Removed};
use shared::domain::ids::EventId;
use shared::domain::link::{LinkStatus, SendUpdates};
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, AuditLog, Caller, Id, Json, Problems, Query};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::if_match::IfMatch;
use crate::wait;

/// Options of a deletion.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct DeleteQuery {
    /// Who is notified by e-mail. Defaults to no one.
    #[serde(default)]
    send_updates: SendUpdates,
    /// Seconds to wait for the provider, at most 25. Defaults to 8; 0 does not wait.
    #[serde(default)]
    #[param(minimum = 0, maximum = 25)]
    wait: Option<u64>,
}

/// The status of a deletion.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    /// Id of the deleted event.
    #[schema(value_type = String)]
    id: EventId,
    /// Status of the deletion; `SYNCED` once the provider has deleted the event.
    sync_status: LinkStatus,
}

/// Deletes an event, a series, or one occurrence of a series.
///
/// The event disappears from this API at once. 200 if the provider has deleted it within `wait` seconds, else 202. With
/// `If-Match`, 412 if the event has changed since it was read.
#[utoipa::path(delete, path = "/api/v1/calendar/events/{id}", operation_id = "deleteEvent", tag = "events", security(("bearer" = [])),
    params(("id" = String, Path, description = "Event id, `evt_…`"), ("If-Match" = Option<String>, Header, description = "Entity tag: `etag` of the event"), DeleteQuery),
    responses((status = 200, body = Deleted), (status = 202, body = Deleted), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    headers: HeaderMap,
    Query(query): Query<DeleteQuery>,
    Id(id): Id<EventId>,
) -> ApiResult<Response> {
    let limit = wait::limit(query.wait)?;
    let user = caller.user();
    let if_match = IfMatch::of(&headers);
    let check = if_match.as_ref().map(IfMatch::precondition);
    let check = check.as_ref().map(|check| check as Precondition<'_>);
    events::remove(&context, user, &id, query.send_updates, check).await?;
    audit
        .success(user, "EVENT_DELETE", Some(id.to_string()))
        .await;
    let removed = events::push_removal(&context, user, &id, limit).await?;
    let (status, sync_status) = match removed {
        Removed::Completed => (StatusCode::OK, LinkStatus::Synced),
        Removed::Pending(sync_status) => (StatusCode::ACCEPTED, sync_status),
    };
    Ok((status, Json(Deleted { id, sync_status })).into_response())
}
