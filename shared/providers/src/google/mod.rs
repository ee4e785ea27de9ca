//! The Google Calendar API v3 (<https://developers.google.com/calendar/api/v3/reference>) and
//! Google's OAuth 2.0.

mod calendars;
mod channels;
mod events;
pub mod oauth;
mod read;
mod write;

use std::sync::Arc;

use calweave_base::clock::Clock;
use calweave_base::config::{Environment, OAuthClient};
use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::event::Event;
use calweave_domain::grant::Grant;
use calweave_domain::ids::{CalendarId, EventId};
use calweave_domain::link::RsvpResponse;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::http::{ProviderClient, ProviderRequest, ProviderResponse};
use super::oauth::{AuthorizationCallback, AuthorizationRequest, AuthorizedAccount};
use super::{
    CalendarProvider, Capabilities, ChangePage, Connect, Credentials, OAuthProvider, OpenedChannel,
    ProviderError, ProviderFuture, ReadScope, Refusal, RemoteCalendar, RemoteEvent, Result,
    WriteOptions, ids,
};

const NAME: &str = "Google";
/// The lifetime of a grant if the publishing status of the app is "Testing".
const TESTING: TimeDelta = TimeDelta::days(7);

/// Reads `GOOGLE_CLIENT_ID` and the other settings of the OAuth client. Returns `None` if they are
/// not set.
pub fn read(env: &mut Environment<'_>, clock: &Clock) -> Option<Box<dyn Connect>> {
    let client = OAuthClient::read(env, "GOOGLE")?;
    Some(Box::new(Google::new(client, clock.clone())))
}

/// Google as a provider, with the OAuth client that this deployment is registered as.
#[derive(Clone, Debug)]
pub struct Google {
    http: ProviderClient,
    client: Arc<OAuthClient>,
}

impl Google {
    /// Creates the provider. The first call opens the first connection.
    pub fn new(client: OAuthClient, clock: Clock) -> Self {
        Self {
            http: ProviderClient::new(clock),
            client: Arc::new(client),
        }
    }

    /// Returns a URL of Google's. If an endpoint is configured, it replaces all of Google's hosts.
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

/// Calls the Calendar API on behalf of one account.
pub struct GoogleSession {
    google: Google,
    access_token: Secret,
}

/// A request below `/calendar/v3/`. Each path segment is escaped separately because ids contain `@`
/// and `#`.
struct GoogleRequest<'a> {
    method: Method,
    path: &'a [&'a str],
    query: Vec<(&'static str, String)>,
    if_match: Option<&'a str>,
    body: Option<&'a Value>,
}

impl<'a> GoogleRequest<'a> {
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

impl GoogleSession {
    /// Sends a request. Returns the response body as JSON, or null if the body is empty.
    async fn call(&self, request: GoogleRequest<'_>) -> Result<Value> {
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
            .call(
                NAME,
                ProviderRequest {
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

/// Maps an error response. The status alone is ambiguous: Google's `reason` tells the errors apart
/// (<https://developers.google.com/calendar/api/guides/errors>).
fn refusal(answer: &ProviderResponse) -> ProviderError {
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
            // Usage limits, such as the one on invitations, apply for hours.
            let long = matches!(
                reason.as_str(),
                "quotaExceeded" | "calendarUsageLimitsExceeded"
            );
            let retry_after = answer
                .retry_after
                .or(long.then_some(std::time::Duration::from_secs(3600)));
            ProviderError::Throttled {
                provider,
                // The quota of calls is the OAuth project's; other limits are those of a user.
                is_project_wide: reason == "quotaExceeded",
                reason,
                retry_after,
            }
        }
        (404, _) | (410, "deleted") => ProviderError::NotFound { provider },
        (409, "duplicate") => ProviderError::AlreadyExists { provider },
        (410, _) => ProviderError::SyncStateExpired { provider },
        (412, _) => ProviderError::PreconditionFailed { provider },
        (400, "pushNotSupportedForRequestedResource") => {
            ProviderError::PushUnsupported { provider }
        }
        (500.. | 409, _) => ProviderError::ServerError {
            provider,
            status: answer.status,
        },
        _ => ProviderError::Refused {
            provider,
            reason: Refusal::Other(reason),
            message,
        },
    }
}

/// Parses an instant: milliseconds since the Unix epoch, as a string.
fn millis(text: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(text.as_str()?.parse().ok()?)
}

impl CalendarProvider for GoogleSession {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: ProviderKind::Google,
            query: events::QUERY,
            rebase_after: TimeDelta::days(30),
            ids_are_reversible: true,
            removals_are_definitive: true,
            series_include_exceptions: false,
            max_concurrent_syncs: None,
        }
    }

