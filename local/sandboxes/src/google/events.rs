//! `events.*`: pages, sync tokens, ETags, cancelled events, exceptions of series.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::state::{Calendar, Person, State, Stored};
use crate::parts::{random_id, unique_id};

pub(super) type Answer = Result<Value, Refusal>;

/// The decoded query parameters of a request, in order.
pub(super) type Query = [(String, String)];

pub(super) fn parameter<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

pub(super) fn flag(query: &Query, name: &str) -> bool {
    parameter(query, name) == Some("true")
}

/// Parameters that must not be combined with a sync token.
const NOT_WITH_SYNC_TOKEN: [&str; 8] = [
    "iCalUID",
    "orderBy",
    "privateExtendedProperty",
    "q",
    "sharedExtendedProperty",
    "timeMin",
    "timeMax",
    "updatedMin",
];

/// The maximum age of `updatedMin`.
const REMEMBERED: TimeDelta = TimeDelta::days(28);

/// `events.list`
#[expect(
    clippy::too_many_lines,
    reason = "the list parameters of the reference, one after the other"
)]
pub(super) fn list(state: &State, person: &Person, calendar: &str, query: &Query) -> Answer {
    let (calendar, role) = readable(state, person, calendar)?;
    if parameter(query, "orderBy") == Some("startTime") {
        return Err(Refusal::new(
            400,
            "badRequest",
            "The requested ordering is not available for the particular query.",
        ));
    }
    let updated_min = parameter(query, "updatedMin")
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map(|at| at.to_utc());
    if updated_min.is_some_and(|at| state.now() - at > REMEMBERED) {
        let message = "The requested minimum modification time lies too far in the past.";
        return Err(Refusal::new(410, "updatedMinTooLongAgo", message));
    }
    let since = match parameter(query, "syncToken") {
        None => None,
        Some(token) => {
            let forbidden = NOT_WITH_SYNC_TOKEN
                .iter()
                .find(|name| parameter(query, name).is_some());
            if let Some(name) = forbidden
                .copied()
                .or((parameter(query, "showDeleted") == Some("false")).then_some("showDeleted"))
            {
                let message = format!("Sync token cannot be used with {name}.");
                return Err(Refusal::new(
                    400,
                    "syncTokenWithRequestRestrictions",
                    message,
                ));
            }
            let (version, made_for) =
                Token::read(token).ok_or_else(|| Refusal::invalid("Invalid sync token value."))?;
            if version < calendar.tokens_since || made_for != fixed(query) {
                let message = "Sync token is no longer valid, a full sync is required.";
                return Err(Refusal::new(410, "fullSyncRequired", message));
            }
            Some(version)
        }
    };
    // Pages are in the order of changes, up to the version at the first page. Later changes belong
    // to the next sync.
    let (after, until) = match parameter(query, "pageToken") {
        Some(token) => {
            Token::read_page(token).ok_or_else(|| Refusal::invalid("Invalid page token value."))?
        }
        None => (since.unwrap_or(0), state.version),
    };
    let limit = parameter(query, "maxResults")
        .and_then(|text| text.parse().ok())
        .unwrap_or(250_usize)
        .min(state.page);
    let wanted = |stored: &&Stored| match since {
        Some(_) => true,
        None => {
            let cancelled = stored.event["status"] == "cancelled";
            let of_series = stored.event.get("recurringEventId").is_some();
            let updated = stored.event["updated"]
                .as_str()
                .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            let is_new = updated_min
                .zip(updated)
                .is_none_or(|(min, updated)| updated >= min);
            (!cancelled || of_series || flag(query, "showDeleted"))
                && is_new
                && is_within(&stored.event, query)
        }
    };
    let mut found: Vec<&Stored> = calendar
        .events
        .values()
        .filter(|stored| stored.version > after && stored.version <= until)
        .collect();
    found.sort_by_key(|stored| stored.version);
    let mut found = found.into_iter().filter(wanted).peekable();
    let page: Vec<&Stored> = found.by_ref().take(limit).collect();
    let mut answer = json!({
        "kind": "calendar#events", "etag": format!("\"p{}\"", state.version), "summary": calendar.summary, "updated": stamp(state.now()),
        "timeZone": calendar.time_zone, "accessRole": role, "defaultReminders": [],
        "items": page.iter().map(|stored| stored.event.clone()).collect::<Vec<_>>()
    });
    match (found.peek(), page.last()) {
        (Some(_), Some(last)) => answer["nextPageToken"] = Token::page(last.version, until).into(),
        _ => answer["nextSyncToken"] = Token::write(until, &fixed(query)).into(),
    }
    Ok(answer)
}

