//! Microsoft Graph v1.0 (<https://learn.microsoft.com/graph/api/resources/calendar>) and the Microsoft identity platform.

mod calendars;
mod events;
mod oauth;
pub mod pattern;
#[cfg(test)]
mod properties;
mod read;
pub mod recurrence;
mod series;
mod subscriptions;
mod write;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use calweave_base::clock::{Clock, random_bytes};
use calweave_base::config::{Environment, OAuthClient};
use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::event::Event;
use calweave_domain::grant::Grant;
use calweave_domain::ids::{CalendarId, EventId, OriginalStart};
use calweave_domain::link::RsvpResponse;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::http::{ProviderClient, ProviderRequest, ProviderResponse};
use super::oauth::{AuthorizationCallback, AuthorizationRequest, AuthorizedAccount};
use super::{
    CalendarProvider, Capabilities, ChangePage, ChannelScope, Connect, Credentials, OAuthProvider,
    OpenedChannel, ProviderError, ProviderFuture, ReadScope, Refusal, RemoteCalendar, RemoteEvent,
    Result, WriteOptions,
};

pub use write::{undeletable, unwritable};

const NAME: &str = "Microsoft";
/// Graph lets an app have four requests of one mailbox under way at once; one is left for others.
const AT_ONCE: usize = 3;
/// The window of a delta token is frozen, so a new one is begun this often.
const REBASED: TimeDelta = TimeDelta::days(7);

/// Reads `MICROSOFT_CLIENT_ID` and what belongs to it; nothing without them. `MICROSOFT_TENANT` says whose accounts can be
/// linked: `common` for everybody's, or the id of a tenant.
pub fn read(env: &mut Environment<'_>, clock: &Clock) -> Option<Box<dyn Connect>> {
    let client = OAuthClient::read(env, "MICROSOFT");
    let tenant = env.optional("MICROSOFT_TENANT");
    let tenant = tenant.unwrap_or_else(|| "common".to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !tenant.bytes().all(is_plain) {
        env.report(
            "MICROSOFT_TENANT is no tenant: common, organizations, consumers, an id or a domain",
        );
    }
    Some(Box::new(Microsoft::new(client?, &tenant, clock.clone())))
}

/// Microsoft, as this deployment is known there.
#[derive(Clone, Debug)]
pub struct Microsoft {
    http: ProviderClient,
    client: Arc<OAuthClient>,
    tenant: Arc<str>,
    clock: Clock,
}

impl Microsoft {
    /// For the people of `tenant`: `common` for everybody, or a tenant's id. Nothing is connected to until it is needed.
    pub fn new(client: OAuthClient, tenant: &str, clock: Clock) -> Self {
        Self {
            http: ProviderClient::default(),
            client: Arc::new(client),
            tenant: tenant.into(),
            clock,
        }
    }

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

/// Calls of Graph on behalf of one account.
pub struct GraphSession {
    microsoft: Microsoft,
    access_token: Secret,
    /// The account's address: who of the attendees the account's owner is.
    email: String,
    /// Series that were read in this round of changes.
    seen: Arc<Mutex<HashSet<String>>>,
}

/// Ids survive that an event is moved; times come as UTC, texts as texts.
const PREFER: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text""#;
/// The same, for the text of an event as it really is.
const PREFER_HTML: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="html""#;
/// The same, for a page of changes.
const PREFER_PAGE: &str = r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text", odata.maxpagesize=100"#;

/// A call below `/v1.0/`: each part of the path is escaped by itself, as ids may hold `/` and `=`.
struct GraphRequest<'a> {
    method: Method,
    path: &'a [&'a str],
    /// In place of a path: an address that Graph has given.
    link: Option<&'a str>,
    query: Vec<(&'static str, String)>,
    prefer: &'static str,
    if_match: Option<&'a str>,
    body: Option<&'a Value>,
}

impl<'a> GraphRequest<'a> {
    fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            link: None,
            query: vec![],
            prefer: PREFER,
            if_match: None,
            body: None,
        }
    }

    fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// An address that Graph has given is followed as it is.
    fn follow(link: &'a str) -> Self {
        Self {
            link: Some(link),
            ..Self::get(&[])
        }
    }
}

impl GraphSession {
    fn new(microsoft: Microsoft, access_token: Secret, email: &str) -> Self {
        Self {
            microsoft,
            access_token,
            email: email.to_owned(),
            seen: Arc::default(),
        }
    }

    /// A list of changes is begun anew: nothing of it has been read.
    fn begin_round(&self) {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Whether a series has not been read yet in this round.
    fn is_first_sight(&self, series: &str) -> bool {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(series.to_owned())
    }

    /// The answer as JSON; null for one without a body.
    async fn call(&self, request: GraphRequest<'_>) -> Result<Value> {
        let mut url = self.microsoft.url("graph.microsoft.com", "/v1.0")?;
        match request.link {
            Some(link) => {
                let link = Url::parse(link).map_err(|error| malformed(&error))?;
                // The access token is for Graph alone.
                if link.origin() != url.origin() || !link.path().starts_with("/v1.0/") {
                    return Err(malformed(&"a link that leads elsewhere"));
                }
                url = link;
            }
            None => {
                url.path_segments_mut()
                    .map_err(|()| malformed(&"no path"))?
                    .extend(request.path);
                if !request.query.is_empty() {
                    url.query_pairs_mut().extend_pairs(&request.query);
                }
            }
        }
        let authorization =
            zeroize::Zeroizing::new(format!("Bearer {}", self.access_token.expose()));
        let request_id = uuid(random_bytes());
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("prefer", request.prefer),
            ("client-request-id", request_id.as_str()),
        ];
        let body = request.body.map(|body| body.to_string().into_bytes());
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        } else if request.method == Method::POST {
            headers.push(("content-length", "0"));
        }
        if let Some(version) = request.if_match {
            headers.push(("if-match", version));
        }
        let is_list = url.path().ends_with("/delta");
        let answer = self
            .microsoft
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
        Err(refusal(&answer, is_list))
    }
}

