//! Google Calendar API v3 (<https://developers.google.com/calendar/api/v3/reference>) and Google's OAuth 2.0.

mod calendars;
mod channels;
mod events;
pub mod oauth;
mod read;
mod write;

use std::sync::Arc;

use calweave_base::config::OAuthClient;
use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::event::Event;
use calweave_domain::grant::Grant;
use calweave_domain::ids::{CalendarId, EventId};
use calweave_domain::link::Response;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::http::{Answer, Call, Http};
use super::oauth::{Authorize, Came, SignedIn};
use super::{
    Accounts, Ask, Asked, Manners, Opened, Page, Provider, ProviderError, Remote, Result, Target,
    Watches, Writing, ids,
};

const NAME: &str = "Google";
/// How long a grant of an app in testing lasts.
const TESTING: TimeDelta = TimeDelta::days(7);

/// Google, as this deployment is known there.
#[derive(Clone, Debug)]
pub struct Google {
    http: Http,
    client: Arc<OAuthClient>,
}

impl Google {
    /// Nothing is connected to until it is needed.
    pub fn new(client: OAuthClient) -> Self {
        Self {
            http: Http::default(),
            client: Arc::new(client),
        }
    }

    /// An address of Google's; another host stands in for all of Google's where the configuration names one.
    fn url(&self, host: &str, path: &str) -> Result<Url> {
        let base = self
            .client
            .endpoint
            .clone()
            .unwrap_or_else(|| format!("https://{host}"));
        Url::parse(&format!("{base}{path}")).map_err(|error| malformed(&error))
    }
}

fn malformed(detail: &dyn std::fmt::Display) -> ProviderError {
    ProviderError::Malformed {
        provider: NAME,
        detail: detail.to_string(),
    }
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
        Self {
            method,
            path,
            query: vec![],
            if_match: None,
            body: None,
        }
    }

    fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }
}

impl Session {
    /// The answer as JSON; null for one without a body.
    async fn call(&self, request: Request<'_>) -> Result<Value> {
        let mut url = self.google.url("www.googleapis.com", "/calendar/v3")?;
        url.path_segments_mut()
            .map_err(|()| malformed(&"no path"))?
            .extend(request.path);
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let authorization =
            zeroize::Zeroizing::new(format!("Bearer {}", self.access_token.expose()));
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
        let answer = self
            .google
            .http
            .ask(
                NAME,
                Call {
                    method: request.method,
                    url,
                    headers: &headers,
                    body,
                },
            )
            .await?;
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
    let reason = error["errors"][0]["reason"]
        .as_str()
        .unwrap_or("unknown")
        .to_owned();
    let message: String = error["message"]
        .as_str()
        .unwrap_or("no explanation")
        .chars()
        .take(300)
        .collect();
    let provider = NAME;
    match (answer.status, reason.as_str()) {
        (401, _) => ProviderError::Unauthorized { provider },
        (
            403,
            "rateLimitExceeded"
            | "userRateLimitExceeded"
            | "quotaExceeded"
            | "calendarUsageLimitsExceeded",
        )
        | (429, _) => {
            // Usage limits, such as too many invitations, hold for hours.
            let long = matches!(
                reason.as_str(),
                "quotaExceeded" | "calendarUsageLimitsExceeded"
            );
            let retry_after = answer
                .retry_after
                .or(long.then_some(std::time::Duration::from_secs(3600)));
            ProviderError::Throttled {
                provider,
                reason,
                retry_after,
            }
        }
        (404, _) | (410, "deleted") => ProviderError::NotFound { provider },
        (409, "duplicate") => ProviderError::Taken { provider },
        (410, _) => ProviderError::PositionGone { provider },
        (412, _) => ProviderError::Changed { provider },
        (400, "pushNotSupportedForRequestedResource") => ProviderError::Unwatchable { provider },
        (500.. | 409, _) => ProviderError::Failing {
            provider,
            status: answer.status,
        },
        _ => ProviderError::Refused {
            provider,
            reason,
            message,
        },
    }
}

/// Google's instants: milliseconds since the epoch, as a text.
fn millis(text: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(text.as_str()?.parse().ok()?)
}

impl Provider for Session {
    fn manners(&self) -> Manners {
        Manners {
            kind: ProviderKind::Google,
            query: events::QUERY,
            rebased: TimeDelta::days(30),
            keeps_our_ids: true,
            removals_are_certain: true,
            series_come_whole: false,
            watches: Watches::Calendar,
            at_once: None,
        }
    }

