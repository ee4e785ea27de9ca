//! Keeps the events of a large feed that are nearest to now.

use calweave_domain::agenda::index_position;
use calweave_domain::event::Event;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::Warnings;

/// Maximum number of events of a feed (`docs/api.md`, limits).
pub(super) const MAX_EVENTS: usize = 20_000;

/// Drops the events that are too many: the oldest first, then those that are farthest ahead. A warning says which stretch is
/// left.
pub(super) fn keep_nearest(events: &mut Vec<Event>, now: DateTime<Utc>, warnings: &mut Warnings) {
    let count = events.len();
    if count <= MAX_EVENTS {
        return;
    }
    // Past events come last, and of both kinds the nearest first.
    let distance = |event: &Event| {
        let (start, end) = (event.start.instant(Tz::UTC), end(event));
        if end < now {
            (true, now - end)
        } else {
            (false, (start - now).max(TimeDelta::zero()))
        }
    };
    events.sort_by_cached_key(distance);
    let dropped = events.split_off(MAX_EVENTS);
    let is_past = |event: &&Event| end(event) < now;
    let from = dropped.iter().filter(is_past).map(end).max();
    let to = dropped
        .iter()
        .filter(|event| !is_past(event))
        .map(|event| event.start.instant(Tz::UTC))
        .min();
    let day = |at: DateTime<Utc>| at.date_naive().to_string();
    let stretch = match (from.map(day), to.map(day)) {
        (Some(from), None) => format!("those after {from}"),
        (None, Some(to)) => format!("those before {to}"),
        (from, to) => format!(
            "those between {} and {}",
            from.unwrap_or_default(),
            to.unwrap_or_default()
        ),
    };
    warnings.add(format!(
        "The feed has {count} events. The {MAX_EVENTS} nearest to now are shown: {stretch}."
    ));
    events.sort_by(|a, b| a.id.cmp(&b.id));
}

/// Returns the end of an event, or of the last occurrence of a series.
fn end(event: &Event) -> DateTime<Utc> {
    match event.series {
        Some(_) => index_position(event).1,
        None => event.end.instant(Tz::UTC),
    }
}

#[cfg(test)]
mod tests {
    use calweave_domain::ids::CalendarId;

    use super::super::{FeedTarget, read};
    use super::*;

    #[test]
    fn the_past_goes_first() {
        let now: DateTime<Utc> = "2026-11-21T00:00:00Z".parse().unwrap();
        let event = |number: i64| {
            let start = (now + TimeDelta::hours(number)).format("%Y%m%dT%H%M%SZ");
            format!("BEGIN:VEVENT\nUID:{number}\nDTSTART:{start}\nEND:VEVENT\n")
        };
        let target = FeedTarget {
            calendar: CalendarId::from_bytes([1; 16]),
            zone: Tz::UTC,
            now,
        };
        let shown = |numbers: std::ops::Range<i64>| {
            let events: String = numbers.map(event).collect();
            let series =
                "BEGIN:VEVENT\nUID:s\nDTSTART:20000101T000000Z\nRRULE:FREQ=YEARLY\nEND:VEVENT\n";
            let text = format!("BEGIN:VCALENDAR\n{series}{events}END:VCALENDAR\n");
            let feed = read(text.as_bytes(), None, target).unwrap();
            assert_eq!(feed.events.len(), MAX_EVENTS);
            assert!(
                feed.events.iter().any(|event| event.series.is_some()),
                "a series that goes on"
            );
            let starts = feed.events.iter().filter(|event| event.series.is_none());
            let hours = starts.map(|event| (event.start.instant(Tz::UTC) - now).num_hours());
            let hours: Vec<i64> = hours.collect();
            let warning = feed.warnings.into_vec().pop().unwrap();
            (
                *hours.iter().min().unwrap(),
                *hours.iter().max().unwrap(),
                warning,
            )
        };
        assert_eq!(
            shown(-10_000..15_000),
            (-4_999, 14_999, "The feed has 25001 events. The 20000 nearest to now are shown: those after 2026-04-26.".into())
        );
        assert_eq!(
            shown(-100..21_000),
            (0, 19_998, "The feed has 21101 events. The 20000 nearest to now are shown: those between 2026-11-20 and 2029-03-03.".into())
        );
    }
}
