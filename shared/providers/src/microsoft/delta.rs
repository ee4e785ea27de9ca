//! Delta queries over a calendar view (<https://learn.microsoft.com/graph/api/event-delta>).

use calweave_domain::ids::EventId;
use chrono::SecondsFormat;
use serde_json::Value;

use super::session::{GraphRequest, GraphSession, PREFER_PAGE};
use super::{malformed, read, series};
use crate::{Change, ChangePage, ReadScope, RemoteCalendar, Result};

/// What takes place in a stretch of time, and its changes (<https://learn.microsoft.com/graph/api/event-delta>).
pub(super) const QUERY: &str = "calendarView";

pub(super) async fn changes(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    scope: &ReadScope<'_>,
    page: Option<&str>,
) -> Result<ChangePage> {
    let path = ["me", "calendars", target.remote_id, "calendarView", "delta"];
    let request = match (page, scope) {
        (Some(link), _) => GraphRequest::follow(link),
        (None, ReadScope::Changes(sync_state)) => GraphRequest::follow(&sync_state.token),
        (None, ReadScope::Window { from, to }) => {
            let stamp =
                |at: &chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
            GraphRequest {
                query: vec![("startDateTime", stamp(from)), ("endDateTime", stamp(to))],
                ..GraphRequest::get(&path)
            }
        }
    };
    if page.is_none() {
        session.begin_round();
    }
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
    if page.next_page.is_none() && page.token.is_none() {
        return Err(malformed(&"a list of events without an end"));
    }
    let mut masters: Vec<String> = Vec::new();
    for item in answer["value"].as_array().into_iter().flatten() {
        masters.extend(add_item(&mut page, session, target, item));
    }
    for master in masters {
        series::read_into(&mut page, session, target, &master).await?;
    }
    Ok(page)
}

/// Adds one item of a delta page. Returns the id of a series that has to be read, because the item is the series or one of its
/// occurrences.
fn add_item(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    item: &Value,
) -> Option<String> {
    let id = item["id"].as_str()?;
    if item["@removed"].is_object() {
        page.changes.push(Change::Removed {
            id: EventId::of(target.calendar, id),
            remote_id: id.to_owned(),
        });
        return None;
    }
    // An occurrence comes with few properties, and says that its series has changed.
    let is_series = item["type"] == "seriesMaster" || item["recurrence"].is_object();
    let master = item["seriesMasterId"].as_str().or(is_series.then_some(id));
    if let Some(master) = master {
        // Its occurrences may be spread over several pages; it is read once for all of them.
        return session.is_first_sight(master).then(|| master.to_owned());
    }
    match read::event(session, target, item, None) {
        Ok(event) => page.changes.push(Change::Upserted(Box::new(event))),
        Err(warning) => page.warnings.push(warning),
    }
    None
}
