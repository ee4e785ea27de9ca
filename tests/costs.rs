//! Small feeds that are made to cost much. What they cost is printed by `cargo bench -p local --bench figures -- hostile`;
//! here they are read, stored and shown as what they are.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use shared::domain::agenda::{Window, occurrences};
use shared::domain::event::Event;
use shared::domain::ids::CalendarId;
use shared::feeds::{self, Feed, FeedTarget};

fn read(text: &str) -> Feed {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    let target = FeedTarget {
        calendar: CalendarId::from_bytes([1; 16]),
        zone: Tz::UTC,
        now,
    };
    feeds::read(text.as_bytes(), None, target).unwrap()
}

fn feed(start: &str, rule: &str, count: usize) -> String {
    let mut text = String::from("BEGIN:VCALENDAR\r\n");
    for number in 0..count {
        let _ = write!(
            text,
            "BEGIN:VEVENT\r\nUID:{number}\r\nDTSTART{start}\r\nDURATION:PT1H\r\nRRULE:{rule}\r\nSUMMARY:x\r\nEND:VEVENT\r\n"
        );
    }
    text + "END:VCALENDAR\r\n"
}

fn all(from: u8, to: u8) -> String {
    let numbers: Vec<String> = (from..=to).map(|number| number.to_string()).collect();
    numbers.join(",")
}

fn week(event: &Event) -> (usize, bool) {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let window = Window {
        start: at("2026-03-02T00:00:00Z"),
        end: at("2026-03-09T00:00:00Z"),
        zone: Tz::UTC,
    };
    let (found, is_cut) = occurrences(event, &window);
    (found.len(), is_cut)
}

#[test]
fn lists_that_repeat_themselves_are_sets() {
    let (hours, minutes) = (all(0, 23), all(0, 59));
    let often = [hours.as_str(); 12].join(",");
    let rule = format!("FREQ=DAILY;BYHOUR={often};BYMINUTE={minutes},{minutes};BYSECOND={minutes}");
    let feed = read(&feed(":20260101T000000", &rule, 1));
    let series = feed.events[0].series.as_ref().unwrap();
    assert_eq!(series.rules[0].by_hour.len(), 24);
    assert!(series.rules[0].to_string().len() < 512);
    // There are 604,800 starts in a week. A list shows the first 5,000, and goes on from there; one ends as the week begins.
    assert_eq!(week(&feed.events[0]), (4_999, false));
}

#[test]
fn a_count_of_billions_is_not_counted_through() {
    let (hours, minutes) = (all(0, 23), all(0, 59));
    let rule =
        format!("FREQ=DAILY;COUNT=4294967295;BYHOUR={hours};BYMINUTE={minutes};BYSECOND={minutes}");
    let feed = read(&feed(":19000101T000000", &rule, 1));
    assert_eq!(week(&feed.events[0]), (4_999, false));
    assert!(feed.warnings.into_vec().is_empty());
}

#[test]
fn rules_that_never_yield_anything_are_shown_once() {
    let never = "FREQ=DAILY;COUNT=1000000;BYMONTH=2;BYMONTHDAY=30";
    let feed = read(&feed(":16010101T000000", never, 2_000));
    assert_eq!(feed.events.len(), 2_000);
    // None is taken for too costly.
    assert!(
        feed.events
            .iter()
            .all(|event| event.series.is_some() && week(event) == (0, false))
    );
    assert!(feed.warnings.into_vec().is_empty());
}

#[test]
fn a_rule_that_takes_too_long_is_shown_once_and_said_so() {
    // Each second of 9 o'clock: to count a billion of them takes longer than anybody waits.
    let rule = "FREQ=SECONDLY;BYHOUR=9;COUNT=1000000000";
    let feed = read(&feed(":20260302T090000", rule, 500));
    assert_eq!(feed.events.len(), 500);
    assert!(
        feed.events
            .iter()
            .all(|event| event.series.is_none() && week(event) == (1, false))
    );
    let warnings = feed.warnings.into_vec();
    assert_eq!(
        warnings,
        ["The event \"x\" is shown once: the rule takes too long to evaluate."]
    );
}

#[test]
fn a_zone_of_the_feeds_own_is_kept_and_not_written_out() {
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Own/Zone\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0322\r\n\
                TZOFFSETTO:+0322\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT";
    let text = feed(";TZID=Own/Zone:20260101T090000", "FREQ=DAILY", 3_000);
    let feed = read(&text.replacen("BEGIN:VEVENT", zone, 1));
    let stored: usize = feed
        .events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap().len())
        .sum();
    // Less than five times the feed.
    assert!(stored < 5 * text.len(), "{stored} bytes of {}", text.len());
    assert!(feed.events.iter().all(|event| week(event) == (7, false)));
    let far = "2060-07-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let window = Window {
        start: far,
        end: far + chrono::TimeDelta::days(1),
        zone: Tz::UTC,
    };
    let (found, _) = occurrences(&feed.events[0], &window);
    assert_eq!(found[0].starts_at.to_rfc3339(), "2060-07-01T05:38:00+00:00");
}

#[test]
fn a_zone_of_the_feeds_own_changes_its_clocks_forever() {
    let part = |kind: &str, month: u8, from: &str, to: &str| {
        format!(
            "BEGIN:{kind}\r\nDTSTART:19700{month}01T020000\r\nTZOFFSETFROM:{from}\r\nTZOFFSETTO:{to}\r\n\
             RRULE:FREQ=YEARLY;BYMONTH={month};BYDAY=1SU\r\nEND:{kind}\r\n"
        )
    };
    let zone = format!(
        "BEGIN:VTIMEZONE\r\nTZID:Own/City\r\n{}{}END:VTIMEZONE\r\nBEGIN:VEVENT",
        part("DAYLIGHT", 4, "+0322", "+0422"),
        part("STANDARD", 9, "+0422", "+0322")
    );
    let text = feed(
        ";TZID=Own/City:20260101T090000",
        "FREQ=MONTHLY;UNTIL=20610101T000000Z",
        1,
    );
    let feed = read(&text.replacen("BEGIN:VEVENT", &zone, 1));
    let starts = |from: &str, to: &str| {
        let window = Window {
            start: from.parse().unwrap(),
            end: to.parse().unwrap(),
            zone: Tz::UTC,
        };
        let (found, _) = occurrences(&feed.events[0], &window);
        found
            .iter()
            .map(|one| one.starts_at.format("%dT%H:%M").to_string())
            .collect::<Vec<_>>()
    };
    // Nine o'clock on the wall, in winter and in summer, in any year.
    for year in ["2026", "2059"] {
        assert_eq!(
            starts(
                &format!("{year}-02-01T00:00:00Z"),
                &format!("{year}-03-01T00:00:00Z")
            ),
            ["01T05:38"]
        );
        assert_eq!(
            starts(
                &format!("{year}-07-01T00:00:00Z"),
                &format!("{year}-08-01T00:00:00Z")
            ),
            ["01T04:38"]
        );
    }
    assert!(starts("2061-02-01T00:00:00Z", "2062-01-01T00:00:00Z").is_empty());
}
