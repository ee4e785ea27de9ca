//! `cargo bench -p local --bench google`: the cost of syncing a Google calendar, and the time until
//! a change at Google is visible, measured against the sandbox. There are no assertions; compare
//! ratios rather than times (docs/performance.md).

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot continue panics"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use local::stack::{Options, Stack};
use local::template::Template;
use reqwest::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use sandboxes::google::GoogleSandbox;
use serde_json::{Value, json};
use shared::clock::Clock;

const EVENTS: u32 = 10_000;
const EMAIL: &str = "grace@example.org";

#[tokio::main]
async fn main() {
    let (google, _) = GoogleSandbox::start(Clock::System, None).await.unwrap();
    google.add_person(EMAIL, "Grace", "Europe/Berlin", &[]);
    google.add_events(EMAIL, EVENTS);
    first_sync(&google).await;
    latency(&google).await;
}

/// A backend with one user who has linked the Google account. The first sync has not run.
struct Bench {
    stack: Stack,
    client: reqwest::Client,
    token: String,
    calendar: String,
}

impl Bench {
    #[expect(
        clippy::too_many_lines,
        reason = "a stack and an account, step by step"
    )]
    async fn new(google: &GoogleSandbox, background: bool) -> Self {
        let options = Options {
            background,
            google: Some(google.url.clone()),
            ..Options::default()
        };
        let stack = Stack::start(&Template::bundled().unwrap(), options)
            .await
            .unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let mut bench = Self {
            stack,
            client,
            token: String::new(),
            calendar: String::new(),
        };
        let person = json!({ "email": "bench@example.org", "password": "correct horse battery" });
        bench.post("/api/v1/auth/signup", person).await["accessToken"]
            .as_str()
            .unwrap()
            .clone_into(&mut bench.token);
        let login = bench.get("/api/v1/calendar/oauth/google/login").await;
        let cookie = login.headers()[SET_COOKIE]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let login: Value = serde_json::from_str(&login.text().await.unwrap()).unwrap();
        let asked = reqwest::Url::parse(login["authUrl"].as_str().unwrap()).unwrap();
        let mut form = reqwest::Url::parse("http://localhost/").unwrap();
        form.query_pairs_mut()
            .extend_pairs(asked.query_pairs())
            .append_pair("email", EMAIL)
            .append_pair("answer", "allow");
        for scope in shared::providers::google::oauth::SCOPES {
            form.query_pairs_mut().append_pair("granted", scope);
        }
        let request = bench
            .client
            .post(format!("{}/o/oauth2/v2/consent", google.url));
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.query().unwrap().to_owned());
        let back = request.send().await.unwrap().headers()[LOCATION]
            .to_str()
            .unwrap()
            .to_owned();
        let page = bench
            .client
            .get(back)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        let page = reqwest::Url::parse(page.headers()[LOCATION].to_str().unwrap()).unwrap();
        let session = page
            .query_pairs()
            .find(|(name, _)| name == "session")
            .unwrap()
            .1
            .into_owned();
        let choice = json!({ "sessionId": session, "selectedCalendarIds": [EMAIL] });
        let chosen = bench
            .post("/api/v1/calendar/oauth/google/select", choice)
            .await;
        chosen["calendars"][0]["id"]
            .as_str()
            .unwrap()
            .clone_into(&mut bench.calendar);
        bench
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.stack.url))
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        let request = self
            .client
            .post(format!("{}{path}", self.stack.url))
            .bearer_auth(&self.token)
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
        .unwrap_or_default()
    }
}

async fn first_sync(google: &GoogleSandbox) {
    let bench = Bench::new(google, false).await;
    let meter = bench.stack.context.store.meter();
    for name in ["first sync", "unchanged sync"] {
        bench
            .post(
                &format!("/api/v1/calendar/calendars/{}/sync", bench.calendar),
                json!({}),
            )
            .await;
        meter.take();
        let started = Instant::now();
        bench.stack.work().await;
        let took = started.elapsed();
        let (reads, writes, calls) = meter.take();
        let (events, seconds) = (f64::from(EVENTS), took.as_secs_f64());
        say(&format!(
            "{name:<24} {EVENTS} events: {took:.1?}, {:.0} events/s; {writes:.0} write and {reads:.0} read units, {:.2} writes an event, {calls} calls",
            events / seconds,
            writes / events
        ));
    }
    bench.stack.stop().await;
}

#[expect(
    clippy::too_many_lines,
    reason = "one benchmark: its data, its loop and its table"
)]
async fn latency(google: &GoogleSandbox) {
    let bench = Bench::new(google, true).await;
    let sync = format!("/api/v1/calendar/calendars/{}/sync?wait=25", bench.calendar);
    bench.post(&sync, json!({})).await;
    let (channel, resource, secret) = loop {
        match google.channel_of(EMAIL) {
            Some(found) => break found,
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let headers = [
        ("x-goog-channel-id", channel),
        ("x-goog-resource-id", resource),
        ("x-goog-channel-token", secret),
        ("x-goog-resource-state", "exists".to_owned()),
    ];
    let (webhook, health) = (
        format!("{}/api/v1/calendar/webhooks/google", bench.stack.url),
        format!("{}/health", bench.stack.url),
    );
    let push = bench.client.post(webhook);
    let push = headers
        .into_iter()
        .fold(push, |request, (name, value)| request.header(name, value))
        .header("content-length", "0");
    let rates = [("push", push), ("health", bench.client.get(health))]
        .map(|(name, request)| (name, Arc::new(request)));
    let mut each = Vec::new();
    for (name, request) in rates {
        let (mut times, rate) = at_sixteen(&request).await;
        times.sort_unstable();
        let at = |share: usize| times[times.len() * share / 100];
        say(&format!(
            "{name:<24} p50 {:.1?}, p99 {:.1?}, {rate:.0} requests/s at 16 connections",
            at(50),
            at(99)
        ));
        each.push(rate);
    }
    say(&format!(
        "health to push           {:.1} to 1 in requests per second",
        each[1] / each[0]
    ));

    let mut seen = Vec::new();
    for number in 0..20 {
        let title = format!("Seen {number}");
        let started = Instant::now();
        let id = google.rename_first(EMAIL, &title);
        let event = shared::providers::ids::event_id(bench.calendar.parse().unwrap(), &id);
        while !bench
            .get(&format!("/api/v1/calendar/events/{event}"))
            .await
            .text()
            .await
            .unwrap()
            .contains(&title)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        seen.push(started.elapsed());
    }
    seen.sort_unstable();
    say(&format!(
        "edit at Google, seen     p50 {:.0?}, slowest of 20 {:.0?}",
        seen[10], seen[19]
    ));
    bench.stack.stop().await;
}

/// Sends requests over sixteen connections for four seconds. Returns the duration of each, and the
/// requests per second.
async fn at_sixteen(request: &Arc<reqwest::RequestBuilder>) -> (Vec<Duration>, f64) {
    let begun = Instant::now();
    let one = |_| {
        let request = Arc::clone(request);
        tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < Duration::from_secs(4) {
                let started = Instant::now();
                let answer = request.try_clone().unwrap().send().await.unwrap();
                assert!(answer.status().is_success());
                times.push(started.elapsed());
            }
            times
        })
    };
    let times: Vec<Duration> = futures::future::join_all((0..16).map(one))
        .await
        .into_iter()
        .flat_map(Result::unwrap)
        .collect();
    let rate = f64::from(u32::try_from(times.len()).unwrap()) / begun.elapsed().as_secs_f64();
    (times, rate)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn say(line: &str) {
    println!("{line}");
}
