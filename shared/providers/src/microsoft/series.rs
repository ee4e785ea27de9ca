//! A series as a whole: its rule, what was changed of it, and what was cancelled. Lists of changes show no more of an
//! occurrence than that it is there.

use calweave_domain::event::Event;
use calweave_domain::ids::EventId;
use serde_json::Value;

use super::{GraphRequest, GraphSession, ProviderError, RemoteCalendar, Result, read};
use crate::{Change, ChangePage};

/// All that is read of a series. What was cancelled is told only to whoever names it.
pub(super) const SELECT: &str = "id,changeKey,iCalUId,type,transactionId,subject,body,start,end,isAllDay,originalStartTimeZone,recurrence,location,\
                      showAs,sensitivity,importance,categories,isReminderOn,reminderMinutesBeforeStart,attendees,organizer,isOrganizer,\
                      responseStatus,isCancelled,isOnlineMeeting,onlineMeeting,webLink,cancelledOccurrences";
/// More exceptions than these pages hold nobody has.
const MAX_PAGES: usize = 40;

/// Adds what is there of a series to a page: itself, its changed occurrences, its cancelled ones. Of one that is gone, just
/// that.
pub(super) async fn read_into(
    page: &mut ChangePage,
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    remote_id: &str,
) -> Result<()> {
    let path = ["me", "calendars", target.remote_id, "events", remote_id];
    let mut request = GraphRequest::get(&path);
    request.query = vec![
        ("$select", SELECT.to_owned()),
        ("$expand", "exceptionOccurrences".to_owned()),
    ];
    let raw = match session.call(request).await {
        Ok(raw) => raw,
        Err(ProviderError::NotFound { .. }) => {
            page.changes.push(Change::Removed {
                id: EventId::of(target.calendar, remote_id),
                remote_id: remote_id.to_owned(),
            });
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
    let cancelled = read::cancelled(&raw, series.start);
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

/// Adds the changed occurrences of a series; answers whether all could be read.
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
        match read::event(session, target, item, Some(&series.id)) {
            // Without a time of its own it would stand for the series.
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
