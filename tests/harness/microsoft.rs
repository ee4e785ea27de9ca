//! The Microsoft sandbox with one mailbox, and a client that acts as its user.

use local::stack::Options;
use reqwest::{Method, StatusCode};
use sandboxes::microsoft::{GraphContract, MicrosoftSandbox};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::OAuthClient;
use shared::domain::recurrence::Series;
use shared::domain::secret::Secret;
use shared::domain::time::EventTime;
use shared::domain::zones::resolve;
use shared::providers::{CalendarProvider, Connect, Credentials, microsoft};

use crate::harness::{EventChange, InjectedFault, ProviderHarness, RemoteSnapshot, browser};

/// A sandbox with one user. `token` is the user's own, for calls as the user; `calendar` is the default calendar's id.
pub struct MicrosoftHarness {
    pub url: String,
    pub client: reqwest::Client,
    pub token: String,
    pub calendar: String,
}

pub const EMAIL: &str = "grace@contoso.test";
/// The Windows name of Europe/Berlin.
pub const BERLIN: &str = "W. Europe Standard Time";

impl MicrosoftHarness {
    /// Returns the URL of a path below the default calendar.
    pub fn path(&self, below: &[&str]) -> reqwest::Url {
        let mut url = reqwest::Url::parse(&format!("{}/v1.0/me/calendars", self.url)).unwrap();
        url.path_segments_mut()
            .unwrap()
            .push(&self.calendar)
            .extend(below);
        url
    }

    pub async fn call(
        &self,
        method: Method,
        url: reqwest::Url,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.client.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default(),
        )
    }

    /// Reads an event of the default calendar, with times in the zones in which they were written.
    pub async fn event(&self, id: &str) -> Value {
        let (status, event) = self
            .call(Method::GET, self.path(&["events", id]), None)
            .await;
        assert_eq!(status, 200, "{event}");
        event
    }

    /// Returns how often a calendar was read in full: delta rounds begun without a token.
    pub async fn full_reads(&self) -> u64 {
        self.report().await["fullReads"].as_u64().unwrap()
    }

    pub async fn create(&self, event: Value) -> Value {
        let (status, event) = self
            .call(Method::POST, self.path(&["events"]), Some(event))
            .await;
        assert_eq!(status, 201, "{event}");
        event
    }
}

/// Returns a `dateTimeTimeZone` in Berlin; for a date, its midnight.
pub fn time(text: &str) -> Value {
    let text = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00")
    };
    json!({ "dateTime": text, "timeZone": BERLIN })
}

impl ProviderHarness for MicrosoftHarness {
    const PATH: &'static str = "microsoft";
    const CONSENT: &'static str = "/sandbox/microsoft/consent";
    const EMAIL: &'static str = EMAIL;
    const NAME: &'static str = "Microsoft";
    const CALLS_AT_REST: usize = 1;
    const ENDLESS_ROUNDS: Option<&'static str> = Some("endless");

    async fn at(clock: Clock) -> Self {
        let contract = crate::data::folder().map(|folder| {
            std::fs::read_to_string(folder.join("contracts/graph-calendar.d.ts")).unwrap()
        });
        let (microsoft, _) =
            MicrosoftSandbox::start(clock, contract.map(|text| GraphContract::parse(&text)))
                .await
                .unwrap();
        let client = browser();
        let mut sandbox = Self {
            url: microsoft.url.clone(),
            client,
            token: String::new(),
            calendar: String::new(),
        };
        let made = sandbox
            .control(
                "people",
                json!({ "email": EMAIL, "name": "Grace", "timeZone": BERLIN }),
            )
            .await;
        made["primary"]
            .as_str()
            .unwrap()
            .clone_into(&mut sandbox.calendar);
        sandbox.sign_in().await;
        sandbox
    }

    fn attach(&self, options: &mut Options) {
        options.microsoft = Some(self.url.clone());
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn client(&self) -> &reqwest::Client {
        &self.client
    }

    async fn sign_in(&mut self) {
        let token = self.control("token", json!({ "email": EMAIL })).await;
        token["accessToken"]
            .as_str()
            .unwrap()
            .clone_into(&mut self.token);
    }

    fn primary(&self) -> String {
        self.calendar.clone()
    }

    async fn add_person(&self, email: &str) {
        self.control(
            "people",
            json!({ "email": email, "name": "Bob", "timeZone": BERLIN }),
        )
        .await;
    }

    fn needed_scope() -> &'static str {
        "Calendars.ReadWrite"
    }

    async fn insert(&self, title: &str, start: &str, end: &str, rule: Option<&str>) -> String {
        let all_day = !start.contains('T');
        let mut event = json!({ "subject": title, "start": time(start), "end": time(end), "isAllDay": all_day });
        if let Some(rule) = rule {
            let series = Series {
                rules: vec![rule.parse().unwrap()],
                ..Series::default()
            };
            let at: EventTime = if all_day {
                start.parse()
            } else {
                format!("{start}[Europe/Berlin]").parse()
            }
            .unwrap();
            event["recurrence"] = microsoft::recurrence::patterned(&series, at)
                .unwrap()
                .recurrence;
        }
        self.create(event).await["id"].as_str().unwrap().to_owned()
    }

