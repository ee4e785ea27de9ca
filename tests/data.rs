//! Test data of other calendar systems. Data in the public domain is in `tests/data`. The rest is not part of the
//! project, because of its licences; `CALWEAVE_TEST_DATA` names its folder. Without the variable, tests that need it
//! print a note and pass; with it, missing data is a failure.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use shared::domain::agenda::{Window, occurrences};
use shared::domain::ids::CalendarId;
use shared::domain::recurrence::Series;
use shared::domain::time::EventTime;
use shared::feeds::{self, Feed, FeedTarget, NotACalendar};
use shared::providers::microsoft::{pattern, recurrence};

/// The limit beyond which a test counts as runaway. Speed itself is measured by the benchmarks.
const RUNAWAY: Duration = Duration::from_secs(20);

pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("CALWEAVE_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: CALWEAVE_TEST_DATA does not say where the data is");
    }
    folder
}

fn read(body: &[u8]) -> Result<Feed, NotACalendar> {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    feeds::read(
        body,
        None,
        FeedTarget {
            calendar: CalendarId::from_bytes([1; 16]),
            zone: Tz::UTC,
            now,
        },
    )
}

/// Returns the starts of a feed's occurrences in a window: dates and floating times unchanged, others in UTC.
fn starts(text: &str, window: &Value) -> Vec<String> {
    let at = |index: usize| {
        window[index]
            .as_str()
            .unwrap()
            .parse::<DateTime<Utc>>()
            .unwrap()
    };
    let window = Window {
        start: at(0),
        end: at(1),
        zone: Tz::UTC,
    };
    let feed = read(text.as_bytes()).unwrap();
    let mut found: Vec<_> = feed
        .events
        .iter()
        .flat_map(|event| occurrences(event, &window).0)
        .filter(|one| one.starts_at >= window.start)
        .collect();
    found.sort_by_key(|one| one.starts_at);
    let form = |start: EventTime, at: DateTime<Utc>| match start {
        EventTime::Zoned(..) => at.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        other => other.to_string(),
    };
    found
        .iter()
        .map(|one| form(one.start, one.starts_at))
        .collect()
}

fn expected(list: &Value) -> Vec<String> {
    let form = |text: &str| {
        DateTime::parse_from_rfc3339(text).map_or(text.to_owned(), |at| {
            at.to_utc().format("%Y-%m-%dT%H:%M:%SZ").to_string()
        })
    };
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| form(text.as_str().unwrap()))
        .collect()
}

pub(crate) fn cases(folder: &std::path::Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A case whose file has two versions of one override, and says of the older "should be ignored", as does RFC 5546
/// 2.1.5. Calweave ignores it too. The data lists both.
const SUPERSEDED: &str = "R1713";

/// The folder of the data that is part of this project.
pub(crate) fn own() -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data")
}

#[test]
fn recurrence_cases_in_the_public_domain() {
    check_recurrence(cases(&own(), "recurrence.jsonl"), 214);
}

#[test]
fn recurrence_cases_with_one_right_answer() {
    let Some(folder) = folder() else { return };
    check_recurrence(cases(&folder, "recurrence.jsonl"), 411);
}

fn check_recurrence(cases: Vec<Value>, count: usize) {
    assert_eq!(cases.len(), count);
    for case in cases {
        let (id, found) = (
            case["id"].as_str().unwrap(),
            starts(case["ics"].as_str().unwrap(), &case["window"]),
        );
        let mut right = expected(&case["expected"]);
        if id == SUPERSEDED {
            right.retain(|start| {
                !["2024-01-02T11:00:00Z", "2024-01-03T11:00:00Z"].contains(&start.as_str())
            });
        }
        assert_eq!(found, right, "{id} {}", case["ics"]);
    }
}

/// Cases in which Calweave differs from all results that the data accepts: it hides a cancelled occurrence, and
/// includes the whole day of an `UNTIL` date (docs/api.md).
const OWN_CHOICES: [&str; 2] = ["P0413", "P0417"];

/// A rule that can be expressed as a Graph pattern has the same occurrences after the conversion.
#[test]
fn recurrences_that_microsoft_can_express_stay_what_they_are() {
    let Some(folder) = folder() else { return };
    let (mut expressible, mut all) = (0, 0);
    for case in cases(&folder, "recurrence.jsonl") {
        for event in &read(case["ics"].as_str().unwrap().as_bytes())
            .unwrap()
            .events
        {
            let Some(series) = event.series.as_deref() else {
                continue;
            };
            all += 1;
            let bare = series.without_overrides();
            let Ok(patterned) = recurrence::patterned(&bare, event.start) else {
                continue;
            };
            expressible += 1;
            let back = Series {
                except_dates: patterned.removed,
                ..pattern::series(&patterned.recurrence).unwrap()
            };
            let from = event.start.instant(Tz::UTC) - chrono::TimeDelta::days(2);
            let expand = |series: &Series| {
                series
                    .expand(
                        event.start,
                        from,
                        from + chrono::TimeDelta::days(30 * 366),
                        Tz::UTC,
                        3_000,
                    )
                    .starts
            };
            assert_eq!(
                expand(&back),
                expand(&bare),
                "{}: {}",
                case["id"],
                patterned.recurrence
            );
        }
    }
    eprintln!("{expressible} of {all} series can be expressed");
    assert!(expressible >= 100, "{expressible} of {all}");
}

