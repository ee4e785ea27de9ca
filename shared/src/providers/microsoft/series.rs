//! A series as a whole: its rule, what was changed of it, and what was cancelled. Lists of changes show no more of an
//! occurrence than that it is there.

use serde_json::Value;

use super::{ProviderError, Request, Result, Session, Target, read};
use crate::domain::event::Event;
use crate::domain::ids::EventId;
use crate::providers::Change;

/// All that is read of a series. What was cancelled is told only to whoever names it.
const SELECT: &str = "id,changeKey,iCalUId,type,transactionId,subject,body,start,end,isAllDay,originalStartTimeZone,recurrence,location,\
                      showAs,sensitivity,importance,categories,isReminderOn,reminderMinutesBeforeStart,attendees,organizer,isOrganizer,\
                      responseStatus,isCancelled,isOnlineMeeting,onlineMeeting,webLink,cancelledOccurrences";
/// More exceptions than these pages hold nobody has.
const MAX_PAGES: usize = 40;

/// What is there of a series: itself, its changed occurrences, its cancelled ones. Of one that is gone, just that.
pub(super) async fn changes(session: &Session, target: Target<'_>, remote_id: &str, warnings: &mut Vec<String>) -> Result<Vec<Change>> {
    let path = ["me", "calendars", target.remote_id, "events", remote_id];
    let mut request = Request::get(&path);
    request.query = vec![("$select", SELECT.to_owned()), ("$expand", "exceptionOccurrences".to_owned())];
    let raw = match session.call(request).await {
        Ok(raw) => raw,
        Err(ProviderError::NotFound { .. }) => {
            return Ok(vec![Change::Gone { id: EventId::of(target.calendar, remote_id), remote_id: remote_id.to_owned() }]);
        }
        Err(error) => return Err(error),
    };
    let mut changes = Vec::new();
    let series = match read::event(session, target, &raw, None) {
        Ok(series) => series,
        Err(warning) => {
            warnings.push(warning);
            return Ok(changes);
        }
    };
    let cancelled = read::cancelled(&raw, series.start);
    changes.extend(cancelled.into_iter().map(|original| Change::Cancelled { series: series.id.clone(), original }));
    let mut put = |items: &Value, series: &Event| {
        for item in items.as_array().into_iter().flatten() {
            match read::event(session, target, item, Some(&series.id)) {
                // Without a time of its own it would stand for the series.
                Ok(event) if event.original_start().is_some() => changes.push(Change::Put(Box::new(event))),
                Ok(_) => {}
                Err(warning) => warnings.push(warning),
            }
        }
    };
    put(&raw["exceptionOccurrences"], &series);
    let mut next = raw["exceptionOccurrences@odata.nextLink"].as_str().map(str::to_owned);
    for _ in 0..MAX_PAGES {
        let Some(link) = next.take() else { break };
        let page = session.call(Request::follow(&link)).await?;
        put(&page["value"], &series);
        next = page["@odata.nextLink"].as_str().map(str::to_owned);
    }
    changes.push(Change::Put(Box::new(series)));
    Ok(changes)
}