/// Random bytes as a UUID (RFC 9562, version 4).
fn uuid(bytes: [u8; 16]) -> String {
    let hex = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    format!(
        "{}-{}-4{}-a{}-{}",
        hex(0..4),
        hex(4..6),
        &hex(6..8)[1..],
        &hex(8..10)[1..],
        hex(10..16)
    )
}

/// What an answer that is no success means (<https://learn.microsoft.com/graph/errors>). Codes come in any case.
fn refusal(answer: &ProviderResponse, is_list: bool) -> ProviderError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &body["error"];
    let reason = error["code"].as_str().unwrap_or("unknown").to_owned();
    let message: String = error["message"]
        .as_str()
        .unwrap_or("no explanation")
        .chars()
        .take(300)
        .collect();
    let (provider, retry_after) = (NAME, answer.retry_after);
    let is = |known: &str| reason.eq_ignore_ascii_case(known);
    let is_position = ["syncStateNotFound", "syncStateInvalid", "resyncRequired"]
        .into_iter()
        .any(is);
    match answer.status {
        401 => ProviderError::Unauthorized { provider },
        429 => ProviderError::Throttled {
            provider,
            reason,
            retry_after,
        },
        503 if retry_after.is_some() => ProviderError::Throttled {
            provider,
            reason,
            retry_after,
        },
        400..=499 if is_position => ProviderError::SyncStateExpired { provider },
        // Of a list of changes; anything else is just not there any more.
        410 if is_list => ProviderError::SyncStateExpired { provider },
        410 => ProviderError::NotFound { provider },
        404 if !is("MailboxNotEnabledForRESTAPI") => ProviderError::NotFound { provider },
        412 => ProviderError::PreconditionFailed { provider },
        409 if is("ErrorIrresolvableConflict") => ProviderError::PreconditionFailed { provider },
        409 => ProviderError::AlreadyExists { provider },
        500.. => ProviderError::ServerError {
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

impl CalendarProvider for GraphSession {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: ProviderKind::Microsoft,
            query: events::QUERY,
            rebase_after: REBASED,
            ids_are_reversible: false,
            removals_are_definitive: false,
            series_include_exceptions: true,
            channel_scope: ChannelScope::Account,
            max_concurrent_syncs: Some(AT_ONCE),
        }
    }

    fn event_id(&self, calendar: CalendarId, remote_id: &str) -> EventId {
        EventId::of(calendar, remote_id)
    }

    fn remote_id(&self, _: &EventId, _: u32) -> Option<String> {
        None
    }

    fn resets_exceptions(&self, now: &RemoteEvent, event: &Event) -> Option<Vec<OriginalStart>> {
        write::resets_exceptions(&now.event, event)
            .then(|| read::cancelled(&now.raw, now.event.start))
    }

    fn keep_equivalents(&self, known: &Event, incoming: &mut Event) {
        read::keep_equivalents(known, incoming);
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
        Box::pin(events::changes(self, target, scope, page))
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
    ) -> ProviderFuture<'a, Event> {
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
        _: WriteOptions,
    ) -> ProviderFuture<'a, ()> {
        Box::pin(events::delete(self, target, event))
    }

    fn open_channel<'a>(
        &'a self,
        _: RemoteCalendar<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> ProviderFuture<'a, OpenedChannel> {
        Box::pin(subscriptions::open(self, channel, secret, address))
    }

    fn extend_channel<'a>(
        &'a self,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, Option<OpenedChannel>> {
        Box::pin(subscriptions::extend(self, resource_id))
    }

    fn close_channel<'a>(&'a self, _: &'a str, resource_id: &'a str) -> ProviderFuture<'a, ()> {
        Box::pin(subscriptions::close(self, resource_id))
    }
}

impl Connect for Microsoft {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Microsoft
    }

    fn public_url(&self) -> &str {
        self.client.public_url()
    }

    fn session(&self, credentials: Credentials, email: &str) -> Result<Box<dyn CalendarProvider>> {
        let Credentials::AccessToken(access_token) = credentials;
        Ok(Box::new(GraphSession::new(
            self.clone(),
            access_token,
            email,
        )))
    }

    fn oauth(&self) -> Option<&dyn OAuthProvider> {
        Some(self)
    }
}

impl OAuthProvider for Microsoft {
    fn client(&self) -> &OAuthClient {
        &self.client
    }

    fn authorize(&self) -> Result<AuthorizationRequest> {
        self.begin()
    }

    fn authorize_organization(&self) -> Result<Option<AuthorizationRequest>> {
        self.begin_for_all().map(Some)
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

    /// Microsoft has no way to give a grant back: what is stored here goes, and so do the subscriptions.
    fn revoke<'a>(&'a self, _: &'a Secret) -> ProviderFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn likely_revocation_cause(&self, age: TimeDelta) -> Option<&'static str> {
        (age > TimeDelta::days(90)).then_some("a grant that nobody uses ends after ninety days")
    }
}
