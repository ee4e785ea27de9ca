//! Events of one calendar. Requests always use the path of the calendar, because the short path
//! does not cover shared calendars.

use calweave_domain::details::RsvpStatus;
use calweave_domain::event::Event;
use calweave_domain::ids::OriginalStart;
use calweave_domain::link::RsvpResponse;
use calweave_domain::time::{EventTime, to_instant};
use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta, Utc};
use chrono_tz::Tz;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::ids;
use super::equivalents::keep_equivalents;
use super::fields::{EVENT_FIELDS, SERIES_FIELDS};
use super::read::MEETING_BLOCK;
use super::{
    GraphRequest, GraphSession, PREFER_HTML, ProviderError, Refusal, RemoteCalendar, RemoteEvent,
    Result, WriteOptions, malformed, occurrence, read, write,
};

/// The maximum number of calendar view pages that are searched for one event.
const MAX_PAGES: usize = 40;
/// The extended property that repeats the `transactionId` of an event created here. It can be
/// searched for.
const PROPERTY: &str = "String {2f9d6c52-5b0e-4c1a-9c1f-7f2d8a4e6b31} Name calweave";

/// Reads `event` as Graph has it. Returns `None` if the calendar does not contain it. For an
/// occurrence, `series` is the remote id of its series.
pub(super) async fn current(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    series: Option<&str>,
) -> Result<Option<RemoteEvent>> {
    let link = event.link.as_ref();
    let known = link.and_then(|link| link.remote_id.as_deref());
    let raw = match (known, event.original_start(), series) {
        (Some(id), Some(_), _) => listed(session, target, id).await?,
        (Some(id), None, _) => whole(session, target, event, id).await?,
        (None, Some(original), Some(series)) => {
            instance(session, target, series, event.start, original).await?
        }
        (None, None, _) => return created(session, target, event).await,
        _ => None,
    };
    raw.map(|raw| remote(session, target, event, raw))
        .transpose()
}

/// Reads an event or series if the calendar contains it. A search for its iCalUId finds it even
/// under a new id. The id alone is not enough: it also finds a deleted event, and one that is now
/// in another calendar (msgraph-sdk-dotnet#3047).
async fn whole(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    id: &str,
) -> Result<Option<Value>> {
    match by_uid(session, target, event, id).await? {
        Some(found) if found["type"] == "seriesMaster" => {
            let id = found["id"].as_str().unwrap_or(id);
            get(session, target, id, SERIES_FIELDS).await
        }
        Some(found) => Ok(Some(found)),
        None => listed(session, target, id).await,
    }
}

/// Finds the event or series of the calendar that has the iCalUId of a known one.
async fn by_uid(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    id: &str,
) -> Result<Option<Value>> {
    // Until it is read for the first time, an event that was created here has its id as its UID.
    if event.uid == event.id.to_string() || event.uid == id {
        return Ok(None);
    }
    let filter = format!("iCalUId eq '{}'", quoted(&event.uid));
    let mut same = search(session, target, &filter).await?;
    // Copies of an event may share their iCalUId.
    let position = same.iter().position(|one| one["id"] == id).unwrap_or(0);
    Ok((position < same.len()).then(|| same.swap_remove(position)))
}

/// Reads the event with this id, if the calendar view lists it around the event's own time.
async fn listed(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    id: &str,
) -> Result<Option<Value>> {
    let Some(raw) = get(session, target, id, SERIES_FIELDS).await? else {
        return Ok(None);
    };
    let time = |name: &str| read::local(raw[name]["dateTime"].as_str()?);
    let (Some(start), Some(end)) = (time("start"), time("end")) else {
        return Ok(Some(raw));
    };
    let is_series = raw["type"] == "seriesMaster";
    // The first occurrences of a series may be cancelled, so a longer window is searched.
    let margin = TimeDelta::days(if is_series { 400 } else { 2 });
    let path = ["me", "calendars", target.remote_id, "calendarView"];
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("startDateTime", stamp(start.and_utc() - TimeDelta::days(2))),
        ("endDateTime", stamp(end.and_utc() + margin)),
        ("$select", "id,seriesMasterId".to_owned()),
        ("$top", "500".to_owned()),
    ];
    let name = if is_series { "seriesMasterId" } else { "id" };
    let mut answer = session.call(request).await?;
    for _ in 0..MAX_PAGES {
        let mut items = answer["value"].as_array().into_iter().flatten();
        if items.any(|item| item[name] == id) {
            return Ok(Some(raw));
        }
        let Some(next) = answer["@odata.nextLink"].as_str().map(str::to_owned) else {
            break;
        };
        answer = session.call(GraphRequest::follow(&next)).await?;
    }
    Ok(None)
}

