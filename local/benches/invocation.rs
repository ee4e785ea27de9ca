//! `cargo bench -p local --bench invocation`: what a request costs its function.
//!
//! Each function's binary runs under a local Runtime API. Its calls of DynamoDB pass through a relay that delays each
//! answer, so that calls which wait for one another show as *rounds*. The figures are the processor time of the
//! function's process, the number of calls and of rounds, and the time until the response, each for one request.
//!
//! Build the functions for this machine first (`local/scripts/build-functions --x86-64`). The binaries are read from
//! `target/lambda`, or from the folder given as an argument. `bare_sdk` makes the same number of calls to the same items and
//! does nothing with the answers.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot continue panics"
)]

mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use local::stack::{Options, Stack};
use local::template::Template;
use serde_json::{Value, json};
use support::{FunctionProcess, Told, binary, http_event, say};
use tokio::net::TcpListener;

/// Requests that are measured, in batches. The batch that took the least processor time counts: other load on the machine only
/// adds to it.
const REQUESTS: u32 = 800;
const BATCHES: u32 = 16;
/// Slots that are created. A user can have 500.
const SLOTS: u32 = 80;
/// How long the relay holds back each answer of DynamoDB.
const DELAY: Duration = Duration::from_millis(4);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lambda"),
        PathBuf::from,
    );
    let options = Options {
        background: false,
        ..Options::default()
    };
    let template = Template::bundled().unwrap();
    let stack = Stack::start(&template, options).await.unwrap();
    let bench = Bench {
        relay: Relay::start(&stack).await,
        stack,
        folder,
    };
    bench.run().await;
    bench.stack.stop().await;
}

struct Bench {
    stack: Stack,
    relay: Relay,
    folder: PathBuf,
}

impl Bench {
    async fn run(&self) {
        let token = self.person().await;
        let busy = self.person_with_slots(400).await;
        say("request                    CPU      calls   rounds   time       start      peak");
        let month = "/api/v1/calendar/events?start=2026-03-01&end=2026-04-01";
        let slot = |number| {
            let day = 1 + number % 28;
            let (month, hour) = (1 + number / 28 % 12, 8 + number / 336);
            json!({ "title": "Slot", "startTime": format!("2031-{month:02}-{day:02}T{hour:02}:00:00Z"), "endTime": format!("2031-{month:02}-{day:02}T{hour:02}:30:00Z") })
        };
        let read = |target: &str| {
            let event = http_event("GET", target, Some(&token));
            move |_| event.clone()
        };
        self.measure("a month of 50 events", "events", REQUESTS, read(month))
            .await;
        self.measure(
            "upcoming, nothing",
            "events",
            REQUESTS,
            read("/api/v1/calendar/events/upcoming"),
        )
        .await;
        self.measure(
            "calendars",
            "calendars",
            REQUESTS,
            read("/api/v1/calendar/calendars"),
        )
        .await;
        self.measure("me", "auth", REQUESTS, read("/api/v1/auth/me"))
            .await;
        for (name, token) in [("a slot, none there", &token), ("a slot, 400 there", &busy)] {
            let create = |number| {
                let mut event = http_event("POST", "/api/v1/slots", Some(token));
                event["body"] = json!(slot(number).to_string());
                event
            };
            self.measure(name, "slots", SLOTS, create).await;
        }
        for calls in [1, 2, 5, 7] {
            let event = http_event("GET", &format!("/calls/{calls}"), None);
            let name = format!("bare_sdk, {calls} calls");
            self.measure(&name, "bare_sdk", REQUESTS, |_| event.clone())
                .await;
        }
    }

