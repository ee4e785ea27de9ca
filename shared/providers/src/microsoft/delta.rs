//! Lists of a calendar's events: delta queries over a calendar view
//! (<https://learn.microsoft.com/graph/api/event-delta>), and the view itself
//! (<https://learn.microsoft.com/graph/api/calendar-list-calendarview>).

use calweave_domain::ids::EventId;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use super::fields::EVENT_FIELDS;
use super::session::{GraphRequest, GraphSession, PREFER_PAGE};
use super::{malformed, read};
use crate::{Change, ChangePage, ReadScope, RemoteCalendar, Result};

/// The name of the query that sync states belong to: a delta query over a calendar view
/// (<https://learn.microsoft.com/graph/api/event-delta>).
pub(super) const QUERY: &str = "calendarView";

pub(super) async fn changes(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    scope: &ReadScope<'_>,
    page: Option<&str>,
) -> Result<ChangePage> {
    let delta = ["me", "calendars", target.remote_id, "calendarView", "delta"];
    let view = &delta[..4];
    let stamp = |at: &DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let request = match (page, scope) {
        (Some(link), _) => GraphRequest::follow(link),
        (None, ReadScope::Changes(sync_state)) => GraphRequest::follow(&sync_state.token),
        (None, ReadScope::Window { from, to }) => GraphRequest {
            query: vec![("startDateTime", stamp(from)), ("endDateTime", stamp(to))],
            ..GraphRequest::get(&delta)
        },
        (None, ReadScope::Snapshot { from, to }) => GraphRequest {
            query: vec![
                ("startDateTime", stamp(from)),
                ("endDateTime", stamp(to)),
                ("$select", EVENT_FIELDS.to_owned()),
                ("$top", "200".to_owned()),
            ],
            ..GraphRequest::get(view)
        },
    };
    let answer = session
        .call(GraphRequest {
            prefer: PREFER_PAGE,
            ..request
        })
        .await?;
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    let mut page = ChangePage {
        next_page: text("@odata.nextLink"),
        token: text("@odata.deltaLink"),
        ..ChangePage::default()
    };
    let ends_with_token = !matches!(scope, ReadScope::Snapshot { .. });
    if ends_with_token && page.next_page.is_none() && page.token.is_none() {
        return Err(malformed(&"a page without a next link or a delta link"));
    }
    for item in answer["value"].as_array().into_iter().flatten() {
        page.entries.push(entry(item));
        add_item(&mut page, session, target, item);
    }
    page.series.sort_unstable();
    page.series.dedup();
    Ok(page)
}

/// The id and the version of an item.
fn entry(item: &Value) -> String {
    let text = |name: &str| item[name].as_str().unwrap_or_default();
    format!("{} {}", text("id"), text("@odata.etag"))
}

/// Adds one item of a page. An occurrence, or the series master itself, means that the series has changed: it is read as a whole.
fn add_item(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    item: &Value,
) {
    let Some(id) = item["id"].as_str() else {
        let warning = "Microsoft sent an event without an id.";
        page.warnings.push(warning.to_owned());
        return;
    };
    if item["@removed"].is_object() {
        page.changes.push(removed(target, id));
        return;
    }
    // A delta page lists an occurrence with few properties.
    let is_series = item["type"] == "seriesMaster" || item["recurrence"].is_object();
    if let Some(master) = item["seriesMasterId"].as_str().or(is_series.then_some(id)) {
        page.series.push(master.to_owned());
        return;
    }
    match read::event(session, target, item, None) {
        Ok(event) => page.changes.push(Change::Upserted(Box::new(event))),
        Err(warning) => {
            page.warnings.push(warning);
            page.unreadable.extend(read::id(target, item));
        }
    }
}

/// The removal of an event or a series.
pub(super) fn removed(target: RemoteCalendar<'_>, remote_id: &str) -> Change {
    Change::Removed {
        id: EventId::of(target.calendar, remote_id),
        remote_id: remote_id.to_owned(),
    }
}
