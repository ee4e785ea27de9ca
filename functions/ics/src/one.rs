//! `GET`, `PUT` and `DELETE /api/v1/calendar/ics/{id}`, and `POST /api/v1/calendar/ics/{id}/sync`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::calendar::feeds::{FeedDetails, change_feed, connected_feed};
use shared::domain::ids::CalendarId;
use shared::http::AuditLog;
use shared::http::limits::{FeedLimit, SyncLimit};
use shared::http::sync::{Wait, disconnect_one, sync_one};
use shared::http::views::{CalendarView, SyncView};
use shared::http::{ApiResult, Caller, Id, Json, Problems, Query};
use utoipa::ToSchema;

use crate::Context;

/// One connected feed.
#[utoipa::path(get, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<CalendarId>,
) -> ApiResult<Json<CalendarView>> {
    Ok(Json(
        connected_feed(&context, caller.user(), id).await?.into(),
    ))
}

/// What may be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedUpdate {
    /// Another address of the feed.
    #[serde(default)]
    url: Option<String>,
    /// Another name.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// Another colour.
    #[serde(default)]
    color: Option<String>,
}

/// Changes name, colour or address of a connected feed.
#[utoipa::path(put, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])), request_body = FeedUpdate,
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn put(
    State(context): State<Context>,
    caller: Caller,
    _: FeedLimit,
    Id(id): Id<CalendarId>,
    Json(body): Json<FeedUpdate>,
) -> ApiResult<Json<CalendarView>> {
    let details = FeedDetails::new(body.display_name, body.color.as_deref())?;
    let (user, url) = (caller.user(), body.url.as_deref());
    let state = change_feed(&context, user, id, url, &details).await?;
    Ok(Json(state.into()))
}

/// Disconnects a feed. Its address is forgotten at once, its events soon after.
#[utoipa::path(delete, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
    Id(id): Id<CalendarId>,
) -> ApiResult<StatusCode> {
    connected_feed(&context, caller.user(), id).await?;
    disconnect_one(&context, &audit, caller.user(), id).await
}

/// Asks for a sync: 202 at once, or with `?wait=20` after up to that many seconds 200 with what was done.
#[utoipa::path(post, path = "/api/v1/calendar/ics/{id}/sync", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn sync(
    State(context): State<Context>,
    caller: Caller,
    _: SyncLimit,
    audit: AuditLog,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> ApiResult<Response> {
    connected_feed(&context, caller.user(), id).await?;
    sync_one(&context, &audit, caller.user(), id, wait).await
}