/// Sync and page tokens. Clients must treat them as opaque.
struct Token;

impl Token {
    fn write(version: u64, made_for: &str) -> String {
        format!("s{version}.{made_for}")
    }

    fn read(token: &str) -> Option<(u64, String)> {
        let (version, made_for) = token.strip_prefix('s')?.split_once('.')?;
        Some((version.parse().ok()?, made_for.to_owned()))
    }

    fn page(after: u64, until: u64) -> String {
        format!("p{after}.{until}")
    }

    fn read_page(token: &str) -> Option<(u64, u64)> {
        let (after, until) = token.strip_prefix('p')?.split_once('.')?;
        Some((after.parse().ok()?, until.parse().ok()?))
    }
}

/// Returns the parameters that must be equal in the request that issued a sync token and in the one
/// that uses it.
fn fixed(query: &Query) -> String {
    let mut same: Vec<String> = query
        .iter()
        .filter(|(name, _)| {
            matches!(
                name.as_str(),
                "singleEvents" | "eventTypes" | "showHiddenInvitations"
            )
        })
        .filter(|(_, value)| value != "false")
        .map(|(name, value)| format!("{name}-{value}"))
        .collect();
    same.sort();
    same.join("_")
}

/// Returns whether an event overlaps `timeMin` to `timeMax`; always true for a series and for an
/// event without times.
pub(super) fn is_within(event: &Value, query: &Query) -> bool {
    let bound = |name| {
        parameter(query, name)
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|at| at.to_utc())
    };
    let (from, to) = (bound("timeMin"), bound("timeMax"));
    if event.get("recurrence").is_some() || event.get("start").is_none() {
        return true;
    }
    from.is_none_or(|from| instant(&event["end"]).is_none_or(|end| end > from))
        && to.is_none_or(|to| instant(&event["start"]).is_none_or(|start| start < to))
}

pub(super) fn instant(time: &Value) -> Option<DateTime<Utc>> {
    let date = || {
        NaiveDate::parse_from_str(time["date"].as_str()?, "%Y-%m-%d")
            .ok()?
            .and_hms_opt(0, 0, 0)
            .map(|at| at.and_utc())
    };
    time["dateTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
        .map(|at| at.to_utc())
        .or_else(date)
}

/// `events.get`. Deleted events can still be read.
pub(super) fn get(state: &State, person: &Person, calendar: &str, id: &str) -> Answer {
    current(readable(state, person, calendar)?.0, id)
}

/// `events.insert`
pub(super) fn insert(
    state: &mut State,
    person: &Person,
    calendar: &str,
    query: &Query,
    body: Value,
) -> Answer {
    let calendar = writable(state, person, calendar)?;
    let mut event = object(body)?;
    let id = match event.get("id").and_then(Value::as_str) {
        Some(id)
            if (5..=1024).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'v' | b'0'..=b'9')) =>
        {
            id.to_owned()
        }
        Some(_) => return Err(Refusal::invalid("Invalid resource id value.")),
        None => unique_id(&state.clock, 26),
    };
    // The id of a deleted event cannot be reused.
    if state.calendars[&calendar].events.contains_key(&id) {
        return Err(Refusal::new(
            409,
            "duplicate",
            "The requested identifier already exists.",
        ));
    }
    check_times(&event)?;
    conference(&mut event, query, None);
    event.insert("id".into(), id.clone().into());
    let now = stamp(state.now());
    let own = json!({ "email": person.email, "self": true });
    for (name, value) in [
        ("kind", "calendar#event".into()),
        (
            "htmlLink",
            format!("https://calendar.google.test/event?eid={id}").into(),
        ),
        ("created", now.clone().into()),
        ("creator", own.clone()),
        ("organizer", own),
        ("sequence", 0.into()),
    ] {
        event.insert(name.into(), value);
    }
    let defaults = [
        ("status", "confirmed".into()),
        ("iCalUID", format!("{id}@google.com").into()),
        ("eventType", "default".into()),
        ("reminders", json!({ "useDefault": true })),
    ];
    for (name, value) in defaults {
        event.entry(name).or_insert(value);
    }
    Ok(store(state, &calendar, &id, event))
}

