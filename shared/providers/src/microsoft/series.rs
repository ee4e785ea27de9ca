//! Reads a whole series: its rule, its exceptions and its cancelled occurrences. A delta page tells
//! no more about an occurrence than that it exists.

use calweave_domain::event::Event;
use calweave_domain::ids::EventId;
use serde_json::Value;

use super::fields::{EVENT_FIELDS, SERIES_FIELDS};
use super::{
    GraphRequest, GraphSession, ProviderError, RemoteCalendar, Result, events, occurrence, read,
};
use crate::{Change, ChangePage};

/// The maximum number of pages of exceptions to read. No series is expected to have more.
const MAX_PAGES: usize = 40;

/// Reads series of the calendar. One that it no longer contains comes as a removal, even if its id
/// still finds it among the deleted items.
pub(super) async fn read_all(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    all: &[Event],
) -> Result<ChangePage> {
    let mut page = ChangePage::default();
    for series in all {
        let link = series.link.as_ref();
        let Some(known) = link.and_then(|link| link.remote_id.as_deref()) else {
            continue;
        };
        match events::current_id(session, target, series, known).await? {
            Some(id) => read_into(&mut page, session, target, &id).await?,
            None => page.changes.push(removed(target, known)),
        }
    }
    Ok(page)
}

fn removed(target: RemoteCalendar<'_>, remote_id: &str) -> Change {
    Change::Removed {
        id: EventId::of(target.calendar, remote_id),
        remote_id: remote_id.to_owned(),
    }
}

/// Adds a series to a page: the series master, its exceptions and its cancelled occurrences. If the
/// series no longer exists, adds only its removal.
pub(super) async fn read_into(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_id: &str,
) -> Result<()> {
    let path = ["me", "calendars", target.remote_id, "events", remote_id];
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("$select", format!("{SERIES_FIELDS},exceptionOccurrences")),
        (
            "$expand",
            format!("exceptionOccurrences($select={EVENT_FIELDS})"),
        ),
    ];
    let raw = match session.call(request).await {
        Ok(raw) => raw,
        Err(ProviderError::NotFound { .. }) => {
            page.changes.push(removed(target, remote_id));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let series = match read::event(session, target, &raw, None) {
        Ok(series) => series,
        Err(warning) => {
            page.warnings.push(warning);
            return Ok(());
        }
    };
    let cancelled = occurrence::cancelled(&raw, series.start);
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
