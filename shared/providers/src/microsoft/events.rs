//! Events of one calendar: always by the calendar's own path, as the short one knows nothing of shared calendars.

use calweave_domain::details::RsvpStatus;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_domain::link::RsvpResponse;
use calweave_domain::time::to_instant;
use chrono::{SecondsFormat, TimeDelta};
use chrono_tz::Tz;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::ids;
use super::read::MEETING_BLOCK;
use super::{
    GraphRequest, GraphSession, PREFER_HTML, ProviderError, Refusal, RemoteCalendar, RemoteEvent,
    Result, WriteOptions, malformed, read, series, write,
};

/// Names an event of ours once more, where it can be searched for.
const PROPERTY: &str = "String {2f9d6c52-5b0e-4c1a-9c1f-7f2d8a4e6b31} Name calweave";

pub(super) async fn current(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    series: Option<&str>,
) -> Result<Option<RemoteEvent>> {
    let known = event
        .link
        .as_ref()
        .and_then(|link| link.remote_id.as_deref());
    let raw = match (known, event.original_start(), series) {
        (Some(id), original, _) => {
            let path = ["me", "calendars", target.remote_id, "events", id];
            let mut request = GraphRequest::get(&path);
            if event.series.is_some() {
                request.query = vec![("$select", series::SELECT.to_owned())];
            }
            match found(session.call(request).await)? {
                Some(raw) => Some(raw),
                // It may have another name by now.
                None if original.is_none() && event.uid != event.id.to_string() => {
                    search(
                        session,
                        target,
                        &format!("iCalUId eq '{}'", quoted(&event.uid)),
                    )
                    .await?
                }
                None => None,
            }
        }
        (None, Some(original), Some(series)) => instance(session, target, series, original).await?,
        (None, None, _) => return created(session, target, event).await,
        _ => None,
    };
    raw.map(|raw| remote(session, target, event, raw))
        .transpose()
}

/// `None` for what is not there.
fn found(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(raw) => Ok(Some(raw)),
        Err(ProviderError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What Microsoft says of `event`. A series that was read by itself says which occurrences are cancelled; otherwise those are
/// that both sides have agreed on. Of changed ones it says nothing.
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
        series.overridden = read::cancelled(&raw, read.start);
    }
    read::keep_equivalents(event, &mut read);
    if let (Some(series), Some(known)) = (&mut read.series, &event.series) {
        if !raw["cancelledOccurrences"].is_array() {
            series.except_dates = agreed(event);
        }
        series.overridden.clone_from(&known.overridden);
    }
    read.hash();
    Ok(RemoteEvent { event: read, raw })
}

/// The exceptions of a series that Microsoft knows of, as far as is known here.
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

/// The first event of a calendar that a filter finds.
async fn search(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    filter: &str,
) -> Result<Option<Value>> {
    let path = ["me", "calendars", target.remote_id, "events"];
    let mut answer = session
        .call(GraphRequest {
            query: vec![("$filter", filter.to_owned())],
            ..GraphRequest::get(&path)
        })
        .await?;
    Ok(answer
        .get_mut("value")
        .and_then(|found| found.get_mut(0))
        .map(Value::take))
}

/// The occurrence of a series that its rule places at `original`.
async fn instance(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    series: &str,
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
    let at = match original {
        OriginalStart::Date(date) => date.and_time(chrono::NaiveTime::MIN).and_utc(),
        OriginalStart::Instant(at) => at,
        OriginalStart::Floating(local) => to_instant(local, target.zone),
    };
    let stamp = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("startDateTime", stamp(at - TimeDelta::days(1))),
        ("endDateTime", stamp(at + TimeDelta::days(2))),
    ];
    let mut answer = found(session.call(request).await)?.unwrap_or_default();
    loop {
        let own = EventId::of(target.calendar, series);
        for item in answer["value"].as_array().into_iter().flatten() {
            let Ok(event) = read::event(session, target, item, Some(&own)) else {
                continue;
            };
            let placed = event
                .original_start()
                .unwrap_or_else(|| event.start.original_start());
            if is_same(placed, original, event.start.zone().unwrap_or(target.zone)) {
                return Ok(Some(item.clone()));
            }
        }
        let Some(next) = answer["@odata.nextLink"].as_str().map(str::to_owned) else {
            return Ok(None);
        };
        answer = session.call(GraphRequest::follow(&next)).await?;
    }
}

/// Whether an occurrence is the one that is meant; a date means whatever falls on it.
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

/// Gives what was made at Microsoft the exceptions of `event`. There are none in a recurrence: each occurrence that is not
/// cancelled yet is removed by itself. One that was removed before is not found.
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
        let occurrence = instance(session, target, &id, *original).await?;
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

/// The name under which an event is created.
fn transaction(event: &Event) -> String {
    ids::remote_id(
        &event.id,
        event.link.as_ref().map_or(0, |link| link.generation),
    )
}

pub(super) async fn created(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
) -> Result<Option<RemoteEvent>> {
    let filter = format!(
        "singleValueExtendedProperties/Any(ep: ep/id eq '{PROPERTY}' and ep/value eq '{}')",
        transaction(event)
    );
    search(session, target, &filter)
        .await?
        .map(|raw| remote(session, target, event, raw))
        .transpose()
}

pub(super) async fn create(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    options: WriteOptions,
) -> Result<Event> {
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
    let mut made = remote(session, target, event, raw)?;
    // What an interrupted run has made is given back as it was then; what was changed since is still to be written.
    let differs = write::patch(Some(&made.event), event, target.zone)?;
    if ["subject", "start", "location", "body"]
        .iter()
        .any(|name| differs.contains_key(*name))
    {
        return update(
            session,
            target,
            &made,
            event,
            WriteOptions {
                wants_conference: false,
                ..options
            },
        )
        .await;
    }
    except(session, target, event, &mut made.event).await?;
    Ok(made.event)
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

/// A room that is invited stays a room.
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

/// A description above the text of the meeting, which has to stay as it is: without it nobody can join.
async fn beside_meeting(session: &GraphSession, path: &[&str], description: &str) -> Result<Value> {
    let request = GraphRequest {
        prefer: PREFER_HTML,
        query: vec![("$select", "body".to_owned())],
        ..GraphRequest::get(path)
    };
    let raw = session.call(request).await?;
    let html = raw["body"]["content"].as_str().unwrap_or_default();
    // The block begins with a line of its own; what stands around the line belongs to it.
    let Some(line) = html.find(MEETING_BLOCK) else {
        let message = "the description cannot be told from the meeting's; change it in Outlook";
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

/// `accept`, `decline` or `tentativelyAccept`. What is declined goes from the calendar.
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
    match found(session.call(GraphRequest::get(&path)).await)? {
        Some(raw) => Ok(Some(remote(session, target, &now.event, raw)?.event)),
        None => Ok(None),
    }
}

pub(super) async fn delete(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    event: &Event,
) -> Result<()> {
    let known = event.link.as_ref().and_then(|link| link.remote_id.clone());
    let id = match known {
        Some(id) => id,
        // Whether an interrupted run has made it, only a search tells.
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
    found(
        session
            .call(GraphRequest {
                if_match: version,
                ..GraphRequest::new(Method::DELETE, &path)
            })
            .await,
    )
    .map(drop)
}