    fn event_id(&self, calendar: CalendarId, remote_id: &str) -> EventId {
        ids::event_id(calendar, remote_id)
    }

    fn remote_id(&self, event: &EventId, generation: u32) -> Option<String> {
        Some(ids::remote_id(event, generation))
    }

    fn list_calendars(&self) -> ProviderFuture<'_, Vec<AccountCalendar>> {
        Box::pin(calendars::list(self))
    }

    fn list_changes<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        scope: &'a ReadScope<'a>,
        page: Option<&'a str>,
    ) -> ProviderFuture<'a, ChangePage> {
        Box::pin(events::list(self, target, scope, page))
    }

    fn get_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        series: Option<&'a str>,
    ) -> ProviderFuture<'a, Option<RemoteEvent>> {
        Box::pin(events::current(self, target, event, series))
    }

    fn find_created<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
    ) -> ProviderFuture<'a, Option<RemoteEvent>> {
        Box::pin(events::created(self, target, event))
    }

    fn create_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Option<Event>> {
        Box::pin(events::create(self, target, event, options))
    }

    fn update_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Event> {
        Box::pin(events::update(self, target, now, event, options))
    }

    fn respond<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        response: &'a RsvpResponse,
    ) -> ProviderFuture<'a, Option<Event>> {
        Box::pin(events::respond(self, target, now, response))
    }

    fn delete_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, ()> {
        Box::pin(events::delete(self, target, event, options))
    }

    fn open_channel<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> ProviderFuture<'a, OpenedChannel> {
        Box::pin(channels::watch(self, target, channel, secret, address))
    }

    fn extend_channel<'a>(&'a self, _: &'a str) -> ProviderFuture<'a, Option<OpenedChannel>> {
        Box::pin(async { Ok(None) })
    }

    fn close_channel<'a>(
        &'a self,
        channel: &'a str,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, ()> {
        Box::pin(channels::close_channel(self, channel, resource_id))
    }
}

impl Connect for Google {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Google
    }

    fn public_url(&self) -> &str {
        self.client.public_url()
    }

    fn session(&self, credentials: Credentials, _: &str) -> Result<Box<dyn CalendarProvider>> {
        let Credentials::AccessToken(access_token) = credentials;
        Ok(Box::new(GoogleSession {
            google: self.clone(),
            access_token,
        }))
    }

    fn oauth(&self) -> Option<&dyn OAuthProvider> {
        Some(self)
    }
}

impl OAuthProvider for Google {
    fn client(&self) -> &OAuthClient {
        &self.client
    }

    fn authorize(&self) -> Result<AuthorizationRequest> {
        self.begin()
    }

    fn authorize_organization(&self) -> Result<Option<AuthorizationRequest>> {
        Ok(None)
    }

    fn exchange<'a>(
        &'a self,
        callback: AuthorizationCallback<'a>,
        now: DateTime<Utc>,
    ) -> ProviderFuture<'a, AuthorizedAccount> {
        Box::pin(self.sign_in(callback, now))
    }

    fn refresh<'a>(&'a self, grant: &'a Grant, now: DateTime<Utc>) -> ProviderFuture<'a, Grant> {
        Box::pin(self.refresh_grant(grant, now))
    }

    fn revoke<'a>(&'a self, refresh_token: &'a Secret) -> ProviderFuture<'a, ()> {
        Box::pin(self.revoke_token(refresh_token))
    }

    fn likely_revocation_cause(&self, age: TimeDelta) -> Option<&'static str> {
        let near = (age - TESTING).abs() < TimeDelta::hours(12);
        near.then_some(
            "apps whose publishing status is \"Testing\" lose their grants after seven days",
        )
    }
}
