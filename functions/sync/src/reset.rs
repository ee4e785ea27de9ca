//! `POST /api/v1/sync/reset`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::app::App;
use shared::http::limits::SyncLimit;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Json, Problems};
use shared::sync::request_sync;
use utoipa::ToSchema;

/// What is read anew.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reset {
    /// Calendars that were asked for.
    calendar_count: usize,
}

/// Has all connected calendars read anew as a whole. Nothing is removed before that: what is the same stays as it is.
#[utoipa::path(post, path = "/api/v1/sync/reset", tag = "sync", security(("bearer" = [])),
    responses((status = 202, body = Reset), Problems))]
pub async fn reset(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
) -> Answer<(StatusCode, Json<Reset>)> {
    let user = caller.user();
    let mut calendar_count = 0;
    for state in app
        .store
        .calendars(user)
        .await?
        .into_iter()
        .filter(|state| state.calendar.is_connected)
    {
        app.store.forget_position(user, state.calendar.id).await?;
        request_sync(&app, user, state.calendar.id, 0).await?;
        calendar_count += 1;
    }
    trail.success(user, "SYNC_RESET", None).await;
    Ok((StatusCode::ACCEPTED, Json(Reset { calendar_count })))
}