    async fn invite(&self, title: &str, start: &str, end: &str) -> String {
        let event = json!({ "subject": title, "start": time(start), "end": time(end) });
        let new = json!({ "organizer": "bob@example.org", "attendee": EMAIL, "event": event });
        self.control("invite", new).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn answer(&self, id: &str) -> String {
        self.event(id).await["responseStatus"]["response"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn change(&self, id: &str, what: EventChange<'_>) -> StatusCode {
        let body = match what {
            EventChange::Title(text) => json!({ "subject": text }),
            EventChange::Location(text) => json!({ "location": { "displayName": text } }),
            EventChange::Description(text) => {
                json!({ "body": { "contentType": "html", "content": text } })
            }
            EventChange::Times(start, end) => {
                json!({ "start": time(start), "end": time(end), "isAllDay": !start.contains('T') })
            }
        };
        self.call(Method::PATCH, self.path(&["events", id]), Some(body))
            .await
            .0
    }

    async fn remove(&self, id: &str) -> StatusCode {
        self.call(Method::DELETE, self.path(&["events", id]), None)
            .await
            .0
    }

    async fn relocate(&self, id: &str, from: &str, to: &str) -> StatusCode {
        // Graph has no such call: people do it in Outlook.
        let body = json!({ "calendarId": from, "eventId": id, "to": to });
        self.control("move", body).await;
        StatusCode::OK
    }

    fn occurrence(series: &str, start: &str) -> String {
        format!("{series}.{}", start[..10].replace('-', ""))
    }

    async fn all(&self) -> Vec<RemoteSnapshot> {
        let mut url = self.path(&["events"]);
        url.query_pairs_mut().append_pair("$top", "1000");
        let (status, list) = self.call(Method::GET, url, None).await;
        assert_eq!(status, 200, "{list}");
        let mut found = list["value"].as_array().unwrap().clone();
        for series in list["value"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["type"] == "seriesMaster")
        {
            let mut url = self.path(&["events", series["id"].as_str().unwrap()]);
            url.query_pairs_mut()
                .append_pair("$expand", "exceptionOccurrences");
            found.extend(
                self.call(Method::GET, url, None).await.1["exceptionOccurrences"]
                    .as_array()
                    .unwrap()
                    .clone(),
            );
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let start = |event: &Value| {
            let local: chrono::NaiveDateTime = event["start"]["dateTime"]
                .as_str()
                .unwrap()
                .trim_end_matches(".0000000")
                .parse()
                .unwrap();
            let zone = resolve(event["start"]["timeZone"].as_str().unwrap()).unwrap();
            let at = shared::domain::time::to_instant(local, zone)
                .with_timezone(&chrono_tz::Europe::Berlin);
            at.format(if event["isAllDay"] == true {
                "%Y-%m-%d"
            } else {
                "%Y-%m-%dT%H:%M:%S"
            })
            .to_string()
        };
        let there = |event: &Value| RemoteSnapshot {
            id: text(&event["id"]),
            title: text(&event["subject"]),
            location: text(&event["location"]["displayName"]),
            is_series: event["type"] == "seriesMaster",
            start: start(event),
            raw: event.clone(),
        };
        found.iter().map(there).collect()
    }

    async fn in_january(&self) -> usize {
        let mut url = self.path(&["calendarView"]);
        url.query_pairs_mut()
            .append_pair("startDateTime", "2027-01-01T00:00:00Z")
            .append_pair("endDateTime", "2027-02-01T00:00:00Z")
            .append_pair("$top", "1000");
        self.call(Method::GET, url, None).await.1["value"]
            .as_array()
            .unwrap()
            .len()
    }

    fn method(name: &str) -> &'static str {
        match name {
            "changes" => "calendarView.delta",
            "insert" => "events.create",
            "update" => "events.update",
            "delete" => "events.delete",
            "read" => "events.get",
            "watch" => "subscriptions.create",
            "stop" => "subscriptions.delete",
            _ => "token",
        }
    }

    fn fault(name: &str, trouble: InjectedFault) -> Value {
        let (status, reason, after) = match trouble {
            InjectedFault::Broken => (503, "ErrorInternalServerTransientError", false),
            InjectedFault::Lost => (500, "ErrorInternalServerTransientError", true),
            InjectedFault::Throttled => (429, "ApplicationThrottled", false),
            InjectedFault::ThrottledAfter => (429, "ApplicationThrottled", true),
            InjectedFault::Conflict => (409, "ErrorIrresolvableConflict", false),
            InjectedFault::Rejected => (401, "InvalidAuthenticationToken", false),
            InjectedFault::Forbidden => (403, "ErrorAccessDenied", false),
        };
        json!({ "method": Self::method(name), "status": status, "reason": reason, "after": after, "retryAfter": if status == 429 { json!(1) } else { Value::Null } })
    }

    fn session(&self) -> Box<dyn CalendarProvider> {
        let client = OAuthClient {
            client_id: "calweave".into(),
            client_secret: String::new().into(),
            redirect_uri: String::new(),
            endpoint: Some(self.url.clone()),
        };
        microsoft::Microsoft::new(client, "common", Clock::System)
            .session(
                Credentials::AccessToken(Secret::new(self.token.clone())),
                EMAIL,
            )
            .unwrap()
    }
}
