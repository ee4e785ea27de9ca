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

/// Returns a connected feed.
#[utoipa::path(get, path = "/api/v1/calendar/ics/{id}", operation_id = "getFeed", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn get(
    State(context): State<Context>,
    caller: Caller,
    Id(id): Id<CalendarId>,
) -> ApiResult<Json<CalendarView>> {
    Ok(Json(
        connected_feed(&context, caller.user(), id).await?.into(),
    ))
}

/// A change of a feed. Omitted fields keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeedUpdate {
    /// New URL of the feed.
    #[serde(default)]
    url: Option<String>,
    /// New display name, at most 255 characters.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// New colour as `#RGB` or `#RRGGBB`.
    #[serde(default)]
    color: Option<String>,
}

/// Updates the URL, name or colour of a connected feed.
#[utoipa::path(put, path = "/api/v1/calendar/ics/{id}", operation_id = "updateFeed", tag = "ics", security(("bearer" = [])), request_body = FeedUpdate,
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn put(
    State(context): State<Context>,
    caller: Caller,
    _: FeedLimit,
    audit: AuditLog,
    Id(id): Id<CalendarId>,
    Json(body): Json<FeedUpdate>,
) -> ApiResult<Json<CalendarView>> {
    let details = FeedDetails::new(body.display_name, body.color.as_deref())?;
    let (user, url) = (caller.user(), body.url.as_deref());
    let state = change_feed(&context, user, id, url, &details).await?;
    let action = if url.is_some() {
        "FEED_ADDRESS_UPDATE"
    } else {
        "FEED_UPDATE"
    };
    audit.success(user, action, Some(id.to_string())).await;
    Ok(Json(state.into()))
}

/// Disconnects a feed.
///
/// Its URL is deleted at once. Its events disappear at once; they are removed from storage shortly after.
#[utoipa::path(delete, path = "/api/v1/calendar/ics/{id}", operation_id = "disconnectFeed", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(context): State<Context>,
    caller: Caller,
    audit: AuditLog,
    Id(id): Id<CalendarId>,
) -> ApiResult<StatusCode> {
    connected_feed(&context, caller.user(), id).await?;
    disconnect_one(&context, &audit, caller.user(), id).await
}

/// Requests a sync of a feed.
///
/// 202 at once. With `?wait=20`, waits up to that many seconds: 200 with the result if the sync is completed by then,
/// else 202. A sync that failed is completed too; see `syncStatus`.
#[utoipa::path(post, path = "/api/v1/calendar/ics/{id}/sync", operation_id = "syncFeed", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "Calendar id, `cal_…`"), Wait),
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
