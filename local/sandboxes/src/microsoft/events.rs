//! The events of a calendar: list, get, create, update, delete, respond.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use shared::domain::zones::windows_name;

use super::Answer;
use super::errors::Refusal;
use super::shape;
use super::state::{Calendar, Deleted, Person, State, Stored};
use super::view::{
    self, Preferences, instant, is_whole_days, is_within, occurrence, of_occurrence, render,
    written,
};
use crate::parts::{escaped, random_id, unique_id};

/// The default page size of a list, without `$top`.
const PAGE: usize = 10;
/// The separator line above the join information that Teams adds to the body.
const LINE: &str =
    "________________________________________________________________________________";

/// Read-only properties, which an update ignores.
const OWN: [&str; 13] = [
    "id",
    "type",
    "iCalUId",
    "seriesMasterId",
    "originalStart",
    "occurrenceId",
    "organizer",
    "isOrganizer",
    "responseStatus",
    "onlineMeeting",
    "webLink",
    "transactionId",
    "isCancelled",
];

/// Returns an event of a calendar: a stored one, or an occurrence of a series.
pub(super) fn find(state: &State, calendar: &str, id: &str) -> Result<Stored, Refusal> {
    let calendar = state
        .calendars
        .get(calendar)
        .ok_or_else(Refusal::not_found)?;
    within(calendar, id).ok_or_else(Refusal::not_found)
}

fn within(calendar: &Calendar, id: &str) -> Option<Stored> {
    // An override is valid only while its series still has the occurrence.
    if of_occurrence(id).is_some() {
        occurrence(calendar, id)
    } else {
        calendar.events.get(id).cloned()
    }
}

/// Returns an event by its immutable id, and the id of the calendar that it is in: the named one,
/// or another one of the same mailbox. `None` for a deleted event, which can still be read by its
/// immutable id (msgraph-sdk-dotnet#3047).
fn locate(state: &State, calendar: &str, id: &str) -> Result<(Stored, Option<String>), Refusal> {
    let named = state
        .calendars
        .get(calendar)
        .ok_or_else(Refusal::not_found)?;
    if let Some(found) = within(named, id) {
        return Ok((found, Some(calendar.to_owned())));
    }
    let mut others = state
        .calendars
        .values()
        .filter(|other| other.owner == named.owner);
    if let Some((found, other)) = others.find_map(|other| Some((within(other, id)?, other))) {
        return Ok((found, Some(other.id.clone())));
    }
    let deleted = state.deleted.get(id);
    deleted
        .filter(|deleted| deleted.owner == named.owner)
        .map(|deleted| (deleted.stored.clone(), None))
        .ok_or_else(Refusal::not_found)
}

/// `GET …/events/{id}`
pub(super) fn get(
    state: &State,
    calendar: &str,
    id: &str,
    query: &[(String, String)],
    preferences: Preferences,
) -> Answer {
    let (stored, place) = locate(state, calendar, id)?;
    let mut event = render(&stored.event, stored.version, preferences);
    if stored.event["type"] != "seriesMaster" {
        return Ok(Some(event));
    }
    event["cancelledOccurrences"] = stored
        .cancelled
        .iter()
        .map(|date| format!("OID.{id}.{date}"))
        .collect();
    if shape::expands(query, "exceptionOccurrences") {
        let there = place
            .iter()
            .flat_map(|id| state.calendars[id].events.values());
        let gone = state.deleted.values().map(|deleted| &deleted.stored);
        let changed = there
            .chain(gone)
            .filter(|other| other.event["seriesMasterId"] == id);
        event["exceptionOccurrences"] = changed
            .map(|other| render(&other.event, other.version, preferences))
            .collect();
    }
    Ok(Some(event))
}