    /// Measures a request, and prints its figures.
    async fn measure(
        &self,
        name: &str,
        function: &str,
        requests: u32,
        event: impl Fn(u32) -> Value,
    ) {
        let Some(binary) = binary(&self.folder, function) else {
            say(&format!(
                "{name:<24} {function} is not in {}",
                self.folder.display()
            ));
            return;
        };
        let variables = [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.relay.url.clone()),
            ("RATE_LIMITS", "off".to_owned()),
        ];
        let mut function = FunctionProcess::start(&binary, &self.stack.services, &variables).await;
        let start = loop {
            if let Told::Next(at) = function.hear().await {
                break at - function.started;
            }
        };
        let mut took = Vec::new();
        let batch = requests / BATCHES;
        let (mut used, mut before) = (Duration::MAX, Duration::ZERO);
        // The first batch warms up.
        for number in 0..batch + requests {
            if number == batch {
                self.relay.counts.take();
                took.clear();
            }
            if number % batch == 0 {
                before = function.processor_time();
            }
            let sent = std::time::Instant::now();
            function.send(event(number));
            loop {
                if let Told::Answered(at, answer) = function.hear().await {
                    let status = answer["statusCode"].as_u64();
                    assert!(status.is_some_and(|status| status < 300), "{answer}");
                    took.push(at - sent);
                    break;
                }
            }
            if number >= batch && number % batch == batch - 1 {
                used = used.min(function.processor_time().saturating_sub(before));
            }
        }
        let peak = function.status("VmHWM:") / 1000;
        function.stop();
        took.sort_unstable();
        let each = |count: u32| f64::from(count) / f64::from(requests);
        let (calls, rounds) = self.relay.counts.take();
        say(&format!(
            "{name:<24} {:>5.2} ms  {:>5.1}   {:>5.1}   {:>5.1} ms   {:>5.1} ms   {peak:>3} MB",
            used.as_secs_f64() * 1e3 / f64::from(batch),
            each(calls),
            each(rounds),
            took[took.len() / 2].as_secs_f64() * 1e3,
            start.as_secs_f64() * 1e3,
        ));
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .post(format!("{}{path}", self.stack.url))
            .bearer_auth(token)
            .header(CONTENT_TYPE, "application/json");
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn sign_up(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "password": "correct horse battery", "timezone": "Europe/Berlin" });
        let person = self.post("/api/v1/auth/signup", "", body).await;
        person["accessToken"].as_str().unwrap().to_owned()
    }

    /// Signs somebody up whose calendar has 50 events in March 2026. Returns an access token.
    async fn person(&self) -> String {
        let token = self.sign_up("bench").await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = get(async || ([(CONTENT_TYPE, "text/calendar")], feed()));
        let router = Router::new().route("/f.ics", serve);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let url = format!("http://{address}/f.ics");
        self.post(
            "/api/v1/calendar/ics/connect",
            &token,
            json!({ "url": url }),
        )
        .await;
        self.stack.work().await;
        token
    }

    /// Signs somebody up who has this many slots. Returns an access token.
    async fn person_with_slots(&self, count: u32) -> String {
        let token = self.sign_up("busy").await;
        for number in 0..count {
            let (day, hour) = (1 + number % 28, 8 + number / 28);
            let body = json!({ "title": "Slot", "startTime": format!("2030-03-{day:02}T{hour:02}:00:00Z"), "endTime": format!("2030-03-{day:02}T{hour:02}:30:00Z") });
            self.post("/api/v1/slots", &token, body).await;
        }
        token
    }
}

/// Returns a feed of 50 events in March 2026, one of which is a weekly series.
fn feed() -> String {
    let mut text = String::from(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//bench//EN\r\nX-WR-CALNAME:Bench\r\n",
    );
    for number in 0..46 {
        let (day, hour) = (1 + number % 28, 8 + number % 9);
        let _ = write!(
            text,
            "BEGIN:VEVENT\r\nUID:{number}@bench.example.org\r\nDTSTAMP:20260101T000000Z\r\nSEQUENCE:1\r\n\
             DTSTART;TZID=Europe/Berlin:202603{day:02}T{hour:02}0000\r\nDTEND;TZID=Europe/Berlin:202603{day:02}T{hour:02}4500\r\n\
             SUMMARY:Meeting number {number}\r\nLOCATION:Room {number}\r\nSTATUS:CONFIRMED\r\n\
             ATTENDEE;CN=Grace;PARTSTAT=ACCEPTED:mailto:grace@example.org\r\nDESCRIPTION:What is to be done.\r\nEND:VEVENT\r\n"
        );
    }
    text.push_str(
        "BEGIN:VEVENT\r\nUID:weekly@bench.example.org\r\nDTSTAMP:20260101T000000Z\r\nDTSTART;TZID=Europe/Berlin:20260302T180000\r\n\
         DTEND;TZID=Europe/Berlin:20260302T190000\r\nRRULE:FREQ=WEEKLY;COUNT=4\r\nSUMMARY:Choir\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    text
}

/// Passes requests on to the emulated DynamoDB, and holds each answer back.
struct Relay {
    url: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    calls: AtomicU32,
    /// Calls that began while no other was on its way.
    rounds: AtomicU32,
    on_their_way: AtomicU32,
}

impl Counts {
    fn take(&self) -> (u32, u32) {
        (
            self.calls.swap(0, Ordering::Relaxed),
            self.rounds.swap(0, Ordering::Relaxed),
        )
    }
}

#[derive(Clone)]
struct Upstream {
    url: String,
    client: reqwest::Client,
    counts: Arc<Counts>,
}

impl Relay {
    async fn start(stack: &Stack) -> Self {
        let variables = &stack.services.variables;
        let url = variables
            .get("AWS_ENDPOINT_URL_DYNAMODB")
            .or_else(|| variables.get("AWS_ENDPOINT_URL"));
        let counts = Arc::<Counts>::default();
        let upstream = Upstream {
            url: url.unwrap().clone(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            counts: Arc::clone(&counts),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass_on).with_state(upstream);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, counts }
    }
}

async fn pass_on(State(upstream): State<Upstream>, request: Request) -> Response {
    let counts = &upstream.counts;
    counts.calls.fetch_add(1, Ordering::Relaxed);
    if counts.on_their_way.fetch_add(1, Ordering::Relaxed) == 0 {
        counts.rounds.fetch_add(1, Ordering::Relaxed);
    }
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut headers = parts.headers;
    headers.remove("host");
    let sent = upstream
        .client
        .post(&upstream.url)
        .headers(headers)
        .body(body);
    let answer = sent.send().await.unwrap();
    let status = answer.status();
    let headers = answer.headers().clone();
    let body = answer.bytes().await.unwrap();
    tokio::time::sleep(DELAY).await;
    counts.on_their_way.fetch_sub(1, Ordering::Relaxed);
    (status, headers, body).into_response()
}
