//! Google Calendar API v3 (<https://developers.google.com/calendar/api/v3/reference>) and Google's OAuth 2.0.

mod calendars;
mod channels;
mod events;
pub mod ids;
pub mod oauth;
mod read;
mod write;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::http::{Answer, Call, Http};
use super::{Ask, Opened, Page, Provider, ProviderError, Remote, Result, Target, Writing};
use crate::config::OAuthClient;
use crate::domain::calendar::AccountCalendar;
use crate::domain::event::Event;
use crate::domain::ids::EventId;
use crate::vault::Secret;

const NAME: &str = "Google";

/// Google, as this deployment is known there.
#[derive(Clone, Debug)]
pub struct Google {
    http: Http,
    client: Arc<OAuthClient>,
}

impl Google {
    /// Nothing is connected to until it is needed.
    pub fn new(client: OAuthClient) -> Self {
        Self { http: Http::default(), client: Arc::new(client) }
    }

    /// The client that this deployment is registered as.
    pub fn client(&self) -> &OAuthClient {
        &self.client
    }

    /// Calls on behalf of whoever an access token speaks for.
    pub fn with(&self, access_token: Secret) -> Session {
        Session { google: self.clone(), access_token }
    }

    /// An address of Google's; another host stands in for all of Google's where the configuration names one.
    fn url(&self, host: &str, path: &str) -> Result<Url> {
        let base = self.client.endpoint.clone().unwrap_or_else(|| format!("https://{host}"));
        Url::parse(&format!("{base}{path}")).map_err(|error| malformed(&error))
    }

    async fn send(&self, call: Call<'_>) -> Result<Answer> {
        self.http.send(call).await.map_err(|source| ProviderError::Unreachable { provider: NAME, source: source.without_url() })
    }
}

fn malformed(detail: &dyn std::fmt::Display) -> ProviderError {
    ProviderError::Malformed { provider: NAME, detail: detail.to_string() }
}

/// Calls of the Calendar API on behalf of one account.
pub struct Session {
    google: Google,
    access_token: Secret,
}

/// A call below `/calendar/v3/`: each part of the path is escaped by itself, as ids hold `@` and `#`.
struct Request<'a> {
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    if_match: Option<&'a str>,
    body: Option<&'a Value>,
}

impl<'a> Request<'a> {
    fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self { method, path, query: vec![], if_match: None, body: None }
    }

    fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }
}

impl Session {
    /// The answer as JSON; null for one without a body.
    async fn call(&self, request: Request<'_>) -> Result<Value> {
        let mut url = self.google.url("www.googleapis.com", "/calendar/v3")?;
        url.path_segments_mut().map_err(|()| malformed(&"no path"))?.extend(request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let authorization = zeroize::Zeroizing::new(format!("Bearer {}", self.access_token.expose()));
        let mut headers = vec![("authorization", authorization.as_str())];
        let body = request.body.map(|body| body.to_string().into_bytes());
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        } else if request.method == Method::POST {
            headers.push(("content-length", "0"));
        }
        if let Some(version) = request.if_match {
            headers.push(("if-match", version));
        }
        let answer = self.google.send(Call { method: request.method, url, headers: &headers, body }).await?;
        if (200..300).contains(&answer.status) {
            if answer.body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&answer.body).map_err(|error| malformed(&error));
        }
        Err(refusal(&answer))
    }
}

/// What an answer that is no success means: Google's `reason` says it, the status alone does not
/// (<https://developers.google.com/calendar/api/guides/errors>).
fn refusal(answer: &Answer) -> ProviderError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &body["error"];
    let reason = error["errors"][0]["reason"].as_str().unwrap_or("unknown").to_owned();
    let message: String = error["message"].as_str().unwrap_or("no explanation").chars().take(300).collect();
    let provider = NAME;
    match (answer.status, reason.as_str()) {
        (401, _) => ProviderError::Unauthorized { provider },
        (403, "rateLimitExceeded" | "userRateLimitExceeded" | "quotaExceeded" | "calendarUsageLimitsExceeded") | (429, _) => {
            // Usage limits, such as too many invitations, hold for hours.
            let long = matches!(reason.as_str(), "quotaExceeded" | "calendarUsageLimitsExceeded");
            let retry_after = answer.retry_after.or(long.then_some(std::time::Duration::from_secs(3600)));
            ProviderError::Throttled { provider, reason, retry_after }
        }
        (404, _) | (410, "deleted") => ProviderError::NotFound { provider },
        (409, "duplicate") => ProviderError::Taken { provider },
        (410, _) => ProviderError::PositionGone { provider },
        (412, _) => ProviderError::Changed { provider },
        (400, "pushNotSupportedForRequestedResource") => ProviderError::Unwatchable { provider },
        (500.. | 409, _) => ProviderError::Failing { provider, status: answer.status },
        _ => ProviderError::Refused { provider, reason, message },
    }
}

/// Google's instants: milliseconds since the epoch, as a text.
fn millis(text: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(text.as_str()?.parse().ok()?)
}

impl Provider for Session {
    const NAME: &'static str = NAME;
    const PATH: &'static str = "google";
    const QUERY: &'static str = events::QUERY;

    fn remote_id(event: &EventId, generation: u32) -> String {
        ids::remote_id(event, generation)
    }

    async fn calendars(&self) -> Result<Vec<AccountCalendar>> {
        calendars::list(self).await
    }

    async fn changes(&self, target: Target<'_>, ask: &Ask<'_>, page: Option<&str>) -> Result<Page> {
        events::list(self, target, ask, page).await
    }

    async fn current(&self, target: Target<'_>, event: &Event, series: Option<&str>) -> Result<Option<Remote>> {
        events::current(self, target, event, series).await
    }

    async fn create(&self, target: Target<'_>, event: &Event, writing: Writing) -> Result<Event> {
        events::create(self, target, event, writing).await
    }

    async fn update(&self, target: Target<'_>, now: &Remote, event: &Event, writing: Writing) -> Result<Event> {
        events::update(self, target, now, event, writing).await
    }

    async fn delete(&self, target: Target<'_>, event: &Event, writing: Writing) -> Result<()> {
        events::delete(self, target, event, writing).await
    }

    async fn watch(&self, target: Target<'_>, channel: &str, secret: &str, address: &str) -> Result<Opened> {
        channels::watch(self, target, channel, secret, address).await
    }

    async fn stop(&self, channel: &str, resource_id: &str) -> Result<()> {
        channels::stop(self, channel, resource_id).await
    }
}