/// `GET …/events`, with or without `$filter`. Only the two filters that Calweave uses are
/// supported.
pub(super) fn list(
    state: &State,
    base: &str,
    calendar_id: &str,
    query: &[(String, String)],
    preferences: Preferences,
) -> Answer {
    let calendar = state
        .calendars
        .get(calendar_id)
        .ok_or_else(Refusal::not_found)?;
    let parameter = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let mut found: Vec<&Stored> = calendar
        .events
        .values()
        .filter(|stored| stored.event["type"] != "exception")
        .collect();
    if let Some(filter) = parameter("$filter") {
        let quoted: Vec<String> = filter
            .split('\'')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect();
        match quoted.as_slice() {
            [uid] if filter.starts_with("iCalUId eq ") => {
                found.retain(|stored| stored.event["iCalUId"] == *uid);
            }
            [id, value] if filter.starts_with("singleValueExtendedProperties/Any(") => {
                found.retain(|stored| {
                    let properties = stored
                        .event
                        .get("singleValueExtendedProperties")
                        .and_then(Value::as_array);
                    properties
                        .into_iter()
                        .flatten()
                        .any(|one| one["id"] == *id && one["value"] == *value)
                });
            }
            _ => {
                return Err(Refusal::new(
                    400,
                    "ErrorInvalidUrlQueryFilter",
                    "The query filter contains one or more invalid nodes.",
                ));
            }
        }
    }
    let found = found
        .into_iter()
        .map(|stored| render(&stored.event, stored.version, preferences))
        .collect();
    Ok(Some(page(
        &format!("{base}/v1.0/me/calendars/{calendar_id}/events"),
        found,
        query,
    )))
}

/// `GET …/calendarView` and `GET …/events/{id}/instances`
pub(super) fn between(
    state: &State,
    (base, path): (&str, &str),
    calendar_id: &str,
    series: Option<&str>,
    query: &[(String, String)],
    preferences: Preferences,
) -> Answer {
    let calendar = state
        .calendars
        .get(calendar_id)
        .ok_or_else(Refusal::not_found)?;
    let time = |name: &str| {
        let found = query
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str());
        found
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|at| at.to_utc())
    };
    let (Some(from), Some(to)) = (time("startDateTime"), time("endDateTime")) else {
        return Err(Refusal::new(
            400,
            "ErrorInvalidParameter",
            "This request requires a time window.",
        ));
    };
    let masters = calendar
        .events
        .values()
        .filter(|stored| stored.event["type"] == "seriesMaster");
    let masters = masters.filter(|stored| series.is_none_or(|id| stored.event["id"] == id));
    let mut found: Vec<Stored> = masters
        .flat_map(|master| view::occurrences(calendar, master, from, to))
        .collect();
    if series.is_none() {
        let singles = calendar
            .events
            .values()
            .filter(|stored| stored.event["type"] == "singleInstance");
        found.extend(
            singles
                .filter(|stored| is_within(&stored.event, from, to))
                .cloned(),
        );
    } else if !calendar.events.contains_key(series.unwrap_or_default()) {
        return Err(Refusal::not_found());
    }
    found.sort_by_key(|stored| instant(&stored.event["start"]));
    let found = found
        .iter()
        .map(|stored| render(&stored.event, stored.version, preferences))
        .collect();
    Ok(Some(page(&format!("{base}{path}"), found, query)))
}

