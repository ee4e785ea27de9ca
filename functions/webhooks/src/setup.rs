//! `POST /api/v1/webhooks/setup`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::app::App;
use shared::domain::calendar::Source;
use shared::http::limits::SyncLimit;
use shared::http::trail::Trail;
use shared::http::{Answer, Caller, Json, Problems};
use shared::store::Outcome;
use shared::sync::request_sync;
use utoipa::ToSchema;

/// What is set up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Setup {
    /// Calendars whose provider is asked to push.
    calendar_count: usize,
}

/// Has the providers push changes of all connected calendars of the caller's accounts, as they do from the start where they
/// can; what stands in the way of a channel that could not be opened is tried anew.
#[utoipa::path(post, path = "/api/v1/webhooks/setup", tag = "webhooks", security(("bearer" = [])),
    responses((status = 202, body = Setup), Problems))]
pub async fn setup(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
) -> Answer<(StatusCode, Json<Setup>)> {
    let user = caller.user();
    let mut calendar_count = 0;
    for state in app.store.calendars(user).await? {
        let calendar = state.calendar;
        if !calendar.is_connected || !matches!(calendar.source, Source::Account(_)) {
            continue;
        }
        if app.store.set_watched(user, calendar.id, true).await? == Outcome::Done {
            app.store.retry_channel(user, calendar.id).await?;
            app.store
                .retry_watching(user, calendar.connection_id)
                .await?;
            request_sync(&app, user, calendar.id, 0).await?;
            calendar_count += 1;
        }
    }
    trail.success(user, "WEBHOOK_SETUP", None).await;
    Ok((StatusCode::ACCEPTED, Json(Setup { calendar_count })))
}
