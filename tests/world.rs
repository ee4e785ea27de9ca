//! What a test lives in: a backend of its own, a server of feeds, and people who call the API.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use local::stack::{Options, Stack};
use local::template::Template;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::google;
use crate::side::{ProviderHarness, browser};

/// A backend in memory and a server of feeds beside it.
pub struct World {
    pub stack: Stack,
    pub feeds: FeedServer,
    client: reqwest::Client,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Value,
}

/// Somebody who is signed in.
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
        Self::with(Options::default()).await
    }

    /// On another AWS than the emulators where `CALWEAVE_TEST_AWS_ENDPOINT` names one.
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

    /// With a Google beside it, in which one person has an account.
    pub async fn with_google() -> (Self, google::GoogleHarness) {
        Self::beside(Options::default()).await
    }

    /// With a provider beside it, in which one person has an account.
    pub async fn beside<S: ProviderHarness>(mut options: Options) -> (Self, S) {
        let side = S::at(options.clock.clone()).await;
        side.attach(&mut options);
        (Self::with(options).await, side)
    }

    /// Goes through the browser's part of linking an account; answers with the page that the browser ends on.
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

    /// What a browser with this cookie is sent on to from the callback.
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

    /// Links an account and connects some of its calendars; answers with their ids.
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

    /// The same, and waits for the calendars' first sync.
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

    /// Syncs a calendar of an account; answers with what was done.
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

    /// The same person with new tokens.
    pub async fn sign_in(&self, person: &Person) -> Person {
        let body = json!({ "email": person.email, "password": PASSWORD });
        let answer = self
            .call("POST", "/api/v1/auth/login", None, Some(body))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Person::from(&person.email, &answer.body)
    }

    /// Connects a feed and waits for its first sync.
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

    /// Syncs a calendar; answers with what was done.
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

    /// Everything that is stored, as text.
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

    /// Asks again and again until something is so.
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

/// How a feed answers.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Send the body as an endless or a very slow stream.
    pub stream: Option<Stream>,
    /// Answer 304 to whoever shows this entity tag.
    pub etag: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Endless,
    BytePerSecond,
}

impl Feed {
    pub fn ics(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type".into(), "text/calendar".into())],
            body: body.into(),
            ..Self::default()
        }
    }

    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn redirect(to: &str) -> Self {
        Self {
            status: 302,
            headers: vec![("location".into(), to.into())],
            ..Self::default()
        }
    }
}

/// A server of feeds on loopback.
#[derive(Clone)]
pub struct FeedServer {
    address: SocketAddr,
    state: Arc<Mutex<FeedState>>,
}

#[derive(Default)]
struct FeedState {
    feeds: HashMap<String, Feed>,
    requests: Vec<(String, HeaderMap)>,
}

impl FeedServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let feeds = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::default(),
        };
        let router = Router::new().fallback(serve).with_state(feeds.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        feeds
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn set(&self, path: &str, feed: Feed) {
        self.state
            .lock()
            .unwrap()
            .feeds
            .insert(path.to_owned(), feed);
    }

    pub fn set_ics(&self, path: &str, body: impl Into<Bytes>) {
        self.set(path, Feed::ics(body));
    }

    /// The headers of every request for a path.
    pub fn requests(&self, path: &str) -> Vec<HeaderMap> {
        let state = self.state.lock().unwrap();
        state
            .requests
            .iter()
            .filter(|(asked, _)| asked == path)
            .map(|(_, headers)| headers.clone())
            .collect()
    }
}

async fn serve(State(feeds): State<FeedServer>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    let feed = {
        let mut state = feeds.state.lock().unwrap();
        state
            .requests
            .push((path.clone(), request.headers().clone()));
        state.feeds.get(&path).cloned()
    };
    let Some(feed) = feed else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let shown = request
        .headers()
        .get("if-none-match")
        .and_then(|tag| tag.to_str().ok())
        .map(str::to_owned);
    if feed.etag.is_some() && feed.etag == shown {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let body = match feed.stream {
        None => Body::from(feed.body),
        Some(Stream::Endless) => {
            let chunk = Bytes::from(vec![b'A'; 64 << 10]);
            Body::from_stream(futures::stream::repeat_with(move || {
                Ok::<_, std::io::Error>(chunk.clone())
            }))
        }
        Some(Stream::BytePerSecond) => Body::from_stream(futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"B")), ()))
        })),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(feed.status).unwrap();
    for (name, value) in &feed.headers {
        response.headers_mut().insert(
            axum::http::HeaderName::try_from(name).unwrap(),
            value.parse().unwrap(),
        );
    }
    if let Some(etag) = &feed.etag {
        response.headers_mut().insert("etag", etag.parse().unwrap());
    }
    response
}

/// A calendar of events given as the inner lines of each `VEVENT`.
pub fn calendar(events: &[&str]) -> String {
    let events: String = events
        .iter()
        .map(|lines| {
            format!(
                "BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n",
                lines.replace('\n', "\r\n")
            )
        })
        .collect();
    format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nX-WR-CALNAME:Test\r\n{events}END:VCALENDAR\r\n"
    )
}

/// `count` events of an hour, one each day from this date on.
pub fn daily(count: u32, first: &str, prefix: &str) -> String {
    let first: chrono::NaiveDate = first.parse().unwrap();
    let event = |day: u32| {
        let date = (first + chrono::TimeDelta::days(i64::from(day))).format("%Y%m%d");
        format!(
            "UID:{prefix}-{day}\nDTSTAMP:20260101T000000Z\nDTSTART:{date}T090000Z\nDTEND:{date}T100000Z\nSUMMARY:{prefix} {day}"
        )
    };
    let events: Vec<String> = (0..count).map(event).collect();
    calendar(&events.iter().map(String::as_str).collect::<Vec<_>>())
}
