//! Reads a whole series: its rule, its exceptions and its cancelled occurrences. A delta page tells
//! no more about an occurrence than that it exists.

use std::collections::HashMap;

use calweave_domain::event::Event;
use reqwest::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::delta::removed;
use super::fields::{EVENT_FIELDS, SERIES_FIELDS};
use super::session::{PREFER, escaped_segment};
use super::{GraphRequest, GraphSession, ProviderError, RemoteCalendar, Result, occurrence, read};
use crate::{Change, ChangePage};

/// The maximum number of pages of exceptions to read. No series is expected to have more.
const MAX_PAGES: usize = 40;

/// Reads series, several of them by one batch
/// (<https://learn.microsoft.com/graph/json-batching>). Graph answers each request of a batch by itself: one that it throttles
/// or fails is sent again alone.
pub(super) async fn read_all(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_ids: &[String],
) -> Result<ChangePage> {
    let mut page = ChangePage::default();
    let mut answers = match remote_ids {
        [] | [_] => HashMap::new(),
        several => batch(session, target, several).await?,
    };
    for remote_id in remote_ids {
        let raw = match answers.remove(remote_id.as_str()) {
            Some(answer) => answer,
            None => get(session, target, remote_id).await?,
        };
        match raw {
            Some(raw) => add(&mut page, session, target, remote_id, &raw).await?,
            None => page.changes.push(removed(target, remote_id)),
        }
    }
    Ok(page)
}

/// The query options that select all of a series.
fn options() -> Vec<(&'static str, String)> {
    let expand = format!("exceptionOccurrences($select={EVENT_FIELDS})");
    vec![
        ("$select", format!("{SERIES_FIELDS},exceptionOccurrences")),
        ("$expand", expand),
    ]
}

/// Reads a series; `None` if it does not exist.
async fn get(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_id: &str,
) -> Result<Option<Value>> {
    let path = ["me", "calendars", target.remote_id, "events", remote_id];
    let mut request = GraphRequest::get(&path);
    request.query = options();
    match session.call(request).await {
        Ok(raw) => Ok(Some(raw)),
        Err(ProviderError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads series by one batch. Returns those that Graph has answered for good, by remote id; `None` for one that does not exist.
async fn batch<'a>(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_ids: &'a [String],
) -> Result<HashMap<&'a str, Option<Value>>> {
    let options = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(options())
        .finish();
    let calendar = escaped_segment(target.remote_id);
    let request = |(index, id): (usize, &String)| {
        let id = escaped_segment(id);
        let url = format!("/me/calendars/{calendar}/events/{id}?{options}");
        json!({ "id": index.to_string(), "method": "GET", "url": url, "headers": { "Prefer": PREFER } })
    };
    let requests: Vec<Value> = remote_ids.iter().enumerate().map(request).collect();
    let body = json!({ "requests": requests });
    let path = ["$batch"];
    let mut answer = session
        .call(GraphRequest {
            body: Some(&body),
            ..GraphRequest::new(Method::POST, &path)
        })
        .await?;
    let mut found = HashMap::new();
    let responses = answer["responses"].as_array_mut();
    for response in responses.into_iter().flatten() {
        let index = response["id"]
            .as_str()
            .and_then(|id| id.parse::<usize>().ok());
        let Some(remote_id) = index.and_then(|index| remote_ids.get(index)) else {
            continue;
        };
        let body = match response["status"].as_u64() {
            Some(200) if response["body"].is_object() => Some(response["body"].take()),
            Some(404 | 410) => None,
            _ => continue,
        };
        found.insert(remote_id.as_str(), body);
    }
    Ok(found)
}

/// Adds a series to a page: the series master, its exceptions and its cancelled occurrences.
async fn add(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_id: &str,
    raw: &Value,
) -> Result<()> {
    let series = match read::event(session, target, raw, None) {
        Ok(series) => series,
        Err(warning) => {
            page.warnings.push(warning);
            page.unreadable.extend(read::id(target, raw));
            return Ok(());
        }
    };
    let cancelled = occurrence::cancelled(raw, series.start);
    page.changes.extend(
        cancelled
            .into_iter()
            .map(|original| Change::OccurrenceCancelled {
                series: series.id.clone(),
                original,
            }),
    );
    let mut is_whole = put(page, session, target, &raw["exceptionOccurrences"], &series);
    let mut next = raw["exceptionOccurrences@odata.nextLink"]
        .as_str()
        .map(str::to_owned);
    for _ in 0..MAX_PAGES {
        let Some(link) = next.take() else { break };
        let more = session.call(GraphRequest::follow(&link)).await?;
        is_whole &= put(page, session, target, &more["value"], &series);
        next = more["@odata.nextLink"].as_str().map(str::to_owned);
    }
    if !is_whole || next.is_some() {
        page.partial.push(remote_id.to_owned());
    }
    page.changes.push(Change::Upserted(Box::new(series)));
    Ok(())
}

/// Adds the exceptions of a series. Returns whether all of them could be read.
fn put(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    items: &Value,
    series: &Event,
) -> bool {
    let Some(items) = items.as_array() else {
        return false;
    };
    let mut is_whole = true;
    for item in items {
        match read::event(session, target, item, Some(series)) {
            // Without an original start, an exception would be mistaken for the series itself.
            Ok(event) if event.original_start().is_some() => {
                page.changes.push(Change::Upserted(Box::new(event)));
            }
            Ok(_) => is_whole = false,
            Err(warning) => {
                is_whole = false;
                page.warnings.push(warning);
            }
        }
    }
    is_whole
}
