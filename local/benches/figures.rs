//! `cargo bench`: the figures of docs/performance.md. Compare ratios rather than times.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot continue panics"
)]

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use local::stack::{Options, Stack};
use local::template::Template;
use serde_json::{Value, json};
use shared::domain::agenda::{Window, first_start, occurrences, occurrences_from};
use shared::domain::ids::CalendarId;
use shared::domain::work::Work;
use shared::feeds::{self, Feed, FeedTarget};
use tokio::net::TcpListener;

const EVENTS: u32 = 20_000;

/// Runs all parts, or the one that is named: `cargo bench -p local -- parsing`.
fn main() {
    let part = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let wanted = |name| part.as_deref().is_none_or(|part| part == name);
    if wanted("parsing") {
        parsing();
    }
    if wanted("hostile") {
        hostile();
    }
    if wanted("serving") {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(serving());
    }
}

/// Returns a feed of `EVENTS` events over two years, a tenth of them weekly series. `padding` is
/// the length of each description, in bytes.
fn feed(padding: usize) -> String {
    let first = NaiveDate::from_ymd_opt(2025, 7, 1).unwrap();
    let mut text = String::from(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//EN\r\nX-WR-CALNAME:Bench\r\n",
    );
    let filler = "Minutes of the last meeting\\, and what is to be done. ".repeat(padding / 54 + 1);
    for number in 0..EVENTS {
        let date = (first + TimeDelta::days(i64::from(number % 730))).format("%Y%m%d");
        let hour = 7 + number % 12;
        let _ = write!(
            text,
            "BEGIN:VEVENT\r\nUID:{number}@bench.example.org\r\nDTSTAMP:20260101T000000Z\r\nSEQUENCE:1\r\n\
             DTSTART;TZID=Europe/Berlin:{date}T{hour:02}0000\r\nDTEND;TZID=Europe/Berlin:{date}T{hour:02}4500\r\n\
             SUMMARY:Meeting number {number}\r\nLOCATION:Room {}\r\nSTATUS:CONFIRMED\r\n",
            number % 40
        );
        if number % 10 == 0 {
            text.push_str("RRULE:FREQ=WEEKLY;COUNT=26\r\n");
        }
        let _ = write!(
            text,
            "ATTENDEE;CN=Grace;PARTSTAT=ACCEPTED:mailto:grace@example.org\r\nDESCRIPTION:{}\r\nEND:VEVENT\r\n",
            &filler[..padding]
        );
    }
    text.push_str("END:VCALENDAR\r\n");
    text
}

fn read(text: &str) -> Feed {
    let now = "2026-11-21T00:00:00Z".parse().unwrap();
    feeds::read(
        text.as_bytes(),
        None,
        FeedTarget {
            calendar: CalendarId::from_bytes([1; 16]),
            zone: Tz::UTC,
            now,
        },
    )
    .unwrap()
}

/// Returns the duration of the fastest run, as other load on the machine only makes runs slower.
fn quickest(runs: usize, mut run: impl FnMut()) -> Duration {
    let time = |_| {
        let started = Instant::now();
        run();
        started.elapsed()
    };
    (0..runs).map(time).min().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn parsing() {
    let text = feed(205);
    let megabytes = text.len() as f64 / 1e6;
    let parse = quickest(15, || {
        black_box(read(&text));
    });
    say(&format!(
        "parse and normalise      {megabytes:.1} MB, {EVENTS} events: {parse:.0?}, {:.0} MB/s",
        megabytes / parse.as_secs_f64()
    ));
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let window = Window {
        start: at("2026-01-01T00:00:00Z"),
        end: at("2027-01-01T00:00:00Z"),
        zone: Tz::Europe__Berlin,
    };
    let mut shown = 0;
    let both = quickest(5, || {
        let feed = read(&text);
        shown = feed
            .events
            .iter()
            .map(|event| occurrences(event, &window).0.len())
            .sum();
    });
    say(&format!(
        "parse and expand a year  {shown} occurrences: {both:.0?}, peak memory {} MB",
        peak_memory()
    ));
}

/// Returns the peak resident memory of this process in MB, or `?` where `/proc` does not have it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .map_or("?".to_owned(), |kb| (kb / 1000).to_string())
}