/// `events.update` (replaces the event) and `events.patch` (merges objects; replaces arrays and
/// scalars).
pub(super) fn change(
    state: &mut State,
    person: &Person,
    calendar: &str,
    id: &str,
    query: &Query,
    (body, whole, if_match): (Value, bool, Option<&str>),
) -> Answer {
    let calendar = writable(state, person, calendar)?;
    let before = current(&state.calendars[&calendar], id)?;
    matches(&before, if_match)?;
    let body = object(body)?;
    let mut event = if whole {
        body
    } else {
        merged(before.clone(), answered(&before, body))
    };
    if before["status"] == "cancelled"
        && event
            .get("status")
            .is_none_or(|status| status == "cancelled")
    {
        return Err(Refusal::new(
            403,
            "forbidden",
            "The event has been deleted.",
        ));
    }
    check_times(&event)?;
    conference(&mut event, query, before.get("conferenceData"));
    let kept = [
        "kind",
        "id",
        "htmlLink",
        "created",
        "creator",
        "organizer",
        "iCalUID",
        "eventType",
        "recurringEventId",
        "originalStartTime",
    ];
    for name in kept {
        match before.get(name) {
            Some(value) => event.insert(name.into(), value.clone()),
            None => event.remove(name),
        };
    }
    let moved = ["start", "end", "recurrence"]
        .iter()
        .any(|name| event.get(*name) != before.get(*name));
    let sequence = before["sequence"].as_i64().unwrap_or(0) + i64::from(moved);
    event.insert("sequence".into(), sequence.into());
    event.entry("status").or_insert("confirmed".into());
    event
        .entry("reminders")
        .or_insert(json!({ "useDefault": true }));
    Ok(store(state, &calendar, id, event))
}

/// `events.delete`. A deleted occurrence is kept as a cancelled exception. Of any other event, only
/// the id and the status are kept.
pub(super) fn delete(
    state: &mut State,
    person: &Person,
    calendar: &str,
    id: &str,
    if_match: Option<&str>,
) -> Result<(), Refusal> {
    let calendar = writable(state, person, calendar)?;
    let before = current(&state.calendars[&calendar], id)?;
    matches(&before, if_match)?;
    if before["status"] == "cancelled" {
        return Err(Refusal::new(410, "deleted", "Resource has been deleted"));
    }
    let mut left = Map::new();
    for name in ["kind", "id", "recurringEventId", "originalStartTime"] {
        if let Some(value) = before.get(name) {
            left.insert(name.into(), value.clone());
        }
    }
    left.insert("status".into(), "cancelled".into());
    store(state, &calendar, id, left);
    if before.get("recurringEventId").is_none()
        && let Some(calendar) = state.calendars.get_mut(&calendar)
    {
        // Google does not promise to list the exceptions of a deleted series.
        calendar
            .events
            .retain(|_, stored| stored.event["recurringEventId"] != id);
    }
    Ok(())
}

/// `events.move`
pub(super) fn relocate(
    state: &mut State,
    person: &Person,
    from: &str,
    id: &str,
    to: &str,
) -> Answer {
    let (from, to) = (writable(state, person, from)?, writable(state, person, to)?);
    let before = current(&state.calendars[&from], id)?;
    if before["eventType"] != "default"
        || before["status"] == "cancelled"
        || before.get("recurringEventId").is_some()
    {
        return Err(Refusal::new(
            400,
            "cannotChangeOrganizer",
            "Only whole events of the default type can be moved.",
        ));
    }
    let gone = json!({ "kind": "calendar#event", "id": id, "status": "cancelled" });
    store(state, &from, id, object(gone)?);
    let mut event = object(before)?;
    event.insert("organizer".into(), json!({ "email": to, "self": true }));
    Ok(store(state, &to, id, event))
}