/// Returns one page of the results, with the link of the next page.
pub(super) fn page(path: &str, found: Vec<Value>, query: &[(String, String)]) -> Value {
    let number = |name: &str| {
        query
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let (top, skip) = (number("$top").unwrap_or(PAGE), number("$skip").unwrap_or(0));
    let more = found.len() > skip + top;
    let mut answer = json!({ "value": found.into_iter().skip(skip).take(top).collect::<Vec<_>>() });
    if let (true, Ok(mut link)) = (more, reqwest::Url::parse(path)) {
        link.query_pairs_mut()
            .extend_pairs(query.iter().filter(|(name, _)| name != "$skip"));
        link.query_pairs_mut()
            .append_pair("$skip", &(skip + top).to_string());
        answer["@odata.nextLink"] = String::from(link).into();
    }
    answer
}

/// `POST …/events`. A repeated `transactionId` returns the event that it created before.
#[expect(
    clippy::too_many_lines,
    reason = "the properties of a new event, in the order of the reference"
)]
pub(super) fn create(
    state: &mut State,
    person: &Person,
    calendar_id: &str,
    body: Map<String, Value>,
    preferences: Preferences,
) -> Answer {
    if let Some(transaction) = body
        .get("transactionId")
        .filter(|transaction| transaction.is_string())
    {
        let own = state
            .calendars
            .values()
            .filter(|calendar| calendar.owner == person.email);
        let known = own
            .flat_map(|calendar| calendar.events.values())
            .find(|stored| stored.event.get("transactionId") == Some(transaction));
        if let Some(known) = known {
            return Ok(Some(render(&known.event, known.version, preferences)));
        }
    }
    let id = format!(
        "AAkALg{}/{}=",
        unique_id(&state.clock, 60),
        unique_id(&state.clock, 10)
    );
    let own = json!({ "emailAddress": { "name": person.name, "address": person.email } });
    let defaults = json!({
        "subject": "", "body": { "contentType": "html", "content": "" }, "bodyPreview": "", "isAllDay": false, "isCancelled": false,
        "importance": "normal", "sensitivity": "normal", "showAs": "busy", "categories": [], "attendees": [], "isReminderOn": true,
        "reminderMinutesBeforeStart": 15, "isOnlineMeeting": false, "onlineMeetingProvider": "unknown", "hasAttachments": false,
        "responseRequested": true, "location": { "displayName": "" }, "organizer": own, "isOrganizer": true,
        "responseStatus": { "response": "organizer", "time": "0001-01-01T00:00:00Z" }, "allowNewTimeProposals": true,
        "hideAttendees": false, "isDraft": false
    });
    let Value::Object(mut fields) = defaults else {
        return Err(Refusal::not_found());
    };
    fields.extend(body);
    fields.retain(|name, value| !value.is_null() || name == "recurrence");
    let mut event = Value::from(fields);
    let is_series = event["recurrence"].is_object();
    for (name, value) in [
        ("id", id.clone().into()),
        (
            "iCalUId",
            format!(
                "040000008200E00074C5B7101A82E008{}",
                unique_id(&state.clock, 32)
            )
            .into(),
        ),
        (
            "type",
            if is_series {
                "seriesMaster"
            } else {
                "singleInstance"
            }
            .into(),
        ),
        (
            "webLink",
            format!("https://outlook.office.test/calendar/item/{}", &id[..20]).into(),
        ),
        ("createdDateTime", state.now().to_rfc3339().into()),
    ] {
        event[name] = value;
    }
    check(state, &event)?;
    meet(&mut event, None);
    answered(&mut event);
    tell(state, person, &Value::Null, &event);
    let version = state.next_version();
    let stored = Stored {
        version,
        event,
        cancelled: [].into(),
    };
    let answer = render(&stored.event, version, preferences);
    if let Some(calendar) = state.calendars.get_mut(calendar_id) {
        calendar.events.insert(id, stored);
    }
    Ok(Some(answer))
}

/// Sets the response of attendees without one to `none`.
fn answered(event: &mut Value) {
    for one in event["attendees"].as_array_mut().into_iter().flatten() {
        if one["status"].is_null() {
            one["status"] = json!({ "response": "none", "time": "0001-01-01T00:00:00Z" });
        }
    }
}

