//! A server on this machine for what a provider sends: the browser that comes back from the
//! sign-in, and notifications.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use tokio::net::TcpListener;

/// The path of the redirect URI.
pub(super) const CALLBACK: &str = "/live-check";
/// The path to which notifications are sent.
pub(super) const NOTIFICATIONS: &str = "/notifications";
/// A path whose responses never pass a validation.
pub(super) const REFUSING: &str = "/refusing";

/// A received request.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub path: String,
    pub query: HashMap<String, String>,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Delivery {
    /// Returns a header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

type Deliveries = Arc<Mutex<Vec<Delivery>>>;

/// The server, and what it has received.
pub(super) struct Inbox {
    pub port: u16,
    deliveries: Deliveries,
}

impl Inbox {
    /// Listens on a port of 127.0.0.1; 0 stands for any free one.
    pub async fn open(port: u16) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot listen on port {port}: {error}");
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let deliveries = Deliveries::default();
        let router = Router::new()
            .fallback(receive)
            .with_state(Arc::clone(&deliveries));
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the server for notifications stopped: {error}");
            }
        });
        Ok(Self { port, deliveries })
    }

    /// Returns the first request that `is_meant` selects, and waits for it if it has not come yet;
    /// `None` if it does not come in time.
    pub async fn wait_for(
        &self,
        limit: Duration,
        is_meant: impl Fn(&Delivery) -> bool,
    ) -> Option<Delivery> {
        let end = Instant::now() + limit;
        loop {
            let found = lock(&self.deliveries)
                .iter()
                .find(|one| is_meant(one))
                .cloned();
            if found.is_some() || Instant::now() >= end {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn lock(deliveries: &Deliveries) -> MutexGuard<'_, Vec<Delivery>> {
    deliveries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores a request. Answers the browser with a page, the validation of an address with its token,
/// and a notification with 202.
async fn receive(
    State(deliveries): State<Deliveries>,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let path = uri.path().to_owned();
    let answer = match (path.as_str(), query.get("validationToken")) {
        (REFUSING, _) => StatusCode::NOT_FOUND.into_response(),
        (CALLBACK, _) => {
            Html("<!doctype html><p>Signed in. You can close this page.").into_response()
        }
        (_, Some(token)) => token.clone().into_response(),
        _ => StatusCode::ACCEPTED.into_response(),
    };
    let text = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
        (
            name.as_str().to_owned(),
            value.to_str().unwrap_or_default().to_owned(),
        )
    };
    let headers = headers.iter().map(text).collect();
    lock(&deliveries).push(Delivery {
        path,
        query,
        headers,
        body,
    });
    answer
}
