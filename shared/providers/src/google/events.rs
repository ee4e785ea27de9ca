//! Calls the methods of the `events` resource
//! (<https://developers.google.com/calendar/api/v3/reference/events>).

use calweave_domain::event::Event;
use calweave_domain::ids::OriginalStart;
use calweave_domain::link::{RsvpResponse, SendUpdates};
use chrono::{NaiveTime, SecondsFormat};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    ChangePage, GoogleRequest, GoogleSession, ProviderError, ReadScope, RemoteCalendar,
    RemoteEvent, Result, WriteOptions, ids, malformed, read, write,
};

/// The query is for series masters and exceptions (`singleEvents=false`). Calweave expands the
/// series. A change of a series is therefore one item, and a series without an end does not make
/// the list endless.
pub(super) const QUERY: &str = "series";
/// The largest page size that Google accepts in `maxResults`.
const PAGE: &str = "2500";
/// Sent with every create and update. Without this parameter, Google ignores the conference data in
/// the request body.
const CONFERENCES: (&str, &str) = ("conferenceDataVersion", "1");

/// Reads one page of events. `page` is the page token of the previous page.
///
/// # Errors
/// [`ProviderError::Malformed`] if the page has neither a page token nor a sync token.
pub(super) async fn list(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    scope: &ReadScope<'_>,
    page: Option<&str>,
) -> Result<ChangePage> {
    let path = ["calendars", target.remote_id, "events"];
    let mut request = GoogleRequest::get(&path);
    request.query = vec![
        ("maxResults", PAGE.to_owned()),
        ("singleEvents", "false".to_owned()),
        ("showDeleted", "true".to_owned()),
    ];
    match scope {
        ReadScope::Window { from, to } | ReadScope::Snapshot { from, to } => {
            let stamp =
                |at: &chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
            request
                .query
                .extend([("timeMin", stamp(from)), ("timeMax", stamp(to))]);
        }
        ReadScope::Changes(sync_state) => {
            request.query.push(("syncToken", sync_state.token.clone()));
        }
    }
    request
        .query
        .extend(page.map(|page| ("pageToken", page.to_owned())));
    let answer = session.call(request).await?;
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let mut page = ChangePage {
        next_page: text("nextPageToken"),
        token: text("nextSyncToken"),
        ..ChangePage::default()
    };
    if page.next_page.is_none() && page.token.is_none() {
        return Err(malformed(&"a last page without a sync token"));
    }
    for item in answer["items"].as_array().into_iter().flatten() {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        page.entries
            .push(format!("{} {}", text("id"), text("etag")));
        match read::change(target, item) {
            Ok(change) => page.changes.push(change),
            Err(warning) => {
                page.warnings.push(warning);
                page.unreadable.extend(read::id(target, item));
            }
        }
    }
    Ok(page)
}

/// Reads the current state of an event. An occurrence without a remote id is looked up in the
/// series with the remote id `series`, by its original start. Returns `None` if the event does not
/// exist.
pub(super) async fn current(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    series: Option<&str>,
) -> Result<Option<RemoteEvent>> {
    let known = event
        .link
        .as_ref()
        .and_then(|link| link.remote_id.as_deref());
    let answer = match (known, event.original_start(), series) {
        (Some(id), ..) => {
            let path = ["calendars", target.remote_id, "events", id];
            session.call(GoogleRequest::get(&path)).await
        }
        (None, Some(original), Some(series)) => instance(session, target, series, original).await,
        _ => return Ok(None),
    };
    read_one(target, answer)
}

/// Reads the event that an earlier call of [`create`] may have created. Returns `None` if it does
/// not exist.
pub(super) async fn created(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    event: &Event,
) -> Result<Option<RemoteEvent>> {
    let generation = event.link.as_ref().map_or(0, |link| link.generation);
    read_one(
        target,
        session
            .call(GoogleRequest::get(&[
                "calendars",
                target.remote_id,
                "events",
                &ids::remote_id(&event.id, generation),
            ]))
            .await,
    )
}

