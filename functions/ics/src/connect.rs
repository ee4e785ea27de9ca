//! `POST /api/v1/calendar/ics/connect`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::app::App;
use shared::domain::calendar::{
    Calendar, CalendarState, Cursor, DEFAULT_COLOR, FeedSource, ProviderKind, Source,
    normalise_color,
};
use shared::domain::ids::{CalendarId, ConnectionId, UserId};
use shared::domain::secret::Secret;
use shared::egress::address::masked;
use shared::http::limits::FeedLimit;
use shared::http::trail::Trail;
use shared::http::views::CalendarView;
use shared::http::{Answer, Caller, Json, Problem, ProblemType, Problems};
use shared::store::Outcome;
use shared::sync::request_sync;
use shared::vault::{FEED_URL, Place};
use url::Url;
use utoipa::ToSchema;

use crate::feed::look_at;

/// Which feed to connect, and how to show it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    /// `https://…` or `webcal://…`
    #[schema(example = "webcal://example.org/calendar.ics")]
    url: String,
    /// In place of what the feed calls itself; at most 255 characters.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// `#RGB` or `#RRGGBB`, in place of the feed's own.
    #[serde(default)]
    color: Option<String>,
}

/// Connects a feed. Its events follow within seconds.
///
/// 409 when this person has the same feed already; one that was disconnected is revived under its old id. An address
/// that cannot be used is 422, and `detail` says why.
#[utoipa::path(post, path = "/api/v1/calendar/ics/connect", tag = "ics", security(("bearer" = [])), request_body = Connect,
    responses((status = 201, body = CalendarView), Problems))]
pub async fn connect(
    State(app): State<App>,
    caller: Caller,
    _: FeedLimit,
    trail: Trail,
    Json(body): Json<Connect>,
) -> Answer<(StatusCode, Json<CalendarView>)> {
    let wanted = Wanted {
        name: display_name(body.display_name)?,
        color: color(body.color.as_deref())?,
    };
    let (url, feed) = match look_at(&app, &body.url).await {
        Ok(found) => found,
        Err(reason) => {
            trail
                .failure(caller.user(), "CALENDAR_CONNECT", &reason)
                .await;
            return Err(Problem::because(ProblemType::FeedUnusable, reason));
        }
    };
    let fingerprint = app.vault.fingerprint(caller.user(), url.as_str()).await?;
    let calendar = match app.store.calendar_of(caller.user(), &fingerprint).await? {
        Some(known) => revive(&app, caller.user(), known, &url, &wanted).await?,
        None => {
            let calendar = Calendar {
                id: CalendarId::new(&app.clock),
                user_id: caller.user(),
                connection_id: ConnectionId::new(&app.clock),
                provider: ProviderKind::Ics,
                name: wanted
                    .name
                    .or(feed.name)
                    .unwrap_or_else(|| url.host_str().unwrap_or("Calendar").to_owned()),
                color: wanted
                    .color
                    .or(feed.color)
                    .unwrap_or_else(|| DEFAULT_COLOR.to_owned()),
                is_connected: true,
                is_unwatched: false,
                created_at: app.clock.now(),
                source: Source::Feed(FeedSource {
                    masked_url: masked(&url),
                    fingerprint,
                }),
            };
            // The address first: a calendar without one could never be synced, an address without one is no harm.
            app.vault
                .put(place(&calendar), &Secret::new(url.to_string()))
                .await?;
            if app.store.create_calendar(&calendar).await? == Outcome::Refused {
                app.vault.remove(place(&calendar)).await?;
                return Err(already());
            }
            calendar
        }
    };
    request_sync(&app, caller.user(), calendar.id, 0).await?;
    trail
        .success(
            caller.user(),
            "CALENDAR_CONNECT",
            Some(calendar.id.to_string()),
        )
        .await;
    let state = app.store.calendar(caller.user(), calendar.id).await?;
    let state = state.unwrap_or(CalendarState {
        calendar,
        cursor: Cursor::default(),
    });
    Ok((StatusCode::CREATED, Json(state.into())))
}

struct Wanted {
    name: Option<String>,
    color: Option<String>,
}

/// Connects again what was disconnected.
async fn revive(
    app: &App,
    user: UserId,
    calendar: CalendarId,
    url: &Url,
    wanted: &Wanted,
) -> Answer<Calendar> {
    let state = app
        .store
        .calendar(user, calendar)
        .await?
        .ok_or_else(already)?;
    if state.calendar.is_connected {
        return Err(already());
    }
    app.vault
        .put(place(&state.calendar), &Secret::new(url.to_string()))
        .await?;
    if app.store.set_connected(user, calendar, true).await? == Outcome::Refused {
        return Err(already());
    }
    let updated = app
        .store
        .update_calendar(
            user,
            calendar,
            wanted.name.as_deref(),
            wanted.color.as_deref(),
        )
        .await?;
    updated.ok_or_else(Problem::not_found)
}

fn already() -> Problem {
    Problem::because(ProblemType::Conflict, "this feed is connected already")
}

/// Where the address of a calendar's feed is kept.
pub fn place(calendar: &Calendar) -> Place {
    Place {
        user: calendar.user_id,
        connection: calendar.connection_id,
        field: FEED_URL,
    }
}

/// A name as somebody gave it; `None` for none.
pub fn display_name(name: Option<String>) -> Answer<Option<String>> {
    let name = name
        .map(|name| {
            name.chars()
                .filter(|c| !c.is_control())
                .collect::<String>()
                .trim()
                .to_owned()
        })
        .filter(|name| !name.is_empty());
    match &name {
        Some(long) if long.chars().count() > 255 => Err(Problem::field(
            "displayName",
            "must have at most 255 characters",
        )),
        _ => Ok(name),
    }
}

/// A colour as somebody gave it; `None` for none.
pub fn color(text: Option<&str>) -> Answer<Option<String>> {
    let wrong = || Problem::field("color", "must be #RGB or #RRGGBB");
    text.map(|text| normalise_color(text).ok_or_else(wrong))
        .transpose()
}