/// Reads the event with this id from anywhere in the mailbox; `None` if there is none.
async fn get(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    id: &str,
    fields: &str,
) -> Result<Option<Value>> {
    let path = ["me", "calendars", target.remote_id, "events", id];
    let mut request = GraphRequest::get(&path);
    request.query = vec![("$select", fields.to_owned())];
    found(session.call(request).await)
}

fn stamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Replaces a not-found error by `None`.
fn found(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(raw) => Ok(Some(raw)),
        Err(ProviderError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Converts Graph's resource of `event`. A series that was read by its own `GET` lists its
/// cancelled occurrences. Otherwise, those that both sides have agreed on are used. Graph does not
/// list the changed occurrences here, so those of `event` are used.
fn remote(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    raw: Value,
) -> Result<RemoteEvent> {
    let read = read::event(session, target, &raw, None).map_err(|warning| malformed(&warning))?;
    let mut read = Event {
        id: event.id.clone(),
        ..read
    };
    if let Some(series) = &mut read.series {
        series.overridden = occurrence::cancelled(&raw, read.start);
    }
    keep_equivalents(event, &mut read);
    if let (Some(series), Some(known)) = (&mut read.series, &event.series) {
        if !raw["cancelledOccurrences"].is_array() {
            series.except_dates = agreed(event);
        }
        series.overridden.clone_from(&known.overridden);
    }
    read.hash();
    Ok(RemoteEvent { event: read, raw })
}

/// The cancelled occurrences that Microsoft has of a series, as far as is known here: without edits
/// that are not written yet.
fn agreed(event: &Event) -> Vec<OriginalStart> {
    let series = match event.link.as_ref().and_then(|link| link.edit.as_deref()) {
        Some(edit) => edit.base.as_ref().and_then(|base| base.series.as_deref()),
        None => event.series.as_deref(),
    };
    series
        .map(|series| series.except_dates.clone())
        .unwrap_or_default()
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

/// Returns the first page of a calendar's events that match a filter.
async fn search(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    filter: &str,
) -> Result<Vec<Value>> {
    let path = ["me", "calendars", target.remote_id, "events"];
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("$filter", filter.to_owned()),
        ("$select", EVENT_FIELDS.to_owned()),
    ];
    let mut answer = session.call(request).await?;
    let found = answer.get_mut("value").map(Value::take);
    Ok(match found {
        Some(Value::Array(found)) => found,
        _ => vec![],
    })
}

/// Finds the occurrence of a series whose start by the rule is `original`. `start` is the start of
/// the series or of one of its occurrences.
async fn instance(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    series: &str,
    start: EventTime,
    original: OriginalStart,
) -> Result<Option<Value>> {
    let path = [
        "me",
        "calendars",
        target.remote_id,
        "events",
        series,
        "instances",
    ];
    let zone = start.zone().unwrap_or(target.zone);
    let at = match original {
        OriginalStart::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
        OriginalStart::Instant(at) => at,
        OriginalStart::Floating(local) => to_instant(local, zone),
    };
    let start = match original {
        OriginalStart::Date(date) => EventTime::Date(date),
        _ => EventTime::at(at, zone),
    };
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("startDateTime", stamp(at - TimeDelta::days(1))),
        ("endDateTime", stamp(at + TimeDelta::days(2))),
        ("$select", EVENT_FIELDS.to_owned()),
    ];
    let mut answer = found(session.call(request).await)?.unwrap_or_default();
    for _ in 0..MAX_PAGES {
        for item in answer["value"].as_array().into_iter().flatten() {
            let placed = occurrence::original_start(item, start, None, target.zone);
            let placed = placed.or_else(|| {
                let event = read::event(session, target, item, None).ok()?;
                Some(event.start.original_start())
            });
            if placed.is_some_and(|placed| is_same(placed, original, zone)) {
                return Ok(Some(item.clone()));
            }
        }
        let Some(next) = answer["@odata.nextLink"].as_str().map(str::to_owned) else {
            break;
        };
        answer = session.call(GraphRequest::follow(&next)).await?;
    }
    Ok(None)
}

/// Whether the occurrence at `placed` is the one at `meant`. A date means any occurrence on that
/// date.
fn is_same(placed: OriginalStart, meant: OriginalStart, zone: Tz) -> bool {
    let local = |at: OriginalStart| match at {
        OriginalStart::Date(date) => date.and_time(chrono::NaiveTime::MIN),
        OriginalStart::Instant(at) => at.with_timezone(&zone).naive_local(),
        OriginalStart::Floating(local) => {
            to_instant(local, zone).with_timezone(&zone).naive_local()
        }
    };
    match meant {
        OriginalStart::Date(date) => local(placed).date() == date,
        _ => local(placed) == local(meant),
    }
}

/// Deletes the occurrences at Microsoft that `event` excludes. A `patternedRecurrence` has no
/// exceptions, so each occurrence that is not cancelled yet is deleted by a request of its own. An
/// occurrence that was deleted before is not found.
async fn except(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    made: &mut Event,
) -> Result<()> {
    let id = made
        .link
        .as_ref()
        .and_then(|link| link.remote_id.clone())
        .unwrap_or_default();
    let (Some(series), Some(made)) = (&event.series, &mut made.series) else {
        return Ok(());
    };
    for original in series
        .except_dates
        .iter()
        .filter(|original| !made.except_dates.contains(original))
    {
        let occurrence = instance(session, target, &id, event.start, *original).await?;
        if let Some(id) = occurrence
            .as_ref()
            .and_then(|occurrence| occurrence["id"].as_str())
        {
            found(
                session
                    .call(GraphRequest::new(
                        Method::DELETE,
                        &["me", "calendars", target.remote_id, "events", id],
                    ))
                    .await,
            )?;
        }
    }
    made.except_dates.clone_from(&series.except_dates);
    Ok(())
}

/// The `transactionId` with which an event is created.
fn transaction(event: &Event) -> String {
    ids::remote_id(
        &event.id,
        event.link.as_ref().map_or(0, |link| link.generation),
    )
}

/// Searches for the event under the `transactionId` with which it is created.
pub(super) async fn created(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
) -> Result<Option<RemoteEvent>> {
    let filter = format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY}' and ep/value eq '{}')",
        transaction(event)
    );
    let found = search(session, target, &filter).await?;
    let found = found.into_iter().next();
    found
        .map(|raw| remote(session, target, event, raw))
        .transpose()
}