/// Converts the response to a request for one event. Returns `None` if the event is deleted.
fn read_one(target: RemoteCalendar<'_>, answer: Result<Value>) -> Result<Option<RemoteEvent>> {
    match answer {
        Ok(raw) if raw.is_null() || raw["status"] == "cancelled" => Ok(None),
        Ok(raw) => {
            let event = read::event(target, &raw).map_err(|warning| malformed(&warning))?;
            Ok(Some(RemoteEvent { event, raw }))
        }
        Err(ProviderError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the occurrence of a series whose original start is `original`. Returns null if there is
/// none.
async fn instance(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    series: &str,
    original: OriginalStart,
) -> Result<Value> {
    let path = ["calendars", target.remote_id, "events", series, "instances"];
    let mut request = GoogleRequest::get(&path);
    let instant = |original: OriginalStart| match original {
        OriginalStart::Date(date) => date.and_time(NaiveTime::MIN).and_utc(),
        OriginalStart::Instant(at) => at,
        OriginalStart::Floating(local) => calweave_domain::time::to_instant(local, target.zone),
    };
    let asked = match original {
        OriginalStart::Date(date) => date.to_string(),
        _ => instant(original).to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    request.query = vec![("originalStart", asked)];
    let mut answer = session.call(request).await?;
    let items = answer.get_mut("items").and_then(Value::as_array_mut);
    // Google may return the nearest instance: another occurrence than the one that is meant.
    let is_it = |item: &&mut Value| {
        let placed = read::original_start(target, item);
        placed.is_none_or(|placed| instant(placed) == instant(original))
    };
    let found = items.into_iter().flatten().find(is_it);
    Ok(found.map_or(Value::Null, Value::take))
}

/// Creates an event under the id that [`ids::remote_id`] derives. Creating it twice therefore makes
/// one event.
pub(super) async fn create(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    options: WriteOptions,
) -> Result<Option<Event>> {
    let generation = event.link.as_ref().map_or(0, |link| link.generation);
    let mut body = json!({ "id": ids::remote_id(&event.id, generation) });
    write::overlay(&mut body, None, event, target.zone);
    if options.wants_conference {
        let solution = json!({ "type": "hangoutsMeet" });
        body["conferenceData"] = json!({ "createRequest": { "requestId": body["id"].clone(), "conferenceSolutionKey": solution } });
    }
    let path = ["calendars", target.remote_id, "events"];
    let request = GoogleRequest {
        query: query(options),
        body: Some(&body),
        ..GoogleRequest::new(Method::POST, &path)
    };
    let raw = session.call(request).await?;
    let made = read::event(target, &raw).map_err(|warning| malformed(&warning))?;
    Ok(Some(made))
}

/// Replaces an event. `now` is its current state at Google. The request has the ETag of that state
/// in `If-Match`.
pub(super) async fn update(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    now: &RemoteEvent,
    event: &Event,
    options: WriteOptions,
) -> Result<Event> {
    let id = now.raw["id"]
        .as_str()
        .ok_or_else(|| malformed(&"an event without an id"))?;
    let mut body = now.raw.clone();
    write::overlay(&mut body, Some(&now.event), event, target.zone);
    if options.wants_conference && body.get("conferenceData").is_none() {
        let request_id = format!(
            "{id}{}",
            event.link.as_ref().map_or(0, |link| link.revision)
        );
        let solution = json!({ "type": "hangoutsMeet" });
        body["conferenceData"] = json!({ "createRequest": { "requestId": request_id, "conferenceSolutionKey": solution } });
    }
    let path = ["calendars", target.remote_id, "events", id];
    let request = GoogleRequest {
        query: query(options),
        if_match: now.raw["etag"].as_str(),
        body: Some(&body),
        ..GoogleRequest::new(Method::PUT, &path)
    };
    let raw = session.call(request).await?;
    read::event(target, &raw).map_err(|warning| malformed(&warning))
}

/// Writes the account's own response to an invitation. With `attendeesOmitted`, Google leaves the
/// other attendees as they are.
///
/// # Errors
/// [`ProviderError::NotFound`] if the account is not an attendee.
pub(super) async fn respond(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    now: &RemoteEvent,
    response: &RsvpResponse,
) -> Result<Option<Event>> {
    let id = now.raw["id"]
        .as_str()
        .ok_or_else(|| malformed(&"an event without an id"))?;
    let attendees = now.raw["attendees"].as_array().into_iter().flatten();
    let mut own = attendees
        .clone()
        .find(|one| one["self"] == true)
        .cloned()
        .ok_or(ProviderError::NotFound {
            provider: super::NAME,
        })?;
    own["responseStatus"] = write::response(response.status).into();
    if let Some(comment) = &response.comment {
        own["comment"] = comment.as_str().into();
    }
    let body = json!({ "attendees": [own], "attendeesOmitted": true });
    let send_updates = if response.notify {
        SendUpdates::All
    } else {
        SendUpdates::None
    };
    let path = ["calendars", target.remote_id, "events", id];
    let query = query(WriteOptions {
        send_updates,
        wants_conference: false,
    });
    let request = GoogleRequest {
        query,
        if_match: now.raw["etag"].as_str(),
        body: Some(&body),
        ..GoogleRequest::new(Method::PATCH, &path)
    };
    let raw = session.call(request).await?;
    read::event(target, &raw)
        .map(Some)
        .map_err(|warning| malformed(&warning))
}

/// Deletes an event. Succeeds if the event does not exist.
pub(super) async fn delete(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    event: &Event,
    options: WriteOptions,
) -> Result<()> {
    let Some(link) = &event.link else {
        return Ok(());
    };
    let derived;
    let id = match &link.remote_id {
        Some(id) => id,
        None => {
            derived = ids::remote_id(&event.id, link.generation);
            &derived
        }
    };
    let path = ["calendars", target.remote_id, "events", id];
    let mut request = GoogleRequest {
        if_match: link.version.as_deref(),
        ..GoogleRequest::new(Method::DELETE, &path)
    };
    request
        .query
        .push(("sendUpdates", send_updates(options.send_updates).to_owned()));
    match session.call(request).await {
        Ok(_) | Err(ProviderError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Returns the query parameters of a write.
fn query(options: WriteOptions) -> Vec<(&'static str, String)> {
    let (name, value) = CONFERENCES;
    vec![
        ("sendUpdates", send_updates(options.send_updates).to_owned()),
        (name, value.to_owned()),
    ]
}

fn send_updates(whom: SendUpdates) -> &'static str {
    match whom {
        SendUpdates::All => "all",
        SendUpdates::ExternalOnly => "externalOnly",
        SendUpdates::None => "none",
    }
}
