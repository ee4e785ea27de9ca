//! `/sandbox/microsoft/…`: reproduces behaviour that was observed in real mailboxes. Delta tokens
//! expire, ids change, events move to other calendars, and delta rounds never end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use serde::Deserialize;
use serde_json::json;

use super::view::of_occurrence;
use super::{Shared, events, state};
use crate::parts::unique_id;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    calendar_id: String,
    #[serde(default)]
    event_id: String,
}

/// Expires all delta tokens of a calendar.
pub(super) async fn expire(State(microsoft): State<Shared>, Json(which): Json<Which>) -> Response {
    let mut state = microsoft.state();
    let now = state.next_version();
    match state.calendars.get_mut(&which.calendar_id) {
        Some(calendar) => calendar.tokens_since = now,
        None => return StatusCode::NOT_FOUND.into_response(),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Gives an event a new id, as when a mailbox is moved. Returns the new id.
pub(super) async fn renumber(
    State(microsoft): State<Shared>,
    Json(which): Json<Which>,
) -> Response {
    let mut state = microsoft.state();
    let id = format!(
        "AAkALg{}/{}=",
        unique_id(&state.clock, 60),
        unique_id(&state.clock, 10)
    );
    let (gone, there) = (state.next_version(), state.next_version());
    let Some(calendar) = state.calendars.get_mut(&which.calendar_id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(mut stored) = calendar.events.remove(&which.event_id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    stored.version = there;
    stored.event["id"] = id.clone().into();
    calendar.events.insert(id.clone(), stored);
    calendar.removed.push((gone, which.event_id));
    Json(json!({ "id": id })).into_response()
}

/// Removes an event without listing it as a change. For an occurrence, its removal is listed, but
/// no change of its series.
pub(super) async fn silence(State(microsoft): State<Shared>, Json(which): Json<Which>) -> Response {
    let mut state = microsoft.state();
    if let Some((series, date)) = of_occurrence(&which.event_id) {
        let version = state.next_version();
        let Some(calendar) = state.calendars.get_mut(&which.calendar_id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let Some(master) = calendar.events.get_mut(series) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        master.cancelled.insert(date);
        calendar.events.remove(&which.event_id);
        calendar.removed.push((version, which.event_id));
        return StatusCode::NO_CONTENT.into_response();
    }
    match state
        .calendars
        .get_mut(&which.calendar_id)
        .and_then(|calendar| calendar.events.remove(&which.event_id))
    {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endless {
    calendar_id: String,
    is_endless: bool,
}

/// Makes delta rounds of a calendar repeat their last page forever, or lets them end again.
pub(super) async fn endless(
    State(microsoft): State<Shared>,
    Json(endless): Json<Endless>,
) -> Response {
    match microsoft.state().calendars.get_mut(&endless.calendar_id) {
        Some(calendar) => calendar.is_endless = endless.is_endless,
        None => return StatusCode::NOT_FOUND.into_response(),
    }
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HowDays {
    has_occurrence_id: bool,
}

/// Returns all-day events at midnight of the requested zone from now on.
pub(super) async fn days(State(microsoft): State<Shared>, Json(how): Json<HowDays>) -> Response {
    microsoft.state().days = state::Days {
        are_in_requested_zone: true,
        lack_occurrence_id: !how.has_occurrence_id,
    };
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Relocation {
    calendar_id: String,
    event_id: String,
    /// The id of the calendar that the event is moved to.
    to: String,
}

/// Moves an event, or a series with its overrides, to another calendar. It keeps its immutable id.
pub(super) async fn relocate(
    State(microsoft): State<Shared>,
    Json(relocation): Json<Relocation>,
) -> Response {
    let Relocation {
        calendar_id,
        event_id,
        to,
    } = relocation;
    let owner = {
        let mut state = microsoft.state();
        let (gone, there) = (state.next_version(), state.next_version());
        let until = state.now() + TimeDelta::days(800);
        let Some(from) = state.calendars.get_mut(&calendar_id) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let removed = events::removed_ids(from, &event_id, until);
        from.removed
            .extend(removed.into_iter().map(|id| (gone, id)));
        let is_part = |id: &String, stored: &mut state::Stored| {
            *id == event_id || stored.event["seriesMasterId"] == event_id
        };
        let moved: Vec<_> = from.events.extract_if(.., is_part).collect();
        let Some(to) = state.calendars.get_mut(&to) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        for (id, mut stored) in moved {
            stored.version = there;
            to.events.insert(id, stored);
        }
        to.owner.clone()
    };
    for calendar in [&calendar_id, &to] {
        microsoft.notify(&owner, calendar);
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Returns an event without its times from now on, as a change of it.
pub(super) async fn garble(State(microsoft): State<Shared>, Json(which): Json<Which>) -> Response {
    let mut state = microsoft.state();
    let version = state.next_version();
    let calendar = state.calendars.get_mut(&which.calendar_id);
    let Some(stored) = calendar.and_then(|calendar| calendar.events.get_mut(&which.event_id))
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    stored.version = version;
    state.garbled.insert(which.event_id);
    StatusCode::NO_CONTENT.into_response()
}