/// Creates an event. Under a `transactionId` that was used before, Graph returns the event that it
/// made then, wherever it is now; `None` if that is another calendar.
pub(super) async fn create(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    options: WriteOptions,
) -> Result<Option<Event>> {
    let mut body = write::patch(None, event, target.zone)?;
    let name = transaction(event);
    body.insert(
        "singleValueExtendedProperties".to_owned(),
        json!([{ "id": PROPERTY, "value": name }]),
    );
    body.insert("transactionId".to_owned(), name.into());
    if options.wants_conference {
        body.insert("isOnlineMeeting".to_owned(), true.into());
    }
    let body = Value::from(body);
    let path = ["me", "calendars", target.remote_id, "events"];
    let raw = session
        .call(GraphRequest {
            body: Some(&body),
            ..GraphRequest::new(Method::POST, &path)
        })
        .await?;
    if is_of_an_earlier_attempt(session, &raw) {
        let id = raw["id"].as_str().unwrap_or_default();
        if listed(session, target, id).await?.is_none() {
            return Ok(None);
        }
    }
    let mut made = remote(session, target, event, raw)?;
    // If an interrupted run has created the event, Graph returns it as it was then. Changes made
    // since are still to be written.
    let differs = write::patch(Some(&made.event), event, target.zone)?;
    if ["subject", "start", "location", "body"]
        .iter()
        .any(|name| differs.contains_key(*name))
    {
        let options = WriteOptions {
            wants_conference: false,
            ..options
        };
        let updated = update(session, target, &made, event, options).await?;
        return Ok(Some(updated));
    }
    except(session, target, event, &mut made.event).await?;
    Ok(Some(made.event))
}

/// Whether the event that a creation has returned was made by an earlier request. Within a minute
/// it is taken for new: a calendar view may not list a new event yet.
fn is_of_an_earlier_attempt(session: &GraphSession, raw: &Value) -> bool {
    let created = raw["createdDateTime"].as_str();
    let created = created.and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    created.is_some_and(|at| at < session.microsoft.clock.now() - TimeDelta::minutes(1))
}

