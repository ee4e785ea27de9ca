//! `/sandbox/google/…`: creates users and calendars, acts on their behalf, and injects failures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::events::{self, Query, parameter};
use super::state::{self, Calendar, Grant, Person};
use super::{OWN_CLIENT, Shared};
use crate::parts::{Fault, FaultRates, unique_id};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPerson {
    email: String,
    name: String,
    time_zone: String,
}

/// Creates an account with its primary calendar. Returns the `sub` and the calendar's id.
pub(super) async fn person(State(google): State<Shared>, Json(new): Json<NewPerson>) -> Response {
    let (sub, id) = add_person(
        &mut google.state(),
        &new.email,
        &new.name,
        &new.time_zone,
        &[],
    );
    Json(json!({ "sub": sub, "primary": id })).into_response()
}

/// Creates an account with its primary calendar and the named ones. Returns the `sub` and the
/// primary calendar's id.
pub(super) fn add_person(
    state: &mut state::State,
    email: &str,
    name: &str,
    time_zone: &str,
    calendars: &[&str],
) -> (String, String) {
    let sub = format!("1{:020}", state.people.len());
    let person = Person {
        sub: sub.clone(),
        email: email.to_owned(),
        name: name.to_owned(),
        time_zone: time_zone.to_owned(),
        list: [].into(),
        consented: [].into(),
    };
    state.people.insert(sub.clone(), person);
    let owned = |summary: &str, id| NewCalendar {
        owner: email.to_owned(),
        summary: summary.to_owned(),
        id,
        ..NewCalendar::default()
    };
    let primary = add_calendar(
        state,
        &sub,
        owned(email, Some(email.to_owned())),
        true,
        time_zone,
    );
    for summary in calendars {
        add_calendar(state, &sub, owned(summary, None), false, time_zone);
    }
    (sub, primary)
}

/// Adds `count` events of one hour to a primary calendar, within 8,000 hours from now.
pub(super) fn add_events(state: &mut state::State, email: &str, count: u32) {
    let Some(person) = state.person_by_email(email).cloned() else {
        return;
    };
    let first = state.now();
    for number in 0..count {
        let start = first + chrono::TimeDelta::hours(i64::from(number % 8_000));
        let time = |at: chrono::DateTime<chrono::Utc>| json!({ "dateTime": at.to_rfc3339(), "timeZone": person.time_zone });
        let event = json!({
            "id": format!("bench{number:06}"), "summary": format!("Event {number}"), "location": "Room 1", "start": time(start),
            "end": time(start + chrono::TimeDelta::hours(1))
        });
        drop(events::insert(state, &person, "primary", &[], event));
    }
}

