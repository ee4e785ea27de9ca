//! `/sandbox/microsoft`: a page that shows all calendars, and on which they can be changed by hand.

use std::fmt::Write;

use axum::Form;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde_json::json;

use super::view::Preferences;
use super::{Shared, events};
use crate::forms::{Act, SandboxPage};
use crate::parts::escaped;

/// The path of the page.
pub(super) const PATH: &str = "/sandbox/microsoft";

/// Renders the calendars of all users.
pub(super) async fn show(State(microsoft): State<Shared>) -> Html<String> {
    let state = microsoft.state();
    let mut page = "<!doctype html><meta charset=\"utf-8\"><title>Microsoft (sandbox)</title><h1>Microsoft (sandbox)</h1>".to_owned();
    for calendar in state.calendars.values() {
        // Writing to a `String` cannot fail.
        let _ = write!(
            page,
            "<h2>{} <small>{}</small></h2><table>",
            escaped(&calendar.name),
            escaped(&calendar.owner)
        );
        let place = SandboxPage {
            email: &calendar.owner,
            calendar: &calendar.id,
            event: "",
        };
        for stored in calendar.events.values() {
            let text = |name: &str| {
                stored
                    .event
                    .get(name)
                    .and_then(|value| value.as_str())
                    .unwrap_or_default()
            };
            let start = stored.event["start"]["dateTime"]
                .as_str()
                .unwrap_or_default();
            page.push_str(
                &SandboxPage {
                    event: text("id"),
                    ..place
                }
                .row(text("subject"), start),
            );
        }
        page.push_str("</table>");
        page.push_str(&place.adding());
    }
    Html(page)
}

/// Carries out a form's action as the calendar's owner, and notifies the owner's subscriptions.
pub(super) async fn act(State(microsoft): State<Shared>, Form(act): Form<Act>) -> Response {
    {
        let mut state = microsoft.state();
        let Some(person) = state.people.get(&act.email).cloned() else {
            return Redirect::to(PATH).into_response();
        };
        let place = (act.calendar.as_str(), act.event.as_str());
        let whole = Preferences::default();
        let done = match act.action.as_str() {
            "rename" => {
                let change = json!({ "subject": act.title })
                    .as_object()
                    .cloned()
                    .unwrap_or_default();
                events::change(&mut state, &person, place, change, None, whole)
            }
            "delete" => events::delete(&mut state, &person, place, None),
            _ => {
                let start = act.start();
                let time = |at: chrono::NaiveDateTime| json!({ "dateTime": at.format("%Y-%m-%dT%H:%M:%S").to_string(), "timeZone": person.time_zone });
                let event = json!({ "subject": act.title, "start": time(start), "end": time(start + chrono::TimeDelta::hours(1)) });
                events::create(
                    &mut state,
                    &person,
                    &act.calendar,
                    event.as_object().cloned().unwrap_or_default(),
                    whole,
                )
            }
        };
        drop(done);
    }
    microsoft.notify(&act.email, &act.calendar);
    Redirect::to(PATH).into_response()
}