fn store(state: &mut State, calendar: &str, id: &str, mut event: Map<String, Value>) -> Value {
    let version = state.next_version();
    super::properties::limit(&mut event);
    event.insert("etag".into(), format!("\"{version}\"").into());
    if event
        .get("status")
        .is_none_or(|status| status != "cancelled")
    {
        event.insert("updated".into(), stamp(state.now()).into());
    }
    event.retain(|_, value| !value.is_null());
    let event = Value::from(event);
    if let Some(calendar) = state.calendars.get_mut(calendar) {
        calendar.events.insert(
            id.to_owned(),
            Stored {
                version,
                event: event.clone(),
            },
        );
    }
    event
}

/// Returns a calendar of the user's list, and the user's access role.
pub(super) fn readable<'a>(
    state: &'a State,
    person: &Person,
    calendar: &str,
) -> Result<(&'a Calendar, String), Refusal> {
    let id = person.calendar_id(calendar);
    let entry = person
        .list
        .get(id)
        .filter(|entry| entry.get("deleted") != Some(&true.into()))
        .ok_or_else(Refusal::not_found)?;
    let role = entry
        .get("accessRole")
        .and_then(Value::as_str)
        .unwrap_or("reader")
        .to_owned();
    Ok((
        state.calendars.get(id).ok_or_else(Refusal::not_found)?,
        role,
    ))
}

fn writable(state: &State, person: &Person, calendar: &str) -> Result<String, Refusal> {
    let (calendar, role) = readable(state, person, calendar)?;
    match role.as_str() {
        "owner" | "writer" | "writerWithoutPrivateAccess" => Ok(calendar.id.clone()),
        _ => Err(Refusal::new(
            403,
            "requiredAccessLevel",
            "You need to have writer access to this calendar.",
        )),
    }
}

pub(super) fn current(calendar: &Calendar, id: &str) -> Answer {
    calendar
        .events
        .get(id)
        .map(|stored| stored.event.clone())
        .or_else(|| occurrence(calendar, id))
        .ok_or_else(Refusal::not_found)
}

/// Builds an occurrence from its id, such as `{series}_20260302T080000Z` or `{series}_20260302`.
/// The rule is not checked.
fn occurrence(calendar: &Calendar, id: &str) -> Option<Value> {
    let (series_id, at) = id.rsplit_once('_')?;
    let series = &calendar
        .events
        .get(series_id)
        .filter(|stored| stored.event["status"] != "cancelled")?
        .event;
    series.get("recurrence")?;
    let (start, end) = (&series["start"], &series["end"]);
    let length = instant(end)? - instant(start)?;
    let (starts, ends) = match NaiveDateTime::parse_from_str(at, "%Y%m%dT%H%M%SZ") {
        Ok(at) if start.get("dateTime").is_some() => {
            let time = |at: DateTime<Utc>, like: &Value| json!({ "dateTime": stamp(at), "timeZone": like["timeZone"] });
            (time(at.and_utc(), start), time(at.and_utc() + length, end))
        }
        _ => {
            let date = NaiveDate::parse_from_str(at, "%Y%m%d")
                .ok()
                .filter(|_| start.get("date").is_some())?;
            (
                json!({ "date": date.to_string() }),
                json!({ "date": (date + TimeDelta::days(length.num_days())).to_string() }),
            )
        }
    };
    let mut event = series.as_object()?.clone();
    event.remove("recurrence");
    event.extend([
        ("id".to_owned(), id.into()),
        ("recurringEventId".to_owned(), series_id.into()),
        ("originalStartTime".to_owned(), starts.clone()),
        ("start".to_owned(), starts),
        ("end".to_owned(), ends),
    ]);
    Some(event.into())
}

