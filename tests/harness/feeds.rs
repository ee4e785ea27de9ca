//! A feed server on loopback, and builders for feeds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;

/// The response of a feed.
#[derive(Clone, Debug, Default)]
pub struct FeedResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Sends an endless or a very slow stream instead of the body.
    pub stream: Option<Stream>,
    /// The ETag. A request with it in `If-None-Match` gets a 304.
    pub etag: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Endless,
    BytePerSecond,
}

impl FeedResponse {
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

/// A feed server on loopback.
#[derive(Clone)]
pub struct FeedServer {
    address: SocketAddr,
    state: Arc<Mutex<FeedState>>,
}

#[derive(Default)]
struct FeedState {
    feeds: HashMap<String, FeedResponse>,
    requests: Vec<(String, HeaderMap)>,
}

impl FeedServer {
    pub async fn start() -> Self {
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

    pub fn set(&self, path: &str, feed: FeedResponse) {
        self.state
            .lock()
            .unwrap()
            .feeds
            .insert(path.to_owned(), feed);
    }

    pub fn set_ics(&self, path: &str, body: impl Into<Bytes>) {
        self.set(path, FeedResponse::ics(body));
    }

    /// Returns the headers of each request for a path.
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
            // Some servers send bytes that are not ASCII.
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    if let Some(etag) = &feed.etag {
        response.headers_mut().insert("etag", etag.parse().unwrap());
    }
    response
}

/// Returns a feed of these events, each given as the inner lines of its `VEVENT`.
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

/// Returns a feed of `count` events of one hour, one each day from this date on.
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
