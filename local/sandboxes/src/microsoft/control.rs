//! `/sandbox/microsoft/…`: creates users and calendars, acts on their behalf, and injects failures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::state::{self, Calendar, Grant, Person};
use super::view::Preferences;
use super::{OWN_CLIENT, Shared, events};
use crate::parts::{Fault, FaultRates, unique_id};

/// The tenant of all personal accounts.
const PERSONAL: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";
/// The tenant of the work accounts.
const WORK: &str = "7f3d1c2a-0b1e-4d5f-8a9b-1c2d3e4f5a6b";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewPerson {
    email: String,
    name: String,
    /// The Windows name of the zone.
    time_zone: String,
    #[serde(default)]
    is_personal: bool,
    #[serde(default)]
    needs_admin: bool,
}

/// Creates an account with its default calendar. Returns the calendar's id.
pub(super) async fn person(
    State(microsoft): State<Shared>,
    Json(new): Json<NewPerson>,
) -> Response {
    Json(json!({ "primary": add_person(&mut microsoft.state(), new) })).into_response()
}

/// Returns a work account in Berlin's time zone.
pub(super) fn worker(email: &str, name: &str) -> NewPerson {
    let time_zone = "W. Europe Standard Time".to_owned();
    NewPerson {
        email: email.to_owned(),
        name: name.to_owned(),
        time_zone,
        is_personal: false,
        needs_admin: false,
    }
}

pub(super) fn add_person(state: &mut state::State, new: NewPerson) -> String {
    let number = state.people.len();
    let person = Person {
        tenant: if new.is_personal { PERSONAL } else { WORK }.to_owned(),
        object: format!("00000000-0000-4000-a000-{number:012}"),
        email: new.email.clone(),
        name: new.name,
        time_zone: new.time_zone,
        needs_admin: new.needs_admin,
        list: vec![],
    };
    state.people.insert(new.email.clone(), person);
    add_calendar(state, &new.email, "Calendar", true)
}