#[test]
fn recurrence_cases_where_the_rfc_is_silent() {
    let Some(folder) = folder() else { return };
    for case in cases(&folder, "recurrence_policy.jsonl") {
        let (id, found) = (
            case["id"].as_str().unwrap(),
            starts(case["ics"].as_str().unwrap(), &case["window"]),
        );
        let accepted = case["accept"]
            .as_array()
            .unwrap()
            .iter()
            .any(|list| expected(list) == found);
        assert_ne!(
            accepted,
            OWN_CHOICES.contains(&id),
            "{id} {} {found:?}",
            case["policy"]
        );
    }
}

#[test]
fn feeds_in_the_public_domain() {
    check_feeds(&own(), 37);
}

#[test]
fn feeds_of_other_test_suites() {
    let Some(folder) = folder() else { return };
    check_feeds(&folder, 127);
}

fn check_feeds(folder: &std::path::Path, count: usize) {
    let manifest = cases(folder, "ics/manifest.jsonl");
    assert_eq!(manifest.len(), count);
    for entry in manifest {
        let file = entry["file"].as_str().unwrap();
        let body = std::fs::read(folder.join("ics").join(file)).unwrap();
        let started = Instant::now();
        let feed = read(&body);
        assert!(started.elapsed() < RUNAWAY, "{file}");
        let counts: Vec<Option<u64>> = entry["vevents"]
            .as_object()
            .unwrap()
            .values()
            .map(Value::as_u64)
            .collect();
        let most = counts.iter().flatten().max().copied();
        match (entry["valid"].as_str().unwrap(), feed) {
            ("no", feed) => assert!(feed.is_err(), "{file}"),
            (valid, Ok(feed)) => {
                assert_eq!(Some(feed.vevent_count as u64), most, "{file}");
                let lost = feed.vevent_count - feed.events.len().min(feed.vevent_count);
                let warned = !feed.warnings.clone().into_vec().is_empty();
                assert!(
                    lost == 0 || warned,
                    "{file}: {lost} events are lost without a word"
                );
                assert!(valid == "lenient" || lost == 0 || warned, "{file}");
            }
            (_, Err(error)) => panic!("{file}: {error}"),
        }
    }
}

#[test]
fn hostile_feeds_are_read_within_bounds() {
    let event = |lines: &str| {
        format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:19700101T000000Z\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    };
    let exdates: String = (0..100_000)
        .map(|minute| {
            format!(
                "EXDATE:{}\r\n",
                (DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(minute))
                    .format("%Y%m%dT%H%M%SZ")
            )
        })
        .collect();
    let hostile = [
        ("secondly since 1970", event("RRULE:FREQ=SECONDLY")),
        ("secondly with a count", event("RRULE:FREQ=SECONDLY;COUNT=4294967295;BYSECOND=1")),
        ("a rule that never comes", event("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT=100")),
        ("100,000 exceptions", event(&format!("RRULE:FREQ=MINUTELY\r\n{}", exdates.trim_end()))),
        ("nesting 20,000 deep", event(&format!("{}{}", "BEGIN:VEVENT\r\n".repeat(20_000), "END:VEVENT\r\n".repeat(20_000)))),
        ("nesting of strangers", event(&format!("{}{}", "BEGIN:X\r\n".repeat(20_000), "END:X\r\n".repeat(20_000)))),
        ("a line of 5 MB", event(&format!("DESCRIPTION:{}", "x".repeat(5 << 20)))),
        ("a folded line of 5 MB", event(&format!("DESCRIPTION:x{}", "\r\n x".repeat(1 << 20)))),
        ("a long parameter name, many values", event(&format!("ATTENDEE;{}={}:mailto:a@b", "A".repeat(3_000), "a,".repeat(30_000)))),
        ("a million commas", event(&format!("CATEGORIES:{}", ",".repeat(1_000_000)))),
        ("many zones", format!("BEGIN:VCALENDAR\r\n{}{}", (0..500).map(|number| format!("BEGIN:VTIMEZONE\r\nTZID:Z{number}\r\nBEGIN:STANDARD\r\nDTSTART:16010101T000000\r\nTZOFFSETFROM:+01{:02}\r\nTZOFFSETTO:+0100\r\nRRULE:FREQ=YEARLY\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n", number % 60)).collect::<String>(), &event("")["BEGIN:VCALENDAR\r\n".len()..])),
    ];
    for (name, text) in hostile {
        let started = Instant::now();
        let feed = read(text.as_bytes()).unwrap();
        let window = Window {
            start: "2026-03-01T00:00:00Z".parse().unwrap(),
            end: "2026-04-01T00:00:00Z".parse().unwrap(),
            zone: Tz::UTC,
        };
        let shown: usize = feed
            .events
            .iter()
            .map(|event| occurrences(event, &window).0.len())
            .sum();
        assert!(shown <= 10_000, "{name}: {shown}");
        assert!(
            started.elapsed() < RUNAWAY,
            "{name} took {:?}",
            started.elapsed()
        );
    }
}
