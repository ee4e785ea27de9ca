//! `POST /api/v1/sync/push-all`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::app::App;
use shared::http::limits::SyncLimit;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Json, Problems};
use shared::sync::edit::retry_edit;
use shared::sync::request_sync;
use utoipa::ToSchema;

/// What is tried again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pushed {
    /// Changes that had failed.
    retried: usize,
    /// Calendars that were asked for.
    calendar_count: usize,
}

/// Tries again to write everything that was changed here and could not be written. Reads all events of the calendars that
/// can be written.
#[utoipa::path(post, path = "/api/v1/sync/push-all", tag = "sync", security(("bearer" = [])),
    responses((status = 202, body = Pushed), Problems))]
pub async fn push_all(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
) -> Answer<(StatusCode, Json<Pushed>)> {
    let user = caller.user();
    let (mut retried, mut calendar_count) = (0, 0);
    for state in app.store.calendars(user).await? {
        let calendar = state.calendar;
        if !calendar.is_connected || !calendar.is_writable() {
            continue;
        }
        for stored in app
            .store
            .stored_hashes(user, calendar.id)
            .await?
            .into_iter()
            .filter(|stored| stored.is_failed)
        {
            retried += usize::from(retry_edit(&app, user, &stored.id).await?.is_some());
        }
        request_sync(&app, user, calendar.id, 0).await?;
        calendar_count += 1;
    }
    trail.success(user, "SYNC_PUSH_ALL", None).await;
    Ok((
        StatusCode::ACCEPTED,
        Json(Pushed {
            retried,
            calendar_count,
        }),
    ))
}
