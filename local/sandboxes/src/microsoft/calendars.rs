//! `GET`, `POST` and `DELETE /me/calendars`.

use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::state::{Deleted, Person, State};
use super::{Answer, MicrosoftSandbox, control, events};

/// `GET /me/calendars`
pub(super) fn list(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    query: &[(String, String)],
) -> Value {
    let state = microsoft.state();
    let entries = person.list.iter();
    let found = entries
        .filter_map(|(id, can_edit)| entry(&state, person, id, *can_edit))
        .collect();
    let path = format!("{}/v1.0/me/calendars", microsoft.url);
    events::page(&path, found, query)
}

/// `POST /me/calendars`. A name can be used once in a mailbox.
pub(super) fn create(state: &mut State, person: &Person, body: &Map<String, Value>) -> Answer {
    let name = body.get("name").and_then(Value::as_str);
    let name = name
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Refusal::invalid("The name of a calendar is required."))?;
    let is_taken = |id: &String| {
        let known = state.calendars.get(id);
        known.is_some_and(|known| known.owner == person.email && known.name == name)
    };
    if person.list.iter().any(|(id, _)| is_taken(id)) {
        return Err(Refusal::new(
            409,
            "ErrorFolderExists",
            "A folder with the specified name already exists.",
        ));
    }
    let id = control::add_calendar(state, &person.email, name, false);
    Ok(entry(state, person, &id, true))
}

/// `DELETE /me/calendars/{id}`. The events of the calendar become deleted events.
pub(super) fn delete(state: &mut State, person: &Person, id: &str) -> Answer {
    let is_listed = person.list.iter().any(|(listed, _)| listed == id);
    let found = state.calendars.get(id).filter(|_| is_listed);
    let found = found.ok_or_else(Refusal::not_found)?;
    if found.owner != person.email {
        return Err(Refusal::new(
            403,
            "ErrorAccessDenied",
            "Access is denied. Check credentials and try again.",
        ));
    }
    if found.is_default {
        return Err(Refusal::new(
            400,
            "ErrorDeleteDistinguishedFolder",
            "Distinguished folders cannot be deleted.",
        ));
    }
    for (event, stored) in state.calendars.remove(id).unwrap_or_default().events {
        let owner = person.email.clone();
        state.deleted.insert(event, Deleted { owner, stored });
    }
    for person in state.people.values_mut() {
        person.list.retain(|(listed, _)| listed != id);
    }
    Ok(None)
}

/// Renders a calendar of a user's list.
fn entry(state: &State, person: &Person, id: &str, can_edit: bool) -> Option<Value> {
    let calendar = state.calendars.get(id)?;
    let is_own = calendar.owner == person.email;
    let owner = json!({ "name": calendar.owner, "address": calendar.owner });
    Some(json!({
        "id": id, "name": calendar.name, "color": "auto", "hexColor": if is_own { "#0078d4" } else { "" }, "canEdit": can_edit,
        "canShare": is_own, "canViewPrivateItems": is_own, "isDefaultCalendar": calendar.is_default && is_own, "owner": owner,
        "isRemovable": !calendar.is_default, "changeKey": "v1", "allowedOnlineMeetingProviders": ["teamsForBusiness"],
        "defaultOnlineMeetingProvider": "teamsForBusiness", "isTallyingResponses": is_own
    }))
}
