//! The Google sandbox with one account, and a client that acts as its user.

use local::stack::Options;
use reqwest::{Method, StatusCode};
use sandboxes::google::{GoogleContract, GoogleSandbox};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::OAuthClient;
use shared::domain::secret::Secret;
use shared::domain::time::{rfc3339, to_instant};
use shared::providers::{CalendarProvider, Connect, Credentials};

use crate::harness::{EventChange, InjectedFault, ProviderHarness, RemoteSnapshot, browser};

/// A sandbox with one user. `token` is the user's own, for calls as the user.
pub struct GoogleHarness {
    pub url: String,
    pub client: reqwest::Client,
    pub token: String,
}

pub const EMAIL: &str = "grace@example.org";

impl GoogleHarness {
    pub async fn new() -> Self {
        Self::at(crate::harness::clock()).await
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self
            .client
            .request(method, format!("{}/calendar/v3/{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
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

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn insert_as(&self, id: &str, hour: u32) -> (StatusCode, Value) {
        let time = |hour| json!({ "dateTime": format!("2026-03-02T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
        let body = json!({ "id": id, "summary": id, "start": time(hour), "end": time(hour + 1) });
        self.call(
            Method::POST,
            "calendars/primary/events?sendUpdates=none",
            None,
            Some(body),
        )
        .await
    }
}

impl ProviderHarness for GoogleHarness {
    const PATH: &'static str = "google";
    const CONSENT: &'static str = "/o/oauth2/v2/consent";
    const EMAIL: &'static str = EMAIL;
    const NAME: &'static str = "Google";
    const CALLS_AT_REST: usize = 1;
    const ENDLESS_ROUNDS: Option<&'static str> = None;

    async fn at(clock: Clock) -> Self {
        let contract = crate::data::folder().map(|folder| {
            std::fs::read_to_string(folder.join("contracts/google-calendar.v3.json")).unwrap()
        });
        let (google, _) = GoogleSandbox::start(
            clock,
            contract.map(|text| GoogleContract::parse(&text).unwrap()),
        )
        .await
        .unwrap();
        let client = browser();
        let mut sandbox = Self {
            url: google.url.clone(),
            client,
            token: String::new(),
        };
        sandbox.add_person(EMAIL).await;
        sandbox.sign_in().await;
        sandbox
    }

    fn attach(&self, options: &mut Options) {
        options.google = Some(self.url.clone());
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
        EMAIL.to_owned()
    }

    async fn add_person(&self, email: &str) {
        self.control(
            "people",
            json!({ "email": email, "name": "Grace", "timeZone": "Europe/Berlin" }),
        )
        .await;
    }

    fn needed_scope() -> &'static str {
        "https://www.googleapis.com/auth/calendar.events"
    }

    async fn insert(&self, title: &str, start: &str, end: &str, rule: Option<&str>) -> String {
        let mut event = json!({ "summary": title, "start": time(start), "end": time(end) });
        if let Some(rule) = rule {
            event["recurrence"] = json!([format!("RRULE:{rule}")]);
        }
        let (status, event) = self
            .call(
                Method::POST,
                "calendars/primary/events?sendUpdates=none",
                None,
                Some(event),
            )
            .await;
        assert_eq!(status, 200, "{event}");
        event["id"].as_str().unwrap().to_owned()
    }

    async fn invite(&self, title: &str, start: &str, end: &str) -> String {
        let attendees = json!([{ "email": "bob@example.org", "organizer": true, "responseStatus": "accepted" }, { "email": EMAIL, "self": true, "responseStatus": "needsAction" }]);
        let event = json!({ "summary": title, "start": time(start), "end": time(end), "attendees": attendees });
        let (status, event) = self
            .call(
                Method::POST,
                "calendars/primary/events?sendUpdates=none",
                None,
                Some(event),
            )
            .await;
        assert_eq!(status, 200, "{event}");
        event["id"].as_str().unwrap().to_owned()
    }

    async fn answer(&self, id: &str) -> String {
        let event = self.get(&format!("calendars/primary/events/{id}")).await;
        let own = event["attendees"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["self"] == true)
            .unwrap();
        own["responseStatus"].as_str().unwrap().to_owned()
    }

    async fn change(&self, id: &str, what: EventChange<'_>) -> StatusCode {
        let body = match what {
            EventChange::Title(text) => json!({ "summary": text }),
            EventChange::Location(text) => json!({ "location": text }),
            EventChange::Description(text) => json!({ "description": text }),
            EventChange::Times(start, end) => {
                // Null clears the fields of the other kind (date or dateTime).
                let mut body = json!({ "start": time(start), "end": time(end) });
                for name in ["date", "dateTime", "timeZone"] {
                    for end in ["start", "end"] {
                        body[end]
                            .as_object_mut()
                            .unwrap()
                            .entry(name)
                            .or_insert(Value::Null);
                    }
                }
                body
            }
        };
        self.call(
            Method::PATCH,
            &format!("calendars/primary/events/{id}"),
            None,
            Some(body),
        )
        .await
        .0
    }

    async fn remove(&self, id: &str) -> StatusCode {
        self.call(
            Method::DELETE,
            &format!("calendars/primary/events/{id}"),
            None,
            None,
        )
        .await
        .0
    }

    async fn relocate(&self, id: &str, from: &str, to: &str) -> StatusCode {
        let path = format!("calendars/{from}/events/{id}/move?destination={to}");
        self.call(Method::POST, &path, None, None).await.0
    }

    fn occurrence(series: &str, start: &str) -> String {
        match start.parse::<chrono::NaiveDateTime>() {
            Ok(local) => format!(
                "{series}_{}",
                to_instant(local, chrono_tz::Europe::Berlin).format("%Y%m%dT%H%M%SZ")
            ),
            Err(_) => format!("{series}_{}", start.replace('-', "")),
        }
    }

    async fn all(&self) -> Vec<RemoteSnapshot> {
        let list = self.get("calendars/primary/events?maxResults=2500").await;
        let found = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["status"] != "cancelled");
        let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
        found
            .map(|event| RemoteSnapshot {
                id: text(event, "id"),
                title: text(event, "summary"),
                location: text(event, "location"),
                is_series: event.get("recurrence").is_some(),
                start: match event["start"]["date"].as_str() {
                    Some(date) => date.to_owned(),
                    None => {
                        let at = chrono::DateTime::parse_from_rfc3339(
                            event["start"]["dateTime"].as_str().unwrap(),
                        )
                        .unwrap();
                        at.with_timezone(&chrono_tz::Europe::Berlin)
                            .format("%Y-%m-%dT%H:%M:%S")
                            .to_string()
                    }
                },
                raw: event.clone(),
            })
            .collect()
    }

    async fn in_january(&self) -> usize {
        let path = "calendars/primary/events?singleEvents=true&timeMin=2027-01-01T00:00:00Z&timeMax=2027-02-01T00:00:00Z";
        self.get(path).await["items"].as_array().unwrap().len()
    }

    fn method(name: &str) -> &'static str {
        match name {
            "changes" => "calendar.events.list",
            "insert" => "calendar.events.insert",
            "update" => "calendar.events.update",
            "delete" => "calendar.events.delete",
            "read" => "calendar.events.get",
            "watch" => "calendar.events.watch",
            "stop" => "calendar.channels.stop",
            _ => "token",
        }
    }

    fn fault(name: &str, trouble: InjectedFault) -> Value {
        let (status, reason, after) = match trouble {
            InjectedFault::Broken => (503, "backendError", false),
            InjectedFault::Lost => (500, "backendError", true),
            InjectedFault::Throttled => (403, "rateLimitExceeded", false),
            InjectedFault::ThrottledAfter => (429, "rateLimitExceeded", true),
            InjectedFault::Conflict => (412, "conditionNotMet", false),
            InjectedFault::Rejected => (401, "authError", false),
            InjectedFault::Forbidden => (403, "forbiddenForNonOrganizer", false),
        };
        json!({ "method": Self::method(name), "status": status, "reason": reason, "after": after })
    }

    fn session(&self) -> Box<dyn CalendarProvider> {
        let client = OAuthClient {
            client_id: "calweave".into(),
            client_secret: String::new().into(),
            redirect_uri: String::new(),
            endpoint: Some(self.url.clone()),
        };
        shared::providers::google::Google::new(client, Clock::System)
            .session(
                Credentials::AccessToken(Secret::new(self.token.clone())),
                EMAIL,
            )
            .unwrap()
    }
}

/// Returns a time in Berlin, or a date.
fn time(text: &str) -> Value {
    match text.parse::<chrono::NaiveDateTime>() {
        Ok(local) => {
            let zone = chrono_tz::Europe::Berlin;
            json!({ "dateTime": rfc3339(to_instant(local, zone), zone), "timeZone": "Europe/Berlin" })
        }
        Err(_) => json!({ "date": text }),
    }
}

pub fn reason(body: &Value) -> &str {
    body["error"]["errors"][0]["reason"]
        .as_str()
        .unwrap_or_default()
}