/// `PATCH …/events/{id}`: changes the properties in the body; null removes a property.
#[expect(
    clippy::too_many_lines,
    reason = "the properties of a change, in the order of the reference"
)]
pub(super) fn change(
    state: &mut State,
    person: &Person,
    (calendar_id, id): (&str, &str),
    body: Map<String, Value>,
    if_match: Option<&str>,
    preferences: Preferences,
) -> Answer {
    let (before, place) = locate(state, calendar_id, id)?;
    matches(&before, if_match)?;
    let Some(calendar_id) = place.as_deref() else {
        return Ok(Some(change_deleted(state, id, body, preferences)));
    };
    let mut event = before.event.clone();
    for (name, value) in body {
        if OWN.contains(&name.as_str())
            || name == "isOnlineMeeting" && before.event["isOnlineMeeting"] == true
        {
            continue;
        }
        if value.is_null() && name != "recurrence" {
            view::remove(&mut event, &name);
        } else {
            event[name] = value;
        }
    }
    let is_series = event["recurrence"].is_object();
    let kind = match (event["type"].as_str(), is_series) {
        (Some("occurrence" | "exception"), true) => {
            return Err(Refusal::invalid(
                "An occurrence has no recurrence of its own.",
            ));
        }
        (Some("occurrence" | "exception"), false) => "exception",
        (_, true) => "seriesMaster",
        (_, false) => "singleInstance",
    };
    event["type"] = kind.into();
    check(state, &event)?;
    if let Some((series, date)) = of_occurrence(id) {
        crosses(state, calendar_id, series, date, &event)?;
    }
    if before.event["isOnlineMeeting"] == true {
        let join = before.event["onlineMeeting"]["joinUrl"]
            .as_str()
            .unwrap_or("-")
            .to_owned();
        if !event["body"]["content"]
            .as_str()
            .unwrap_or_default()
            .contains(&join)
        {
            state
                .violations
                .push("an update removed the join link of an online meeting".to_owned());
            view::remove(&mut event, "onlineMeeting");
        }
    } else {
        meet(&mut event, Some(&before.event));
    }
    answered(&mut event);
    tell(state, person, &before.event, &event);
    let version = state.next_version();
    let moved = ["start", "end", "recurrence", "isAllDay"]
        .iter()
        .any(|name| event.get(*name) != before.event.get(*name));
    let resets = before.event["type"] == "seriesMaster" && moved;
    let cancelled = if resets { [].into() } else { before.cancelled };
    let answer = render(&event, version, preferences);
    if let Some(calendar) = state.calendars.get_mut(calendar_id) {
        if resets {
            calendar
                .events
                .retain(|_, other| other.event["seriesMasterId"] != id);
        }
        calendar.events.insert(
            id.to_owned(),
            Stored {
                version,
                event,
                cancelled,
            },
        );
    }
    touch(state, calendar_id, id);
    Ok(Some(answer))
}

/// Changes a deleted event, which stays deleted.
fn change_deleted(
    state: &mut State,
    id: &str,
    body: Map<String, Value>,
    preferences: Preferences,
) -> Value {
    let version = state.next_version();
    let Some(deleted) = state.deleted.get_mut(id) else {
        return Value::Null;
    };
    let stored = &mut deleted.stored;
    stored.version = version;
    for (name, value) in body {
        if !OWN.contains(&name.as_str()) {
            stored.event[name] = value;
        }
    }
    render(&stored.event, version, preferences)
}

/// Marks the series of an occurrence as changed.
fn touch(state: &mut State, calendar: &str, id: &str) {
    let Some((series, _)) = of_occurrence(id) else {
        return;
    };
    let version = state.next_version();
    if let Some(master) = state
        .calendars
        .get_mut(calendar)
        .and_then(|calendar| calendar.events.get_mut(series))
    {
        master.version = version;
    }
}

/// `DELETE …/events/{id}`. The deletion of an occurrence only shows as a change of its series.
pub(super) fn delete(
    state: &mut State,
    person: &Person,
    (calendar_id, id): (&str, &str),
    if_match: Option<&str>,
) -> Answer {
    let (before, place) = locate(state, calendar_id, id)?;
    let Some(calendar_id) = place.as_deref() else {
        return Err(Refusal::new(
            403,
            "ErrorCannotDeleteObject",
            "The specified object could not be deleted.",
        ));
    };
    matches(&before, if_match)?;
    if before.event["isOrganizer"] == true {
        tell(state, person, &before.event, &Value::Null);
    }
    let version = state.next_version();
    let Some(calendar) = state.calendars.get_mut(calendar_id) else {
        return Err(Refusal::not_found());
    };
    if let Some((series, date)) = of_occurrence(id) {
        calendar.events.remove(id);
        if let Some(master) = calendar.events.get_mut(series) {
            master.cancelled.insert(date);
        }
        touch(state, calendar_id, id);
        return Ok(None);
    }
    let gone = removed_ids(calendar, id, state.clock.now() + TimeDelta::days(800));
    calendar
        .removed
        .extend(gone.into_iter().map(|id| (version, id)));
    let owner = calendar.owner.clone();
    let is_part =
        |known: &String, other: &mut Stored| known == id || other.event["seriesMasterId"] == id;
    for (id, stored) in calendar.events.extract_if(.., is_part) {
        let owner = owner.clone();
        state.deleted.insert(id, Deleted { owner, stored });
    }
    Ok(None)
}