fn matches(event: &Value, if_match: Option<&str>) -> Result<(), Refusal> {
    match if_match {
        Some(tag) if tag != "*" && event["etag"] != tag => {
            Err(Refusal::new(412, "conditionNotMet", "Precondition Failed"))
        }
        _ => Ok(()),
    }
}

fn object(value: Value) -> Result<Map<String, Value>, Refusal> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Refusal::new(400, "parseError", "Parse Error")),
    }
}

fn merged(before: Value, patch: Map<String, Value>) -> Map<String, Value> {
    let Value::Object(mut fields) = before else {
        return patch;
    };
    for (name, value) in patch {
        match (fields.remove(&name), value) {
            (Some(old @ Value::Object(_)), Value::Object(new)) => {
                fields.insert(name, merged(old, new).into())
            }
            (_, Value::Null) => None,
            (_, value) => fields.insert(name, value),
        };
    }
    fields
}

/// With `attendeesOmitted`, a patch changes only the attendees that it contains.
fn answered(before: &Value, mut patch: Map<String, Value>) -> Map<String, Value> {
    if patch.remove("attendeesOmitted") != Some(true.into()) {
        return patch;
    }
    let named = patch.remove("attendees").unwrap_or_default();
    let one = |known: &Value| {
        named
            .as_array()?
            .iter()
            .find(|one| one["email"] == known["email"])
            .cloned()
    };
    let all = before["attendees"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|known| one(known).unwrap_or_else(|| known.clone()));
    patch.insert("attendees".to_owned(), all.collect());
    patch
}

fn check_times(event: &Map<String, Value>) -> Result<(), Refusal> {
    if event
        .get("status")
        .is_some_and(|status| status == "cancelled")
    {
        return Ok(());
    }
    let (Some(start), Some(end)) = (event.get("start"), event.get("end")) else {
        return Err(Refusal::new(400, "required", "Missing end time."));
    };
    let kind = |time: &Value| (time["date"].is_string(), time["dateTime"].is_string());
    let (from, to) = match (kind(start), kind(end)) {
        ((true, false), (true, false)) | ((false, true), (false, true)) => {
            (instant(start), instant(end))
        }
        _ => {
            return Err(Refusal::invalid(
                "Start and end times must either both be date or both be dateTime.",
            ));
        }
    };
    if start["dateTime"].is_string()
        && event.contains_key("recurrence")
        && !start["timeZone"].is_string()
    {
        return Err(Refusal::new(
            400,
            "required",
            "Missing time zone definition for start time.",
        ));
    }
    match (from, to) {
        (Some(from), Some(to)) if to < from => Err(Refusal::new(
            400,
            "timeRangeEmpty",
            "The specified time range is empty.",
        )),
        _ => Ok(()),
    }
}

/// Creates the Meet link of a `createRequest`: at once, where Google may answer `pending`. Without
/// `conferenceDataVersion=1`, the body's conference data is ignored.
fn conference(event: &mut Map<String, Value>, query: &Query, before: Option<&Value>) {
    if parameter(query, "conferenceDataVersion") != Some("1") {
        event.remove("conferenceData");
        if let Some(before) = before {
            event.insert("conferenceData".into(), before.clone());
        }
        return;
    }
    let request_id = |data: &Value| data["createRequest"]["requestId"].clone();
    let same = before
        .zip(event.get("conferenceData"))
        .is_some_and(|(before, data)| request_id(before) == request_id(data));
    if same {
        // A repeated request id changes nothing.
        event.insert("conferenceData".into(), before.cloned().unwrap_or_default());
        return;
    }
    if let Some(request) = event
        .get("conferenceData")
        .and_then(|data| data.get("createRequest"))
    {
        let link = format!("https://meet.google.test/{}", random_id(10));
        let mut request = request.clone();
        request["status"] = json!({ "statusCode": "success" });
        event.insert("hangoutLink".into(), link.clone().into());
        event.insert(
            "conferenceData".into(),
            json!({ "createRequest": request, "entryPoints": [{ "entryPointType": "video", "uri": link }], "conferenceId": random_id(10) }),
        );
    }
}

pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
