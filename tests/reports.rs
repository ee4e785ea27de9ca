//! Feeds that public bug reports are about, each with its right answer (`tests/data/reports.jsonl`).

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::agenda::{Occurrence, Window, occurrences};
use shared::domain::ids::CalendarId;
use shared::domain::time::EventTime;
use shared::feeds::{self, FeedTarget};

use crate::data::{cases, folder, own};

/// Whether a time is the one that is wanted: the same instant, or the same date or wall-clock time.
fn is_time(at: EventTime, wanted: &str) -> bool {
    match (at, DateTime::parse_from_rfc3339(wanted)) {
        (EventTime::Zoned(..), Ok(wanted)) => at.instant(Tz::UTC) == wanted,
        (EventTime::Zoned(..), Err(_)) | (_, Ok(_)) => false,
        (at, Err(_)) => at.to_string() == wanted,
    }
}

/// Whether an occurrence is the one that is wanted, as `start`, `start/end` or either with a title.
fn is_wanted(one: &Occurrence<'_>, wanted: &str) -> bool {
    let (times, title) = wanted
        .split_once(' ')
        .map_or((wanted, None), |(times, title)| (times, Some(title)));
    let (start, end) = times
        .split_once('/')
        .map_or((times, None), |(start, end)| (start, Some(end)));
    is_time(one.start, start)
        && end.is_none_or(|end| is_time(one.end, end))
        && title.is_none_or(|title| title == one.event.details.title)
}

/// Returns what is wrong with how a case is read, if anything.
fn fault(case: &Value) -> Option<String> {
    let text = |name: &str| case[name].as_str().unwrap();
    let zone: Tz = text("tz").parse().unwrap();
    let target = FeedTarget {
        calendar: CalendarId::from_bytes([1; 16]),
        zone,
        now: "2026-11-21T00:00:00Z".parse().unwrap(),
    };
    let feed = match feeds::read(text("ics").as_bytes(), None, target) {
        Ok(feed) => feed,
        Err(error) => return Some(error.to_string()),
    };
    let day = |index: usize| -> DateTime<Utc> {
        let date: NaiveDate = case["window"][index].as_str().unwrap().parse().unwrap();
        date.and_hms_opt(0, 0, 0).unwrap().and_utc()
    };
    let window = Window {
        start: day(0),
        end: day(1),
        zone,
    };
    let visible = feed
        .events
        .iter()
        .filter(|event| event.details.status != shared::domain::details::EventStatus::Cancelled);
    let found: Vec<_> = visible
        .flat_map(|event| occurrences(event, &window).0)
        .collect();
    let mut left: Vec<&Occurrence<'_>> = found.iter().collect();
    for wanted in case["want"].as_array().unwrap() {
        let wanted = wanted.as_str().unwrap();
        match left.iter().position(|one| is_wanted(one, wanted)) {
            Some(at) => drop(left.remove(at)),
            None => {
                let shown: Vec<String> = found
                    .iter()
                    .map(|one| format!("{}/{} {}", one.start, one.end, one.event.details.title))
                    .collect();
                return Some(format!(
                    "{wanted} is missing from {shown:?} {:?}",
                    feed.warnings.into_vec()
                ));
            }
        }
    }
    if let Some(more) = left.first() {
        return Some(format!(
            "{} {:?} is not wanted",
            more.start, more.event.details.title
        ));
    }
    for (title, fields) in case["fields"].as_object().into_iter().flatten() {
        let event = feed
            .events
            .iter()
            .find(|event| event.details.title == *title)?;
        let shown = serde_json::to_value(&event.details).unwrap();
        for (name, wanted) in fields.as_object().unwrap() {
            if shown.get(name).unwrap_or(&json!(null)) != wanted {
                return Some(format!(
                    "{name} of {title} is {} and not {wanted}",
                    shown[name]
                ));
            }
        }
    }
    None
}

fn check(cases: &[Value], open: &[&str]) {
    let mut faults = Vec::new();
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let fault = fault(case);
        match (fault, open.contains(&id)) {
            (Some(fault), false) => faults.push(format!("{id} ({}): {fault}", case["source"])),
            (None, true) => faults.push(format!("{id} is read right now: take it off the list")),
            _ => {}
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn feeds_of_public_reports() {
    let cases = cases(&own(), "reports.jsonl");
    assert!(cases.len() >= 130, "{}", cases.len());
    check(&cases, &OPEN);
}

/// Kinds that are not read right yet, or where docs/api.md makes another choice.
const OPEN: [&str; 21] = [
    "all-day-override-named-by-instant-of-local-midnight",
    "exdate-of-a-newer-version-than-the-override",
    "utc-times-without-seconds",
    "value-says-date-and-the-value-has-hours",
    "days-as-duration-over-the-change-of-clocks",
    "two-calendars-with-two-default-zones",
    "zone-with-a-parameter-inside-the-quotes",
    "zone-offsets-without-sign",
    "windows-name-for-a-zone-without-summer-time",
    "leap-day-with-skip",
    "rule-in-the-chinese-calendar",
    "exception-inside-the-rule",
    "exceptions-without-separators",
    "alarm-without-length",
    "alarm-at-an-instant-without-value",
    "organizer-with-email-parameter",
    "organizer-with-a-colon-for-the-equals-sign",
    "quoted-printable-without-charset",
    "quoted-printable-over-several-lines",
    "folds-with-a-no-break-space",
    "tentative-only-by-microsofts-word",
];

#[test]
fn feeds_of_public_reports_with_one_right_answer() {
    let Some(folder) = folder() else { return };
    check(&cases(&folder, "cases/reports.jsonl"), &[]);
}
