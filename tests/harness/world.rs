//! The environment of a test: its own backend, a feed server, and users who call the API.

use std::time::Duration;

use axum::http::HeaderMap;
use local::stack::{Options, Stack};
use local::template::Template;
use reqwest::Method;
use serde_json::{Value, json};

use super::feeds::FeedServer;
use super::google;
use super::{ProviderHarness, browser, options};

/// A backend on emulators in memory, and a feed server.
pub struct World {
    pub stack: Stack,
    pub feeds: FeedServer,
    client: reqwest::Client,
}

/// A response of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// A signed-in user.
#[derive(Clone, Debug)]
pub struct Person {
    pub email: String,
    pub token: String,
    pub refresh: String,
    pub id: String,
}

pub const PASSWORD: &str = "correct horse battery";

impl World {
    pub async fn new() -> Self {
        Self::with(options()).await
    }

    /// Starts a world. `CALWEAVE_TEST_AWS_ENDPOINT` selects another AWS endpoint than the emulators.
    pub async fn with(options: Options) -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test's own switch")]
        let elsewhere = std::env::var("CALWEAVE_TEST_AWS_ENDPOINT").ok();
        let options = Options {
            elsewhere,
            ..options
        };
        let stack = Stack::start(&Template::bundled().unwrap(), options)
            .await
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            stack,
            feeds: FeedServer::start().await,
            client,
        }
    }

    /// Starts a world with a Google sandbox that has one account.
    pub async fn with_google() -> (Self, google::GoogleHarness) {
        Self::beside(options()).await
    }

    /// Starts a world with a provider's sandbox that has one account.
    pub async fn beside<S: ProviderHarness>(mut options: Options) -> (Self, S) {
        let side = S::at(options.clock.clone()).await;
        side.attach(&mut options);
        (Self::with(options).await, side)
    }

    /// Runs the browser flow of linking an account. Returns the URL of the page that the browser ends on.
    pub async fn link<S: ProviderHarness>(
        &self,
        side: &S,
        person: &Person,
        email: &str,
        answer: &str,
        unticked: &[&str],
    ) -> reqwest::Url {
        let login = self
            .get(person, &format!("/api/v1/calendar/oauth/{}/login", S::PATH))
            .await;
        assert_eq!(login.status, 200, "{login:?}");
        let cookie = login.headers["set-cookie"]
            .to_str()
            .unwrap()
            .split(';')
            .next()
            .unwrap()
            .to_owned();
        let back = side
            .consent(
                login.body["authUrl"].as_str().unwrap(),
                email,
                answer,
                unticked,
            )
            .await;
        self.come_back(&back, &cookie).await
    }

    /// Calls the callback with this cookie. Returns the target of its redirect.
    pub async fn come_back(&self, callback: &str, cookie: &str) -> reqwest::Url {
        let response = browser()
            .get(callback)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 303, "{callback}");
        reqwest::Url::parse(response.headers()["location"].to_str().unwrap()).unwrap()
    }

    /// Links an account and connects these of its calendars. Returns their ids.
    pub async fn choose<S: ProviderHarness>(
        &self,
        side: &S,
        person: &Person,
        email: &str,
        calendars: &[&str],
    ) -> Vec<String> {
        let page = self.link(side, person, email, "allow", &[]).await;
        let session = page
            .query_pairs()
            .find(|(name, _)| name == "session")
            .unwrap_or_else(|| panic!("{page}"))
            .1
            .into_owned();
        let choice = json!({ "sessionId": session, "selectedCalendarIds": calendars });
        let selected = self
            .post(
                person,
                &format!("/api/v1/calendar/oauth/{}/select", S::PATH),
                choice,
            )
            .await;
        assert_eq!(selected.status, 201, "{selected:?}");
        let chosen = selected.body["calendars"].as_array().unwrap();
        chosen
            .iter()
            .map(|calendar| calendar["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// As [`choose`](Self::choose), and waits for the first sync of each calendar.
    pub async fn connect_account<S: ProviderHarness>(
        &self,
        side: &S,
        person: &Person,
        email: &str,
        calendars: &[&str],
    ) -> Vec<String> {
        let ids = self.choose(side, person, email, calendars).await;
        for id in &ids {
            self.sync_calendar(person, id).await;
        }
        ids
    }

    /// Syncs a calendar of an account. Returns the response body.
    pub async fn sync_calendar(&self, person: &Person, calendar: &str) -> Value {
        let answer = self
            .post(
                person,
                &format!("/api/v1/calendar/calendars/{calendar}/sync?wait=25"),
                json!({}),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub async fn call(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let headers: Vec<(&str, String)> = token
            .map(|token| ("authorization", format!("Bearer {token}")))
            .into_iter()
            .collect();
        self.send(method, path, &headers, body.map(|body| body.to_string()))
            .await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.client.request(
            Method::from_bytes(method.as_bytes()).unwrap(),
            format!("{}{path}", self.stack.url),
        );
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let response = request.body(body.unwrap_or_default()).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.unwrap();
        Answer {
            status,
            headers,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    pub async fn get(&self, person: &Person, path: &str) -> Answer {
        self.call("GET", path, Some(&person.token), None).await
    }

    pub async fn post(&self, person: &Person, path: &str, body: Value) -> Answer {
        self.call("POST", path, Some(&person.token), Some(body))
            .await
    }

    pub async fn sign_up(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let body = json!({ "email": email, "password": PASSWORD, "timezone": "Europe/Berlin" });
        let answer = self
            .call("POST", "/api/v1/auth/signup", None, Some(body))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        Person::from(&email, &answer.body)
    }

    /// Signs the user in again, for new tokens.
    pub async fn sign_in(&self, person: &Person) -> Person {
        let body = json!({ "email": person.email, "password": PASSWORD });
        let answer = self
            .call("POST", "/api/v1/auth/login", None, Some(body))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Person::from(&person.email, &answer.body)
    }

    /// Connects a feed and waits for its first sync. Returns the calendar's id.
    pub async fn connect(&self, person: &Person, path: &str) -> String {
        let answer = self
            .post(
                person,
                "/api/v1/calendar/ics/connect",
                json!({ "url": self.feeds.url(path) }),
            )
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let id = answer.body["id"].as_str().unwrap().to_owned();
        self.sync(person, &id).await;
        id
    }

    /// Syncs a feed's calendar. Returns the response body.
    pub async fn sync(&self, person: &Person, calendar: &str) -> Value {
        let answer = self
            .post(
                person,
                &format!("/api/v1/calendar/ics/{calendar}/sync?wait=25"),
                json!({}),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub async fn events(&self, person: &Person, start: &str, end: &str) -> Vec<Value> {
        let answer = self
            .get(
                person,
                &format!("/api/v1/calendar/events?start={start}&end={end}"),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body["events"].as_array().unwrap().clone()
    }

    /// Returns the items of all tables, as text.
    pub async fn dump(&self) -> String {
        let mut text = String::new();
        for variable in [
            "IDENTITY_TABLE",
            "VAULT_TABLE",
            "CALENDAR_TABLE",
            "AUDIT_TABLE",
        ] {
            let table = &self.stack.services.variables[variable];
            let mut next = None;
            loop {
                let page = self
                    .stack
                    .services
                    .dynamodb
                    .scan()
                    .table_name(table)
                    .set_exclusive_start_key(next)
                    .send()
                    .await
                    .unwrap();
                for item in page.items() {
                    text.push_str(&format!("{variable} {item:?}\n"));
                }
                next = page.last_evaluated_key;
                if next.is_none() {
                    break;
                }
            }
        }
        text
    }

    /// Polls until `look` returns a value. Panics after 200 attempts, 50 ms apart.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        for _ in 0..200 {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("waited in vain for {what}");
    }
}

impl Person {
    pub fn from(email: &str, body: &Value) -> Self {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let id = body["user"]["id"].as_str().unwrap_or_default().to_owned();
        Self {
            email: email.to_owned(),
            token: text("accessToken"),
            refresh: text("refreshToken"),
            id,
        }
    }
}
