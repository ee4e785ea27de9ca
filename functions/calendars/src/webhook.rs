//! `POST` and `DELETE /api/v1/calendar/calendars/{id}/webhook`

use axum::extract::State;
use axum::response::Response;
use shared::app::App;
use shared::domain::calendar::{Calendar, Source};
use shared::domain::ids::CalendarId;
use shared::http::limits::SyncLimit;
use shared::http::sync::{Wait, one};
use shared::http::trail::Trail;
use shared::http::views::{SyncView, connected};
use shared::http::{Answer, Caller, Id, Problem, Problems, Query};
use shared::store::Outcome;

/// Has the provider push changes of a calendar, as it does from the start where it can. What stands in the way of a channel
/// that could not be opened is tried anew. With `?wait=20`, 200 once that was tried; `hasWebhook` of the calendar says
/// whether it worked.
#[utoipa::path(post, path = "/api/v1/calendar/calendars/{id}/webhook", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn open(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> Answer<Response> {
    let calendar = of_account(&app, &caller, id).await?;
    if app
        .store
        .set_watched(caller.user(), calendar.id, true)
        .await?
        == Outcome::Refused
    {
        return Err(Problem::not_found());
    }
    app.store.retry_channel(caller.user(), calendar.id).await?;
    app.store
        .retry_watching(caller.user(), calendar.connection_id)
        .await?;
    one(&app, &trail, caller.user(), id, wait).await
}

/// Has the provider push no more: the calendar is polled from then on.
#[utoipa::path(delete, path = "/api/v1/calendar/calendars/{id}/webhook", tag = "calendars", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn close(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
    Query(wait): Query<Wait>,
    Id(id): Id<CalendarId>,
) -> Answer<Response> {
    let calendar = of_account(&app, &caller, id).await?;
    if app
        .store
        .set_watched(caller.user(), calendar.id, false)
        .await?
        == Outcome::Refused
    {
        return Err(Problem::not_found());
    }
    one(&app, &trail, caller.user(), id, wait).await
}

/// A connected calendar of an account: nobody pushes feeds.
async fn of_account(app: &App, caller: &Caller, id: CalendarId) -> Answer<Calendar> {
    let calendar = connected(app, caller.user(), id).await?.calendar;
    if matches!(calendar.source, Source::Account(_)) {
        Ok(calendar)
    } else {
        Err(Problem::not_found())
    }
}