/// Feeds that are made to cost much, with a name each.
#[expect(clippy::too_many_lines, reason = "a list")]
fn hostile_feeds() -> Vec<(&'static str, String)> {
    let event = |lines: &str| {
        format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART:19700101T000000Z\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    };
    let many = |lines: &str| {
        (0..EVENTS)
            .map(|number| event(lines).replace("UID:1", &format!("UID:{number}")))
            .collect::<String>()
    };
    let since = |start: &str, text: String| text.replace("19700101T000000Z", start);
    let all = |end: u32| {
        (0..end)
            .map(|one| one.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let each_second = format!(
        "BYHOUR={};BYMINUTE={};BYSECOND={}",
        all(24),
        all(60),
        all(60)
    );
    let never = since(
        "16010101T000000Z",
        many("RRULE:FREQ=DAILY;COUNT=1000000;BYMONTH=2;BYMONTHDAY=30"),
    );
    let zone = "BEGIN:VTIMEZONE\r\nTZID:Own\r\nBEGIN:STANDARD\r\nDTSTART:19700101T000000\r\nTZOFFSETFROM:+0322\r\n\
                TZOFFSETTO:+0322\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT";
    let own_zone = many("RRULE:FREQ=DAILY").replace(
        "DTSTART:19700101T000000Z",
        "DTSTART;TZID=Own:20260101T090000",
    );
    vec![
        (
            "each second of 1900",
            since(
                "19000101T000000Z",
                event(&format!("RRULE:FREQ=DAILY;COUNT=4294967295;{each_second}")),
            ),
        ),
        ("20,000 rules without a day", never),
        (
            "20,000 counts too far",
            many("RRULE:FREQ=SECONDLY;BYHOUR=9;COUNT=1000000000"),
        ),
        (
            "20,000 in a zone of its own",
            own_zone.replacen("BEGIN:VEVENT", zone, 1),
        ),
        ("secondly since 1970", event("RRULE:FREQ=SECONDLY")),
        (
            "100,000 exceptions",
            event(&format!(
                "RRULE:FREQ=DAILY\r\n{}",
                "EXDATE:20260101T000000Z\r\n".repeat(100_000)
            )),
        ),
        (
            "nesting 20,000 deep",
            event(&"BEGIN:VEVENT\r\n".repeat(20_000)),
        ),
        (
            "a line of 5 MB",
            event(&format!("DESCRIPTION:{}", "x".repeat(5 << 20))),
        ),
        ("20,000 minutely series", many("RRULE:FREQ=MINUTELY")),
    ]
}

fn hostile() {
    for (name, text) in hostile_feeds() {
        let time = quickest(1, || {
            black_box(read(&text));
        });
        let feed = read(&text);
        let window = week();
        let shown = quickest(1, || {
            // As a list of events does: with the budget of a request, and as many of each series as a page shows.
            let mut work = Work::new(Work::REQUEST);
            let count = |event| {
                let from = first_start(event, &window);
                occurrences_from(event, &window, from, 501, &mut work)
                    .0
                    .len()
            };
            black_box(feed.events.iter().map(count).sum::<usize>());
        });
        say(&format!(
            "hostile                  {name}: {time:.0?}, a week of it {shown:.0?}"
        ));
    }
    say(&format!(
        "hostile                  peak memory {} MB",
        peak_memory()
    ));
}

fn week() -> Window {
    let start = "2026-03-02T00:00:00Z".parse().unwrap();
    Window {
        start,
        end: start + TimeDelta::days(7),
        zone: Tz::UTC,
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one benchmark: its data, its loop and its table"
)]
async fn serving() {
    let options = Options {
        background: false,
        ..Options::default()
    };
    let stack = Stack::start(&Template::bundled().unwrap(), options)
        .await
        .unwrap();
    let text = feed(40);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route(
        "/f.ics",
        get(move || async move { ([(CONTENT_TYPE, "text/calendar")], text.clone()) }),
    );
    tokio::spawn(async move { axum::serve(listener, router).await });

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |path: &str, token: &str, body: Value| -> Value {
        let request = client
            .post(format!("{}{path}", stack.url))
            .bearer_auth(token)
            .header(CONTENT_TYPE, "application/json");
        serde_json::from_str(
            &request
                .body(body.to_string())
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
        )
        .unwrap()
    };
    let person = post(
        "/api/v1/auth/signup",
        "",
        json!({ "email": "bench@example.org", "password": "correct horse battery" }),
    )
    .await;
    let token = person["accessToken"].as_str().unwrap().to_owned();
    post(
        "/api/v1/calendar/ics/connect",
        &token,
        json!({ "url": format!("http://{address}/f.ics") }),
    )
    .await;

    stack.context.store.meter().take();
    let started = Instant::now();
    stack.work().await;
    let took = started.elapsed();
    let (read_units, write_units, calls) = stack.context.store.meter().take();
    let events = f64::from(EVENTS);
    say(&format!(
        "first sync               {EVENTS} events: {took:.1?}, {:.0} events/s, {:.2} write units/event, {read_units:.0} read units, {calls} calls",
        events / took.as_secs_f64(),
        write_units / events
    ));
    post("/api/v1/calendar/calendars/sync-all", &token, json!({})).await;
    stack.context.store.meter().take();
    let started = Instant::now();
    stack.work().await;
    let (read_units, write_units, calls) = stack.context.store.meter().take();
    say(&format!(
        "unchanged sync           {:.0?}, {read_units:.1} read units, {write_units:.0} write units, {calls} calls",
        started.elapsed()
    ));
    let calendars = format!("{}/api/v1/calendar/calendars", stack.url);
    let seen = client
        .get(&calendars)
        .bearer_auth(&token)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(seen.contains("\"eventCount\":20000"), "{seen}");

    let health = Arc::new(format!("{}/health", stack.url));
    let month = Arc::new(format!(
        "{}/api/v1/calendar/events?start=2026-03-01&end=2026-04-01&limit=2500",
        stack.url
    ));
    let day = Arc::new(format!(
        "{}/api/v1/calendar/events?start=2026-03-02&end=2026-03-03",
        stack.url
    ));
    let mut rates = Vec::new();
    for (name, url) in [
        ("health", &health),
        ("day query", &day),
        ("month query", &month),
    ] {
        stack.context.store.meter().take();
        let mut times = Vec::new();
        for _ in 0..100 {
            let started = Instant::now();
            get_one(&client, url, &token).await;
            times.push(started.elapsed());
        }
        let units = stack.context.store.meter().take().0 / 100.0;
        times.sort_unstable();
        let rate = at_sixteen(&client, url, &token).await;
        rates.push(rate);
        say(&format!(
            "{name:<24} p50 {:.1?}, p99 {:.1?}, {rate:.0} requests/s at 16 connections, {units:.1} read units each",
            times[50], times[98]
        ));
    }
    say(&format!(
        "health to month query    {:.1} to 1 in requests per second",
        rates[0] / rates[2]
    ));
    stack.stop().await;
}

async fn get_one(client: &reqwest::Client, url: &str, token: &str) {
    let response = client.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    black_box(response.bytes().await.unwrap());
}

async fn at_sixteen(client: &reqwest::Client, url: &Arc<String>, token: &str) -> f64 {
    let started = Instant::now();
    let one = |_| {
        let (client, url, token) = (client.clone(), Arc::clone(url), token.to_owned());
        tokio::spawn(async move {
            let mut done = 0_u32;
            while started.elapsed() < Duration::from_secs(4) {
                get_one(&client, &url, &token).await;
                done += 1;
            }
            done
        })
    };
    let done: u32 = futures::future::join_all((0..16).map(one))
        .await
        .into_iter()
        .map(Result::unwrap)
        .sum();
    f64::from(done) / started.elapsed().as_secs_f64()
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn say(line: &str) {
    println!("{line}");
}