/// Returns the ids that a delta query lists as removed after the removal of this event: its own,
/// and those of its occurrences.
pub(super) fn removed_ids(calendar: &Calendar, id: &str, until: DateTime<Utc>) -> Vec<String> {
    let series = calendar.events.get(id);
    let series = series.filter(|stored| stored.event["type"] == "seriesMaster");
    let occurrences = series
        .into_iter()
        .flat_map(|master| view::occurrences(calendar, master, DateTime::<Utc>::UNIX_EPOCH, until));
    occurrences
        .filter_map(|one| Some(one.event["id"].as_str()?.to_owned()))
        .chain([id.to_owned()])
        .collect()
}

/// `POST …/events/{id}/accept`, `decline` and `tentativelyAccept`. Declining removes the event from
/// the calendar.
pub(super) fn respond(
    state: &mut State,
    person: &Person,
    (calendar_id, id): (&str, &str),
    action: &str,
    body: &Value,
) -> Answer {
    let mut stored = find(state, calendar_id, id)?;
    if stored.event["isOrganizer"] == true {
        return Err(Refusal::new(
            400,
            "ErrorInvalidRequest",
            "Your request can't be completed. You can't respond to this meeting because you're the meeting organizer.",
        ));
    }
    if body["sendResponse"] == true {
        state.mails.extend(
            stored.event["organizer"]["emailAddress"]["address"]
                .as_str()
                .map(str::to_owned),
        );
    }
    if action == "decline" {
        return delete(state, person, (calendar_id, id), None);
    }
    let response = json!({ "response": if action == "accept" { "accepted" } else { "tentativelyAccepted" }, "time": state.now().to_rfc3339() });
    stored.event["responseStatus"] = response.clone();
    if stored.event["type"] == "occurrence" {
        stored.event["type"] = "exception".into();
    }
    for one in stored.event["attendees"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        if one["emailAddress"]["address"] == person.email {
            one["status"] = response.clone();
        }
    }
    stored.version = state.next_version();
    if let Some(calendar) = state.calendars.get_mut(calendar_id) {
        calendar.events.insert(id.to_owned(), stored);
    }
    touch(state, calendar_id, id);
    Ok(None)
}

fn matches(stored: &Stored, if_match: Option<&str>) -> Result<(), Refusal> {
    match if_match {
        Some(tag) if tag != "*" && tag != view::etag(stored.version) => Err(Refusal::new(
            412,
            "ErrorIrresolvableConflict",
            "The send or update operation could not be performed because the change key passed in the request does not match the current change key for the item.",
        )),
        _ => Ok(()),
    }
}

/// Validates an event as Graph does.
#[expect(
    clippy::too_many_lines,
    reason = "one check after the other, in Graph's order"
)]
fn check(state: &mut State, event: &Value) -> Result<(), Refusal> {
    for name in ["start", "end"] {
        let Some((_, zone)) = written(&event[name]) else {
            return Err(Refusal::invalid(format!(
                "The property '{name}' is required when creating an entity, with a time zone that is known."
            )));
        };
        // Graph accepts Windows names, but only some IANA names.
        if windows_name(zone).is_none_or(|known| event[name]["timeZone"] != known)
            && event[name]["timeZone"] != "UTC"
        {
            let unlikely = event[name]["timeZone"]
                .as_str()
                .is_some_and(|name| name.contains('/') && !name.starts_with("tzone:"));
            if unlikely {
                state.violations.push(format!(
                    "{} may not be accepted as a time zone",
                    event[name]["timeZone"]
                ));
            }
        }
    }
    if instant(&event["end"]) < instant(&event["start"]) {
        return Err(Refusal::invalid(
            "The end of an event has to be after its start.",
        ));
    }
    if event["isAllDay"] == true && !is_whole_days(event) {
        return Err(Refusal::invalid(
            "The Event.Start property for an all-day event needs to be set to midnight.",
        ));
    }
    let recurrence = &event["recurrence"];
    if !recurrence.is_object() {
        return Ok(());
    }
    let date = written(&event["start"]).map(|(local, _)| local.date().to_string());
    if recurrence["range"]["startDate"].as_str() != date.as_deref() {
        return Err(Refusal::invalid(
            "The recurrence range has to start with the event.",
        ));
    }
    let allowed: &[&str] = match recurrence["pattern"]["type"].as_str() {
        Some("daily") => &["interval"],
        Some("weekly") => &["interval", "daysOfWeek", "firstDayOfWeek"],
        Some("absoluteMonthly") => &["interval", "dayOfMonth"],
        Some("relativeMonthly") => &["interval", "daysOfWeek", "index"],
        Some("absoluteYearly") => &["interval", "dayOfMonth", "month"],
        Some("relativeYearly") => &["interval", "daysOfWeek", "index", "month"],
        _ => return Err(Refusal::invalid("The recurrence pattern has no type.")),
    };
    for name in recurrence["pattern"]
        .as_object()
        .into_iter()
        .flat_map(Map::keys)
        .filter(|name| *name != "type")
    {
        if !allowed.contains(&name.as_str()) {
            state.violations.push(format!(
                "a {} pattern has no {name}",
                recurrence["pattern"]["type"]
            ));
        }
    }
    match view::series(event) {
        Some(_) => Ok(()),
        None => Err(Refusal::invalid("The recurrence pattern is not valid.")),
    }
}