pub(super) async fn update(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    now: &RemoteEvent,
    event: &Event,
    options: WriteOptions,
) -> Result<Event> {
    let id = now.raw["id"]
        .as_str()
        .ok_or_else(|| malformed(&"an event without an id"))?;
    let mut body = write::patch(Some(&now.event), event, target.zone)?;
    let path = ["me", "calendars", target.remote_id, "events", id];
    if body.contains_key("body") && now.raw["isOnlineMeeting"] == true {
        let description = event.details.description.as_deref().unwrap_or_default();
        body.insert(
            "body".to_owned(),
            beside_meeting(session, &path, description).await?,
        );
    }
    if options.wants_conference && now.raw["isOnlineMeeting"] != true {
        body.insert("isOnlineMeeting".to_owned(), true.into());
    }
    keep_kinds(&mut body, &now.raw);
    if body.is_empty() {
        let mut made = Event {
            id: event.id.clone(),
            ..now.event.clone()
        };
        except(session, target, event, &mut made).await?;
        return Ok(made);
    }
    let (body, version) = (Value::from(body), now.raw["@odata.etag"].as_str());
    let raw = session
        .call(GraphRequest {
            if_match: version,
            body: Some(&body),
            ..GraphRequest::new(Method::PATCH, &path)
        })
        .await?;
    let mut made = remote(session, target, event, raw)?.event;
    if let Some(series) = &mut made.series {
        let kept = now
            .event
            .series
            .as_deref()
            .filter(|_| !write::resets_exceptions(&now.event, event));
        series.except_dates = kept
            .map(|series| series.except_dates.clone())
            .unwrap_or_default();
    }
    except(session, target, event, &mut made).await?;
    Ok(made)
}

/// Keeps the type `resource` of attendees that already have it, such as rooms.
fn keep_kinds(body: &mut serde_json::Map<String, Value>, before: &Value) {
    let rooms = || {
        before["attendees"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| one["type"] == "resource")
    };
    for one in body
        .get_mut("attendees")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if rooms().any(|room| room["emailAddress"]["address"] == one["emailAddress"]["address"]) {
            one["type"] = "resource".into();
        }
    }
}

/// Returns a body with the description above the text of the meeting. That text must not change:
/// without it, nobody can join.
async fn beside_meeting(session: &GraphSession, path: &[&str], description: &str) -> Result<Value> {
    let request = GraphRequest {
        prefer: PREFER_HTML,
        query: vec![("$select", "body".to_owned())],
        ..GraphRequest::get(path)
    };
    let raw = session.call(request).await?;
    let html = raw["body"]["content"].as_str().unwrap_or_default();
    // The block begins with a line of underscores. The HTML element around the line belongs to it.
    let Some(line) = html.find(MEETING_BLOCK) else {
        let message = "the description cannot be split from the meeting text; change it in Outlook";
        return Err(ProviderError::Refused {
            provider: super::NAME,
            reason: Refusal::Field("description".to_owned()),
            message: message.to_owned(),
        });
    };
    let block = html[..line].rfind('<').unwrap_or(line);
    let lines: Vec<String> = description.lines().map(escaped).collect();
    Ok(
        json!({ "contentType": "html", "content": format!("<html><body><div>{}</div>{}", lines.join("<br>"), &html[block..]) }),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Answers an invitation with `accept`, `decline` or `tentativelyAccept`. Returns `None` if the
/// event has left the calendar, which happens when it is declined.
pub(super) async fn respond(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    now: &RemoteEvent,
    response: &RsvpResponse,
) -> Result<Option<Event>> {
    let id = now.raw["id"]
        .as_str()
        .ok_or_else(|| malformed(&"an event without an id"))?;
    let action = match response.status {
        RsvpStatus::Accepted => "accept",
        RsvpStatus::Declined => "decline",
        RsvpStatus::Tentative | RsvpStatus::NeedsAction => "tentativelyAccept",
    };
    let mut body = json!({ "sendResponse": response.notify });
    if let Some(comment) = response.comment.as_deref().filter(|_| response.notify) {
        body["comment"] = comment.into();
    }
    let path = ["me", "calendars", target.remote_id, "events", id];
    session
        .call(GraphRequest {
            body: Some(&body),
            ..GraphRequest::new(Method::POST, &[path.as_slice(), &[action]].concat())
        })
        .await?;
    // Graph moves a declined event to the deleted items, unless the mailbox keeps declined events.
    let after = current(session, target, &now.event, None).await?;
    Ok(after.map(|after| after.event))
}

pub(super) async fn delete(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
) -> Result<()> {
    let known = event.link.as_ref().and_then(|link| link.remote_id.clone());
    let id = match known {
        Some(id) => id,
        // Only a search shows whether an interrupted run has created the event.
        None => match created(session, target, event)
            .await?
            .and_then(|remote| remote.event.link?.remote_id)
        {
            Some(id) => id,
            None => return Ok(()),
        },
    };
    let path = ["me", "calendars", target.remote_id, "events", &id];
    let version = event.link.as_ref().and_then(|link| link.version.as_deref());
    let request = GraphRequest {
        if_match: version,
        ..GraphRequest::new(Method::DELETE, &path)
    };
    match session.call(request).await {
        // The event is already in the deleted items (microsoft-graph-docs#2894).
        Err(ProviderError::Refused {
            reason: Refusal::Other(code),
            ..
        }) if code.eq_ignore_ascii_case("ErrorCannotDeleteObject") => Ok(()),
        answer => found(answer).map(drop),
    }
}