/// Renames the first event of a primary calendar (by id). Returns its id.
pub(super) fn rename_first(state: &mut state::State, email: &str, title: &str) -> String {
    let (Some(person), Some(calendar)) = (
        state.person_by_email(email).cloned(),
        state.calendars.get(email),
    ) else {
        return String::new();
    };
    let id = calendar.events.keys().next().cloned().unwrap_or_default();
    drop(events::change(
        state,
        &person,
        "primary",
        &id,
        &[],
        (json!({ "summary": title }), false, None),
    ));
    id
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NewCalendar {
    owner: String,
    summary: String,
    id: Option<String>,
    access_role: Option<String>,
    unwatchable: bool,
}

impl NewCalendar {
    /// A calendar that this user creates.
    pub fn owned(owner: &str, summary: &str) -> Self {
        Self {
            owner: owner.to_owned(),
            summary: summary.to_owned(),
            ..Self::default()
        }
    }
}

/// Creates a calendar, or takes a known one, and adds it to the user's list. Returns its id.
pub(super) async fn calendar(
    State(google): State<Shared>,
    Json(new): Json<NewCalendar>,
) -> Response {
    let mut state = google.state();
    let Some(person) = state.person_by_email(&new.owner).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let id = add_calendar(&mut state, &person.sub, new, false, &person.time_zone);
    Json(json!({ "id": id })).into_response()
}

pub(super) fn add_calendar(
    state: &mut state::State,
    sub: &str,
    new: NewCalendar,
    primary: bool,
    time_zone: &str,
) -> String {
    let id = new.id.unwrap_or_else(|| {
        format!(
            "c_{}@group.calendar.google.com",
            unique_id(&state.clock, 26)
        )
    });
    let entry = json!({
        "kind": "calendar#calendarListEntry", "etag": format!("\"{}\"", state.next_version()), "id": id, "summary": new.summary,
        "timeZone": time_zone, "accessRole": new.access_role.as_deref().unwrap_or("owner"), "selected": true, "colorId": "14",
        "backgroundColor": "#9fe1e7", "foregroundColor": "#000000", "defaultReminders": []
    });
    let mut entry: Map<String, Value> = entry.as_object().cloned().unwrap_or_default();
    if primary {
        entry.insert("primary".into(), true.into());
    }
    let known = state.calendars.entry(id.clone()).or_default();
    *known = Calendar {
        id: id.clone(),
        summary: new.summary,
        time_zone: time_zone.to_owned(),
        unwatchable: new.unwatchable,
        ..std::mem::take(known)
    };
    if let Some(person) = state.people.get_mut(sub) {
        person.list.insert(id.clone(), entry);
    }
    id
}

/// `calendarList.list`. A sync token is returned but not accepted.
pub(super) fn calendar_list(state: &state::State, person: &Person, query: &Query) -> Value {
    let shown = |name: &str| parameter(query, name) == Some("true");
    let is = |entry: &Map<String, Value>, name: &str| entry.get(name) == Some(&true.into());
    let entries: Vec<&Map<String, Value>> = person
        .list
        .values()
        .filter(|entry| {
            (shown("showHidden") || !is(entry, "hidden"))
                && (shown("showDeleted") || !is(entry, "deleted"))
        })
        .collect();
    let limit = parameter(query, "maxResults")
        .and_then(|text| text.parse().ok())
        .unwrap_or(100_usize)
        .min(250);
    let from = parameter(query, "pageToken")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0_usize);
    let mut answer = json!({
        "kind": "calendar#calendarList", "etag": format!("\"p{}\"", state.version),
        "items": entries.iter().skip(from).take(limit).collect::<Vec<_>>()
    });
    if from + limit < entries.len() {
        answer["nextPageToken"] = (from + limit).to_string().into();
    } else {
        answer["nextSyncToken"] = format!("l{}", state.version).into();
    }
    answer
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForWhom {
    email: String,
    #[serde(default)]
    scopes: Option<String>,
}

/// Returns an access token with which a test acts as the user through Google's API.
pub(super) async fn token(State(google): State<Shared>, Json(whom): Json<ForWhom>) -> Response {
    let mut state = google.state();
    let Some(sub) = state
        .person_by_email(&whom.email)
        .map(|person| person.sub.clone())
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let scopes = whom
        .scopes
        .unwrap_or_else(|| "https://www.googleapis.com/auth/calendar".to_owned());
    let token = state.open_access(Grant {
        sub,
        client: OWN_CLIENT.to_owned(),
        scopes,
    });
    Json(json!({ "accessToken": token })).into_response()
}

/// Revokes all grants of a user.
pub(super) async fn revoke(State(google): State<Shared>, Json(whom): Json<ForWhom>) -> Response {
    let mut state = google.state();
    let Some(sub) = state
        .person_by_email(&whom.email)
        .map(|person| person.sub.clone())
    else {
        return StatusCode::NOT_FOUND.into_response();
    };
    state.withdraw(&sub, None);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Which {
    calendar_id: String,
}

/// Expires all sync tokens of a calendar.
pub(super) async fn expire(State(google): State<Shared>, Json(which): Json<Which>) -> Response {
    let mut state = google.state();
    let now = state.next_version();
    match state.calendars.get_mut(&which.calendar_id) {
        Some(calendar) => calendar.tokens_since = now,
        None => return StatusCode::NOT_FOUND.into_response(),
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Queues faults. Each is returned once, in this order.
pub(super) async fn faults(
    State(google): State<Shared>,
    Json(faults): Json<Vec<Fault>>,
) -> Response {
    google.state().faults.extend(faults);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WhichEvent {
    calendar_id: String,
    event_id: String,
}

/// Removes an event without listing it as a change.
pub(super) async fn silence(
    State(google): State<Shared>,
    Json(which): Json<WhichEvent>,
) -> Response {
    let mut state = google.state();
    match state
        .calendars
        .get_mut(&which.calendar_id)
        .and_then(|calendar| calendar.events.remove(&which.event_id))
    {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Drops all notifications of the existing channels. Google, too, loses some without an error.
pub(super) async fn mute(State(google): State<Shared>) -> Response {
    google
        .state()
        .channels
        .values_mut()
        .for_each(|channel| "http://127.0.0.1:9/".clone_into(&mut channel.address));
    StatusCode::NO_CONTENT.into_response()
}

/// Enables random faults, reproducible by seed.
pub(super) async fn fault_rates(
    State(google): State<Shared>,
    Json(fault_rates): Json<FaultRates>,
) -> Response {
    google.state().fault_rates = Some(fault_rates);
    StatusCode::NO_CONTENT.into_response()
}

/// Limits the calls per user and minute.
pub(super) async fn quota(State(google): State<Shared>, Json(quota): Json<u64>) -> Response {
    google.state().quota = Some(quota);
    StatusCode::NO_CONTENT.into_response()
}

/// Limits pages of events to this size.
pub(super) async fn pages(State(google): State<Shared>, Json(limit): Json<usize>) -> Response {
    google.state().page = limit.max(1);
    StatusCode::NO_CONTENT.into_response()
}

/// Limits the number of calls that get a response. Null removes the limit.
pub(super) async fn budget(
    State(google): State<Shared>,
    Json(left): Json<Option<u64>>,
) -> Response {
    google.state().budget.left = left;
    StatusCode::NO_CONTENT.into_response()
}

/// Holds back the response of the call after this many others. Null lets a held response go.
pub(super) async fn hold(State(google): State<Shared>, Json(calls): Json<Option<u64>>) -> Response {
    google.state().budget.hold(calls);
    StatusCode::NO_CONTENT.into_response()
}

/// Sets the duration of each call, in milliseconds.
pub(super) async fn latency(State(google): State<Shared>, Json(latency): Json<u64>) -> Response {
    google.state().budget.latency = Duration::from_millis(latency);
    StatusCode::NO_CONTENT.into_response()
}

/// Removes queued faults, random faults, quota and latency.
pub(super) async fn forgive(State(google): State<Shared>) -> Response {
    let mut state = google.state();
    (state.fault_rates, state.quota) = (None, None);
    state.budget.latency = Duration::ZERO;
    state.faults.clear();
    drop(state);
    StatusCode::NO_CONTENT.into_response()
}

/// Reports the calls by method, contract violations, mails, and the numbers of channels, grants and
/// deliveries.
pub(super) async fn report(State(google): State<Shared>) -> Response {
    let state = google.state();
    Json(json!({ "calls": state.calls, "unanswered": state.budget.unanswered, "isHolding": state.budget.is_holding(), "violations": state.violations, "channels": state.channels.len(), "grants": state.grants.len(), "mails": state.mails, "underWay": google.deliveries.under_way() }))
        .into_response()
}

/// Returns an event without its times from now on, as a change of it.
pub(super) async fn garble(
    State(google): State<Shared>,
    Json(which): Json<WhichEvent>,
) -> Response {
    let mut state = google.state();
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