/// Fails when an override would move an occurrence to or past its neighbours.
fn crosses(
    state: &State,
    calendar: &str,
    series: &str,
    date: NaiveDate,
    event: &Value,
) -> Result<(), Refusal> {
    let calendar = &state.calendars[calendar];
    let Some(master) = calendar.events.get(series) else {
        return Err(Refusal::not_found());
    };
    let Some(at) = instant(&event["start"]) else {
        return Err(Refusal::not_found());
    };
    let (from, to) = (at - TimeDelta::days(400), at + TimeDelta::days(400));
    let days: Vec<(NaiveDate, DateTime<Utc>)> = view::occurrences(calendar, master, from, to)
        .iter()
        .filter_map(|one| {
            Some((
                of_occurrence(one.event["id"].as_str()?)?.1,
                instant(&one.event["start"])?,
            ))
        })
        .collect();
    let is_late = days
        .iter()
        .any(|(other, start)| *other < date && *start >= at);
    let is_early = days
        .iter()
        .any(|(other, start)| *other > date && *start <= at);
    if is_late || is_early {
        return Err(Refusal::new(
            400,
            "ErrorOccurrenceCrossingBoundary",
            "Modified occurrence is crossing or overlapping adjacent occurrence.",
        ));
    }
    Ok(())
}

/// Creates the Teams meeting of an event, and appends its join text to the body.
fn meet(event: &mut Value, before: Option<&Value>) {
    if event["isOnlineMeeting"] != true
        || before.is_some_and(|before| before["isOnlineMeeting"] == true)
    {
        return;
    }
    let join = format!(
        "https://teams.microsoft.test/l/meetup-join/{}",
        random_id(20)
    );
    let own = event["body"]["content"].as_str().unwrap_or_default();
    let own = if event["body"]["contentType"] == "html" {
        own.to_owned()
    } else {
        escaped(own)
    };
    let content = format!(
        "<html><body><div>{own}</div><div>{LINE}</div><div>Microsoft Teams meeting</div><a href=\"{join}\">Join</a> {join}<div>{LINE}</div></body></html>"
    );
    event["body"] = json!({ "contentType": "html", "content": content });
    event["onlineMeeting"] = json!({ "joinUrl": join });
    event["onlineMeetingProvider"] = "teamsForBusiness".into();
}

/// Records the mails to attendees. Graph always sends them; a request cannot suppress them.
fn tell(state: &mut State, person: &Person, before: &Value, now: &Value) {
    let invited = |event: &Value| -> Vec<String> {
        let attendees = event["attendees"].as_array().into_iter().flatten();
        attendees
            .filter_map(|one| Some(one["emailAddress"]["address"].as_str()?.to_owned()))
            .collect()
    };
    if [before, now]
        .into_iter()
        .any(|event| event.get("isOrganizer") == Some(&false.into()))
    {
        return;
    }
    let (old, new) = (invited(before), invited(now));
    let matters = ["subject", "body", "start", "end", "location", "recurrence"];
    let changed = matters
        .iter()
        .any(|name| before.get(*name) != now.get(*name));
    // When only the list of attendees changes, only those added or removed are notified.
    let told = old
        .iter()
        .filter(|one| changed || !new.contains(one))
        .chain(new.iter().filter(|one| !old.contains(one)));
    state
        .mails
        .extend(told.filter(|email| **email != person.email).cloned());
}
