//! Microsoft Graph v1.0 (<https://learn.microsoft.com/graph/api/resources/calendar>) and the
//! Microsoft identity platform.

mod calendars;
mod delta;
mod equivalents;
mod events;
mod fields;
mod oauth;
mod occurrence;
pub mod pattern;
mod people;
#[cfg(test)]
mod properties;
mod read;
pub mod recurrence;
mod series;
mod session;
mod subscriptions;
mod write;

use std::sync::Arc;

use calweave_base::clock::Clock;
use calweave_base::config::{Environment, OAuthClient};
use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::event::Event;
use calweave_domain::grant::Grant;
use calweave_domain::ids::{CalendarId, EventId, OriginalStart};
use calweave_domain::link::RsvpResponse;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use super::http::ProviderClient;
use super::oauth::{AuthorizationCallback, AuthorizationRequest, AuthorizedAccount};
use super::{
    CalendarProvider, Capabilities, ChangePage, Connect, Credentials, OAuthProvider, OpenedChannel,
    ProviderError, ProviderFuture, ReadScope, Refusal, RemoteCalendar, RemoteEvent, Result,
    WriteOptions,
};

pub use session::GraphSession;
use session::{GraphRequest, PREFER_HTML};
pub use write::{undeletable, unwritable};

const NAME: &str = "Microsoft";
/// The maximum number of concurrent syncs of one account. Graph allows an app four concurrent
/// requests per mailbox; one is left for other requests.
const AT_ONCE: usize = 3;
/// The interval at which a full sync starts a new window. The window of a delta link is fixed.
const REBASED: TimeDelta = TimeDelta::days(7);

/// Reads `MICROSOFT_CLIENT_ID` and the variables that belong to it. Returns `None` if they are not
/// set. `MICROSOFT_TENANT` determines whose accounts can be linked: `common` (the default) for all
/// accounts, or the id of a tenant.
pub fn read(env: &mut Environment<'_>, clock: &Clock) -> Option<Box<dyn Connect>> {
    let client = OAuthClient::read(env, "MICROSOFT");
    let tenant = env.optional("MICROSOFT_TENANT");
    let tenant = tenant.unwrap_or_else(|| "common".to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if !tenant.bytes().all(is_plain) {
        env.report(
            "MICROSOFT_TENANT must be one of common, organizations, consumers, a tenant id or a domain",
        );
    }
    Some(Box::new(Microsoft::new(client?, &tenant, clock.clone())))
}

/// The Microsoft provider, with the OAuth client that is registered for this deployment.
#[derive(Clone, Debug)]
pub struct Microsoft {
    http: ProviderClient,
    client: Arc<OAuthClient>,
    tenant: Arc<str>,
    clock: Clock,
}

impl Microsoft {
    /// Creates the provider for the accounts of `tenant`: `common` for all accounts, or the id of a
    /// tenant. No connection is opened until it is needed.
    pub fn new(client: OAuthClient, tenant: &str, clock: Clock) -> Self {
        Self {
            http: ProviderClient::new(clock.clone()),
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

impl CalendarProvider for GraphSession {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            kind: ProviderKind::Microsoft,
            query: delta::QUERY,
            rebase_after: REBASED,
            ids_are_reversible: false,
            removals_are_definitive: false,
            series_include_exceptions: true,
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
            .then(|| occurrence::cancelled(&now.raw, now.event.start))
    }

    fn keep_equivalents(&self, known: &Event, incoming: &mut Event) {
        equivalents::keep_equivalents(known, incoming);
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
        Box::pin(delta::changes(self, target, scope, page))
    }

    fn read_series<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        remote_ids: &'a [String],
    ) -> ProviderFuture<'a, ChangePage> {
        Box::pin(series::read_all(self, target, remote_ids))
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
        _: WriteOptions,
    ) -> ProviderFuture<'a, ()> {
        Box::pin(events::delete(self, target, event))
    }

    fn open_channel<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> ProviderFuture<'a, OpenedChannel> {
        Box::pin(subscriptions::open(self, target, channel, secret, address))
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

    /// Does nothing, because Microsoft offers no way to revoke a grant. Only the stored grant and
    /// the subscriptions are removed.
    fn revoke<'a>(&'a self, _: &'a Secret) -> ProviderFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn likely_revocation_cause(&self, age: TimeDelta) -> Option<&'static str> {
        (age > TimeDelta::days(90)).then_some("a grant expires after 90 days without use")
    }
}
