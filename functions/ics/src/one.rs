//! `GET`, `PUT` and `DELETE /api/v1/calendar/ics/{id}`, and `POST /api/v1/calendar/ics/{id}/sync`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use shared::app::App;
use shared::domain::calendar::{Calendar, CalendarState, FeedSource, ProviderKind};
use shared::domain::ids::{CalendarId, UserId};
use shared::domain::secret::Secret;
use shared::egress::address::masked;
use shared::http::limits::{FeedLimit, SyncLimit};
use shared::http::trail::Trail;
use shared::http::views::{CalendarView, SyncView, connected};
use shared::http::{Answer, Caller, Id, Json, Problem, ProblemType, Problems, Query};
use shared::store::Outcome;
use shared::sync::request_sync;
use utoipa::ToSchema;

use crate::connect::{color, display_name, place};
use crate::feed::look_at;

/// One connected feed.
#[utoipa::path(get, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<CalendarId>,
) -> Answer<Json<CalendarView>> {
    Ok(Json(feed(&app, caller.user(), id).await?.into()))
}

/// A connected calendar that is a feed.
async fn feed(app: &App, user: UserId, id: CalendarId) -> Answer<CalendarState> {
    let state = connected(app, user, id).await?;
    if state.calendar.provider == ProviderKind::Ics {
        Ok(state)
    } else {
        Err(Problem::not_found())
    }
}

/// What may be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
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
#[utoipa::path(put, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])), request_body = Change,
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 200, body = CalendarView), Problems))]
pub async fn put(
    State(app): State<App>,
    caller: Caller,
    _: FeedLimit,
    Id(id): Id<CalendarId>,
    Json(body): Json<Change>,
) -> Answer<Json<CalendarView>> {
    let (name, color) = (
        display_name(body.display_name)?,
        color(body.color.as_deref())?,
    );
    let calendar = feed(&app, caller.user(), id).await?.calendar;
    if let Some(url) = body.url {
        move_to(&app, &calendar, &url).await?;
    }
    app.store
        .update_calendar(caller.user(), id, name.as_deref(), color.as_deref())
        .await?;
    Ok(Json(connected(&app, caller.user(), id).await?.into()))
}

async fn move_to(app: &App, calendar: &Calendar, url: &str) -> Answer<()> {
    let (url, _) = look_at(app, url)
        .await
        .map_err(|reason| Problem::because(ProblemType::FeedUnusable, reason))?;
    let fingerprint = app
        .vault
        .fingerprint(calendar.user_id, url.as_str())
        .await?;
    let moves = fingerprint != calendar.source.key(calendar.connection_id);
    let feed = FeedSource {
        masked_url: masked(&url),
        fingerprint,
    };
    if moves && app.store.move_feed(calendar, feed).await? == Outcome::Refused {
        return Err(Problem::because(
            ProblemType::Conflict,
            "this feed is connected already",
        ));
    }
    // Stored even if it seems to be there: an earlier move may have been interrupted right here.
    app.vault
        .put(place(calendar), &Secret::new(url.to_string()))
        .await?;
    if moves {
        app.store
            .forget_freshness(calendar.user_id, calendar.id)
            .await?;
    }
    request_sync(app, calendar.user_id, calendar.id, 0).await?;
    Ok(())
}

/// Disconnects a feed. Its address is forgotten at once, its events soon after.
#[utoipa::path(delete, path = "/api/v1/calendar/ics/{id}", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    trail: Trail,
    Id(id): Id<CalendarId>,
) -> Answer<StatusCode> {
    feed(&app, caller.user(), id).await?;
    shared::http::sync::disconnect_one(&app, &trail, caller.user(), id).await
}

/// Asks for a sync: 202 at once, or with `?wait=20` after up to that many seconds 200 with what was done.
#[utoipa::path(post, path = "/api/v1/calendar/ics/{id}/sync", tag = "ics", security(("bearer" = [])),
    params(("id" = String, Path, description = "`cal_…`"), shared::http::sync::Wait),
    responses((status = 200, body = SyncView), (status = 202, body = SyncView), Problems))]
pub async fn sync(
    State(app): State<App>,
    caller: Caller,
    _: SyncLimit,
    trail: Trail,
    Query(wait): Query<shared::http::sync::Wait>,
    Id(id): Id<CalendarId>,
) -> Answer<Response> {
    feed(&app, caller.user(), id).await?;
    shared::http::sync::one(&app, &trail, caller.user(), id, wait).await
}