pub(super) fn add_calendar(
    state: &mut state::State,
    owner: &str,
    name: &str,
    is_default: bool,
) -> String {
    let id = format!(
        "AQMkAG{}/{}=",
        unique_id(&state.clock, 50),
        unique_id(&state.clock, 6)
    );
    let calendar = Calendar {
        id: id.clone(),
        name: name.to_owned(),
        owner: owner.to_owned(),
        is_default,
        ..Calendar::default()
    };
    state.calendars.insert(id.clone(), calendar);
    if let Some(person) = state.people.get_mut(owner) {
        person.list.push((id.clone(), true));
    }
    id
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewCalendar {
    owner: String,
    summary: String,
    /// The email address of the user that it is shared with.
    #[serde(default)]
    shared_with: Option<String>,
    /// Whether that user may edit it.
    #[serde(default)]
    can_edit: bool,
}

/// Adds a calendar to its owner's list, and to that of the user it is shared with. Returns its id.
pub(super) async fn calendar(
    State(microsoft): State<Shared>,
    Json(new): Json<NewCalendar>,
) -> Response {
    let mut state = microsoft.state();
    let id = add_calendar(&mut state, &new.owner, &new.summary, false);
    if let Some(person) = new
        .shared_with
        .and_then(|email| state.people.get_mut(&email))
    {
        person.list.push((id.clone(), new.can_edit));
    }
    Json(json!({ "id": id })).into_response()
}

#[derive(Deserialize)]
pub(super) struct ForWhom {
    email: String,
    #[serde(default)]
    event: String,
}

/// Returns an access token with which a test acts as the user through Graph.
pub(super) async fn token(State(microsoft): State<Shared>, Json(whom): Json<ForWhom>) -> Response {
    let scopes = "openid User.Read Calendars.ReadWrite".to_owned();
    let token = microsoft.state().open_access(Grant {
        email: whom.email,
        client: OWN_CLIENT.to_owned(),
        scopes,
    });
    Json(json!({ "accessToken": token })).into_response()
}

/// Revokes all grants of a user, and removes the subscriptions.
pub(super) async fn revoke(State(microsoft): State<Shared>, Json(whom): Json<ForWhom>) -> Response {
    microsoft.state().withdraw(&whom.email);
    StatusCode::NO_CONTENT.into_response()
}

/// Sends a lifecycle notification to the subscriptions of a mailbox.
pub(super) async fn lifecycle(
    State(microsoft): State<Shared>,
    Json(whom): Json<ForWhom>,
) -> Response {
    microsoft.say(&whom.email, &whom.event);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Invitation {
    organizer: String,
    attendee: String,
    event: Value,
}

/// Adds an invitation to the attendee's default calendar. Returns the event's id there.
pub(super) async fn invite(
    State(microsoft): State<Shared>,
    Json(new): Json<Invitation>,
) -> Response {
    let (id, calendar) = {
        let mut state = microsoft.state();
        let Some(person) = state.people.get(&new.attendee).cloned() else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let calendar = person.list[0].0.clone();
        let mut body = new.event.as_object().cloned().unwrap_or_default();
        let address = |email: &str| json!({ "emailAddress": { "name": email, "address": email } });
        let attendee = json!({ "type": "required", "emailAddress": { "name": new.attendee, "address": new.attendee } });
        body.insert("attendees".to_owned(), json!([attendee]));
        let made = events::create(&mut state, &person, &calendar, body, Preferences::default());
        let Ok(Some(made)) = made else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        if let Some(stored) = state
            .calendars
            .get_mut(&calendar)
            .and_then(|calendar| calendar.events.get_mut(&id))
        {
            stored.event["organizer"] = address(&new.organizer);
            stored.event["isOrganizer"] = false.into();
            stored.event["responseStatus"] =
                json!({ "response": "notResponded", "time": "0001-01-01T00:00:00Z" });
        }
        (id, calendar)
    };
    microsoft.notify(&new.attendee, &calendar);
    Json(json!({ "id": id })).into_response()
}

/// Queues faults. Each is returned once, in this order.
pub(super) async fn faults(
    State(microsoft): State<Shared>,
    Json(faults): Json<Vec<Fault>>,
) -> Response {
    microsoft.state().faults.extend(faults);
    StatusCode::NO_CONTENT.into_response()
}

/// Drops all notifications of the existing subscriptions.
pub(super) async fn mute(State(microsoft): State<Shared>) -> Response {
    for subscription in microsoft.state().subscriptions.values_mut() {
        subscription
            .body
            .insert("notificationUrl".to_owned(), "http://127.0.0.1:9/".into());
    }
    StatusCode::NO_CONTENT.into_response()
}

/// Enables random faults, reproducible by seed.
pub(super) async fn fault_rates(
    State(microsoft): State<Shared>,
    Json(fault_rates): Json<FaultRates>,
) -> Response {
    microsoft.state().fault_rates = Some(fault_rates);
    StatusCode::NO_CONTENT.into_response()
}

/// Limits the calls per mailbox and minute.
pub(super) async fn quota(State(microsoft): State<Shared>, Json(quota): Json<u64>) -> Response {
    microsoft.state().quota = Some(quota);
    StatusCode::NO_CONTENT.into_response()
}

/// Sets the duration of each call, in milliseconds.
pub(super) async fn latency(State(microsoft): State<Shared>, Json(latency): Json<u64>) -> Response {
    microsoft.state().budget.latency = Duration::from_millis(latency);
    StatusCode::NO_CONTENT.into_response()
}

/// Sets the page size of delta queries.
pub(super) async fn pages(State(microsoft): State<Shared>, Json(limit): Json<usize>) -> Response {
    microsoft.state().page = limit.max(1);
    StatusCode::NO_CONTENT.into_response()
}

/// Sets the maximum lifetime of a subscription, in minutes.
pub(super) async fn longest(State(microsoft): State<Shared>, Json(minutes): Json<i64>) -> Response {
    microsoft.state().longest = minutes;
    StatusCode::NO_CONTENT.into_response()
}

/// Sets whether single calendars can be subscribed to.
pub(super) async fn watchable(
    State(microsoft): State<Shared>,
    Json(watches_calendars): Json<bool>,
) -> Response {
    microsoft.state().watches_calendars = watches_calendars;
    StatusCode::NO_CONTENT.into_response()
}

/// Sets whether the client secret has expired.
pub(super) async fn secret(
    State(microsoft): State<Shared>,
    Json(is_expired): Json<bool>,
) -> Response {
    microsoft.state().is_secret_expired = is_expired;
    StatusCode::NO_CONTENT.into_response()
}

/// Limits the number of calls that get a response. Null removes the limit.
pub(super) async fn budget(
    State(microsoft): State<Shared>,
    Json(left): Json<Option<u64>>,
) -> Response {
    microsoft.state().budget.left = left;
    StatusCode::NO_CONTENT.into_response()
}

/// Holds back the response of the call after this many others. Null lets a held response go.
pub(super) async fn hold(
    State(microsoft): State<Shared>,
    Json(calls): Json<Option<u64>>,
) -> Response {
    microsoft.state().budget.hold(calls);
    StatusCode::NO_CONTENT.into_response()
}

/// Removes queued faults, random faults, quota and latency.
pub(super) async fn forgive(State(microsoft): State<Shared>) -> Response {
    let mut state = microsoft.state();
    (state.fault_rates, state.quota) = (None, None);
    state.budget.latency = Duration::ZERO;
    state.faults.clear();
    drop(state);
    StatusCode::NO_CONTENT.into_response()
}

/// Reports the calls by method, contract violations, mails, and the numbers of subscriptions,
/// grants and deliveries.
pub(super) async fn report(State(microsoft): State<Shared>) -> Response {
    let state = microsoft.state();
    Json(json!({
        "calls": state.calls, "unanswered": state.budget.unanswered, "isHolding": state.budget.is_holding(), "violations": state.violations, "channels": state.subscriptions.len(), "grants": state.grants.len(),
        "fullReads": state.full_reads, "mails": state.mails, "mostInFlight": state.most_in_flight, "underWay": microsoft.deliveries.under_way()
    }))
    .into_response()
}
