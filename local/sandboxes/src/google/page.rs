//! `/sandbox/google`: a page that shows all calendars, and on which they can be changed by hand.

use std::fmt::Write;

use axum::Form;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::{Value, json};

use super::{Shared, events};
use crate::forms::{Act, SandboxPage};
use crate::parts::escaped;

/// The path of the page.
pub(super) const PATH: &str = "/sandbox/google";

/// Renders the calendar lists of all users.
pub(super) async fn show(State(google): State<Shared>) -> Html<String> {
    let state = google.state();
    let mut page = "<!doctype html><meta charset=\"utf-8\"><title>Google (sandbox)</title><h1>Google (sandbox)</h1>".to_owned();
    for person in state.people.values() {
        let mut list: Vec<_> = person.list.iter().collect();
        list.sort_by_key(|(_, entry)| !entry.contains_key("primary"));
        for (id, entry) in list {
            let name = entry.get("summary").and_then(Value::as_str).unwrap_or(id);
            // Writing to a `String` cannot fail.
            let _ = write!(
                page,
                "<h2>{} <small>{}</small></h2><table>",
                escaped(name),
                escaped(&person.email)
            );
            let place = SandboxPage {
                email: &person.email,
                calendar: id,
                event: "",
            };
            let events = state
                .calendars
                .get(id)
                .into_iter()
                .flat_map(|calendar| calendar.events.values());
            for event in events
                .map(|stored| &stored.event)
                .filter(|event| event["status"] != "cancelled")
            {
                let title = event["summary"].as_str().unwrap_or("(no title)");
                let start = event["start"]["dateTime"]
                    .as_str()
                    .or(event["start"]["date"].as_str())
                    .unwrap_or_default();
                page.push_str(
                    &SandboxPage {
                        event: event["id"].as_str().unwrap_or_default(),
                        ..place
                    }
                    .row(title, start),
                );
            }
            page.push_str("</table>");
            page.push_str(&place.adding());
        }
    }
    Html(page)
}

/// Carries out a form's action as the user whose list the calendar is in, and notifies the
/// calendar's channels.
pub(super) async fn act(State(google): State<Shared>, Form(act): Form<Act>) -> Response {
    let changed = {
        let mut state = google.state();
        let Some(person) = state.person_by_email(&act.email).cloned() else {
            return Redirect::to(PATH).into_response();
        };
        match act.action.as_str() {
            "rename" => {
                let change = (json!({ "summary": act.title }), false, None);
                events::change(&mut state, &person, &act.calendar, &act.event, &[], change).is_ok()
            }
            "delete" => {
                events::delete(&mut state, &person, &act.calendar, &act.event, None).is_ok()
            }
            _ => {
                let start = act.start();
                let zone: chrono_tz::Tz = person.time_zone.parse().unwrap_or(chrono_tz::Tz::UTC);
                let time = |local| {
                    let at = shared::domain::time::to_instant(local, zone);
                    json!({ "dateTime": shared::domain::time::rfc3339(at, zone), "timeZone": zone.name() })
                };
                let event = json!({ "summary": act.title, "start": time(start), "end": time(start + chrono::TimeDelta::hours(1)) });
                events::insert(&mut state, &person, &act.calendar, &[], event).is_ok()
            }
        }
    };
    if changed {
        google.notify(&act.calendar);
    }
    Redirect::to(PATH).into_response()
}
