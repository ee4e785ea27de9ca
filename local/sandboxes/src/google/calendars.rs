//! `calendars.insert`, `calendars.get` and `calendars.delete`.

use serde_json::{Value, json};

use super::control::{self, NewCalendar};
use super::errors::Refusal;
use super::events::{Answer, readable};
use super::state::{Person, State};

/// `calendars.insert`: adds a secondary calendar to the user's list, as its owner.
pub(super) fn insert(state: &mut State, person: &Person, body: &Value) -> Answer {
    let summary = body["summary"].as_str().filter(|text| !text.is_empty());
    let summary = summary.ok_or_else(|| Refusal::new(400, "required", "Missing title."))?;
    let zone = body["timeZone"].as_str().unwrap_or(&person.time_zone);
    let new = NewCalendar::owned(&person.email, summary);
    let id = control::add_calendar(state, &person.sub, new, false, zone);
    Ok(resource(&id, summary, zone, &person.email))
}

/// `calendars.get`
pub(super) fn get(state: &State, person: &Person, calendar: &str) -> Answer {
    let (calendar, _) = readable(state, person, calendar)?;
    let (id, summary, zone) = (&calendar.id, &calendar.summary, &calendar.time_zone);
    Ok(resource(id, summary, zone, &person.email))
}

/// `calendars.delete`: removes a secondary calendar with its events and its channels. Only its
/// owner may do that.
pub(super) fn delete(state: &mut State, person: &Person, calendar: &str) -> Result<(), Refusal> {
    let (found, role) = readable(state, person, calendar)?;
    let id = found.id.clone();
    if role != "owner" {
        let message = "You need to have owner access to this calendar.";
        return Err(Refusal::new(403, "requiredAccessLevel", message));
    }
    if state.people.values().any(|person| person.email == id) {
        return Err(Refusal::invalid("A primary calendar cannot be deleted."));
    }
    state.calendars.remove(&id);
    state.channels.retain(|_, channel| channel.calendar != id);
    for person in state.people.values_mut() {
        person.list.remove(&id);
    }
    Ok(())
}

fn resource(id: &str, summary: &str, zone: &str, owner: &str) -> Value {
    json!({
        "kind": "calendar#calendar", "etag": "\"1\"", "id": id, "summary": summary, "timeZone": zone, "dataOwner": owner
    })
}
