//! `POST /api/v1/calendar/calendars/{id}/sync` and `POST /api/v1/calendar/calendars/sync-all`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use serde::Serialize;
use shared::app::App;
use shared::domain::calendar::{Cursor, SyncStats};
use shared::domain::ids::CalendarId;
use shared::http::limits::SyncLimit;
use shared::http::sync::Wait;
use shared::http::trail::Trail;
use shared::http::views::SyncView;
use shared::http::{Answer, Caller, Id, Json, Problem, Problems, Query};
use shared::sync::{request_sync, wait_for};
use utoipa::ToSchema;

/// Asks for a sync: 202 at once, or with `?wait=20` after up to that many seconds 200 with what was done.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/sync", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn one(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> Answer<Response> {
    shared::http::sync::one(&app, &trail, caller.user(), id, wait).await
}

/// What a sync of all calendars did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncAll {
    /// Calendars that were asked for.
    calendar_count: usize,
    /// Those that are finished.
    finished_count: usize,
    /// The sum over those that are finished.
    stats: SyncStats,
    /// Each calendar that is finished.
    calendars: Vec<SyncView>,
}

/// Asks for a sync of all connected calendars: 202 at once, or with `?wait=20` 200 as soon as all are finished.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/sync-all", tag = "calendars", security(("bearer" = [])), params(Wait),
    responses((status = 200, body = SyncAll), (status = 202, body = SyncAll), Problems))]
pub async fn all(State(app): State<App>, caller: Caller, _: SyncLimit, trail: Trail, Query(wait): Query<Wait>) -> Answer<Response> {
    let limit = wait.limit()?;
    let user = caller.user();
    let states = app.store.calendars(user).await?;
    let ids: Vec<CalendarId> = states.iter().filter(|state| state.calendar.is_connected).map(|state| state.calendar.id).collect();
    let app = &app;
    let finished = try_join_all(ids.iter().map(|id| async move {
        let wish = request_sync(app, user, *id, 0).await?;
        match (wish, limit) {
            (Some(wish), Some(limit)) => Ok::<_, Problem>(wait_for(app, user, *id, wish, limit).await?.map(|cursor| (*id, cursor))),
            _ => Ok(None),
        }
    }));
    let finished: Vec<(CalendarId, Cursor)> = finished.await?.into_iter().flatten().collect();
    trail.success(user, "CALENDAR_SYNC", None).await;
    let mut stats = SyncStats::default();
    for (_, cursor) in &finished {
        stats.total += cursor.stats.total;
        stats.created += cursor.stats.created;
        stats.updated += cursor.stats.updated;
        stats.deleted += cursor.stats.deleted;
        stats.unchanged += cursor.stats.unchanged;
    }
    let status = if limit.is_some() && finished.len() == ids.len() { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = SyncAll {
        calendar_count: ids.len(),
        finished_count: finished.len(),
        stats,
        calendars: finished.into_iter().map(|(id, cursor)| SyncView::new(id, cursor)).collect(),
    };
    Ok((status, Json(answer)).into_response())
}