    fn event_id(&self, calendar: CalendarId, remote_id: &str) -> EventId {
        ids::event_id(calendar, remote_id)
    }

    fn remote_id(&self, event: &EventId, generation: u32) -> Option<String> {
        Some(ids::remote_id(event, generation))
    }

    fn calendars(&self) -> Asked<'_, Vec<AccountCalendar>> {
        Box::pin(calendars::list(self))
    }

    fn changes<'a>(
        &'a self,
        target: Target<'a>,
        ask: &'a Ask<'a>,
        page: Option<&'a str>,
    ) -> Asked<'a, Page> {
        Box::pin(events::list(self, target, ask, page))
    }

    fn current<'a>(
        &'a self,
        target: Target<'a>,
        event: &'a Event,
        series: Option<&'a str>,
    ) -> Asked<'a, Option<Remote>> {
        Box::pin(events::current(self, target, event, series))
    }

    fn created<'a>(&'a self, target: Target<'a>, event: &'a Event) -> Asked<'a, Option<Remote>> {
        Box::pin(events::created(self, target, event))
    }

    fn create<'a>(
        &'a self,
        target: Target<'a>,
        event: &'a Event,
        writing: Writing,
    ) -> Asked<'a, Event> {
        Box::pin(events::create(self, target, event, writing))
    }

    fn update<'a>(
        &'a self,
        target: Target<'a>,
        now: &'a Remote,
        event: &'a Event,
        writing: Writing,
    ) -> Asked<'a, Event> {
        Box::pin(events::update(self, target, now, event, writing))
    }

    fn respond<'a>(
        &'a self,
        target: Target<'a>,
        now: &'a Remote,
        response: &'a Response,
    ) -> Asked<'a, Option<Event>> {
        Box::pin(events::respond(self, target, now, response))
    }

    fn delete<'a>(
        &'a self,
        target: Target<'a>,
        event: &'a Event,
        writing: Writing,
    ) -> Asked<'a, ()> {
        Box::pin(events::delete(self, target, event, writing))
    }

    fn watch<'a>(
        &'a self,
        target: Target<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> Asked<'a, Opened> {
        Box::pin(channels::watch(self, target, channel, secret, address))
    }

    fn extend<'a>(&'a self, _: &'a str) -> Asked<'a, Option<Opened>> {
        Box::pin(async { Ok(None) })
    }

    fn stop<'a>(&'a self, channel: &'a str, resource_id: &'a str) -> Asked<'a, ()> {
        Box::pin(channels::stop(self, channel, resource_id))
    }
}

impl Accounts for Google {
    fn client(&self) -> &OAuthClient {
        &self.client
    }

    fn authorize(&self) -> Result<Authorize> {
        self.begin()
    }

    fn authorize_all(&self) -> Result<Option<Authorize>> {
        Ok(None)
    }

    fn exchange<'a>(&'a self, came: Came<'a>, now: DateTime<Utc>) -> Asked<'a, SignedIn> {
        Box::pin(self.sign_in(came, now))
    }

    fn renew<'a>(&'a self, grant: &'a Grant, now: DateTime<Utc>) -> Asked<'a, Grant> {
        Box::pin(self.refresh(grant, now))
    }

    fn revoke<'a>(&'a self, refresh_token: &'a Secret) -> Asked<'a, ()> {
        Box::pin(self.take_back(refresh_token))
    }

    fn why_lost(&self, age: TimeDelta) -> Option<&'static str> {
        let near = (age - TESTING).abs() < TimeDelta::hours(12);
        near.then_some(
            "apps whose publishing status is \"Testing\" lose their grants after seven days",
        )
    }

    fn session(&self, access_token: Secret, _: &str) -> Box<dyn Provider> {
        Box::new(Session {
            google: self.clone(),
            access_token,
        })
    }
}
