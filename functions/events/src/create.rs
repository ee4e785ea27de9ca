//! `POST /api/v1/calendar/events`

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use shared::calendar::events::{self, Create, EventDraft};
use shared::http::idempotency;
use shared::http::limits::EventWriteLimit;
use shared::http::{ApiResult, AuditLog, Caller, Json, Problems, Query};

use crate::Context;
use crate::view::EventView;
use crate::wait::WaitQuery;

/// Creates an event or a series.
///
/// 201 if the provider has the event within `wait` seconds, else 202: the event is stored, and is written to the
/// provider later. If the provider does not support the recurrence of a series and `whenInexpressible` is `EXPAND`,
/// each occurrence becomes a single event: the response is the first of them, and `expandedInto` lists the ids of all.
#[utoipa::path(post, path = "/api/v1/calendar/events", operation_id = "createEvent", tag = "events", security(("bearer" = [])), request_body = EventDraft, params(WaitQuery),
    responses((status = 201, body = EventView), (status = 202, body = EventView), Problems))]
pub async fn create(
    State(context): State<Context>,
    caller: Caller,
    _: EventWriteLimit,
    audit: AuditLog,
    (headers, Query(query)): (HeaderMap, Query<WaitQuery>),
    Json(body): Json<EventDraft>,
) -> ApiResult<Response> {
    let limit = query.limit()?;
    let user = caller.user();
    let key = headers.get(idempotency::KEY);
    let name = key.map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
    let created = events::create(&context, user, Create { draft: body, name }).await?;
    for id in created.ids() {
        audit
            .success(user, "EVENT_CREATE", Some(id.to_string()))
            .await;
    }
    let created = created.push(&context, limit).await?;
    let mut view = EventView::updated(&created.event);
    view.expanded_into = created.expanded_into;
    Ok(view.answer(created.event.is_synced, StatusCode::CREATED))
}
