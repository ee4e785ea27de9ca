//! `POST /api/v1/calendar/calendars/{id}/sync` and `POST /api/v1/calendar/calendars/sync-all`

use axum::extract::State;
use axum::response::Response;
use shared::app::App;
use shared::domain::ids::CalendarId;
use shared::http::limits::SyncLimit;
use shared::http::sync::{SyncAll, Wait};
use shared::http::trail::Trail;
use shared::http::views::SyncView;
use shared::http::{Answer, Caller, Id, Problems, Query};

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

/// Asks for a sync of all connected calendars: 202 at once, or with `?wait=20` 200 as soon as all are finished.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/sync-all", tag = "calendars", security(("bearer" = [])), params(Wait),
    responses((status = 200, body = SyncAll), (status = 202, body = SyncAll), Problems))]
pub async fn all(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
    Query(wait): Query<Wait>,
) -> Answer<Response> {
    shared::http::sync::all(&app, &trail, caller.user(), wait).await
}
