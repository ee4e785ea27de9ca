//! What is on the other side. A provider never sees the store: it is handed an access token and a position, and answers
//! with changes.

pub mod google;
mod http;
pub mod ids;
pub mod microsoft;
pub mod oauth;

use std::time::Duration;

use calweave_base::clock::Clock;
use calweave_base::config::{OAuthClient, ProvidersConfig};
use calweave_domain::calendar::{AccountCalendar, ProviderKind, SyncState};
use calweave_domain::event::Event;
use calweave_domain::grant::Grant;
use calweave_domain::ids::{CalendarId, EventId, OriginalStart};
use calweave_domain::link::{EventContent, RsvpResponse, SendUpdates};
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures::future::BoxFuture;
use google::Google;
use microsoft::Microsoft;
use oauth::{AuthorizationCallback, AuthorizationRequest, AuthorizedAccount};

/// A call of a provider failed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No answer, or the connection broke.
    #[error("could not reach {provider}")]
    Unreachable {
        /// Whom.
        provider: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Something failed over there.
    #[error("{provider} answered {status}")]
    ServerError {
        /// Who.
        provider: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// Too many calls.
    #[error("{provider} wants to be called less often ({reason})")]
    Throttled {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
        /// How long to wait, where it is said.
        retry_after: Option<Duration>,
    },
    /// The access token is not taken.
    #[error("{provider} does not take the access token")]
    Unauthorized {
        /// Who.
        provider: &'static str,
    },
    /// The grant is gone: the person has to grant anew.
    #[error("{provider} does not accept the grant any more: {reason}")]
    GrantRevoked {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
    },
    /// The position is too old: everything has to be read again.
    #[error("{provider} has forgotten what was read before")]
    SyncStateExpired {
        /// Who.
        provider: &'static str,
    },
    /// It has changed since the version that the call named.
    #[error("the event was changed at {provider} meanwhile")]
    PreconditionFailed {
        /// Who.
        provider: &'static str,
    },
    /// The id is taken already.
    #[error("{provider} has an event of this id already")]
    AlreadyExists {
        /// Who.
        provider: &'static str,
    },
    /// It is not there, or not any more.
    #[error("{provider} does not know it")]
    NotFound {
        /// Who.
        provider: &'static str,
    },
    /// The calendar cannot be watched.
    #[error("{provider} does not push changes of this calendar")]
    PushUnsupported {
        /// Who.
        provider: &'static str,
    },
    /// Anything else that was refused: trying again changes nothing.
    #[error("{provider} refused: {message} ({reason})")]
    Refused {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
        /// The provider's explanation.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{provider} answered something that cannot be read: {detail}")]
    Malformed {
        /// Who.
        provider: &'static str,
        /// What.
        detail: String,
    },
}

/// What to do about a failure. Whoever drives a provider decides by this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again, not before the time that is given.
    Retry(Option<Duration>),
    /// Renew the access token, once.
    RefreshToken,
    /// Read everything anew.
    FullSync,
    /// The person has to grant anew.
    Reconnect,
    /// Nothing: it was refused for good.
    GiveUp,
}

impl ProviderError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::ServerError { .. } | Self::Malformed { .. } => {
                Remedy::Retry(None)
            }
            Self::Throttled { retry_after, .. } => Remedy::Retry(*retry_after),
            Self::Unauthorized { .. } => Remedy::RefreshToken,
            Self::GrantRevoked { .. } => Remedy::Reconnect,
            Self::SyncStateExpired { .. } => Remedy::FullSync,
            Self::PreconditionFailed { .. }
            | Self::AlreadyExists { .. }
            | Self::NotFound { .. }
            | Self::PushUnsupported { .. }
            | Self::Refused { .. } => Remedy::GiveUp,
        }
    }
}

/// The answer of a provider.
pub type Result<T> = std::result::Result<T, ProviderError>;

/// A calendar as a call names it.
#[derive(Clone, Copy, Debug)]
pub struct RemoteCalendar<'a> {
    /// Ours.
    pub calendar: CalendarId,
    /// What the provider calls it.
    pub remote_id: &'a str,
    /// Its zone, for times that name none.
    pub zone: Tz,
}

/// What to read.
#[derive(Clone, Debug)]
pub enum ReadScope<'a> {
    /// Everything between two instants.
    Window {
        /// Events that end before this are left out.
        from: DateTime<Utc>,
        /// Events that start after this are left out.
        to: DateTime<Utc>,
    },
    /// What has changed.
    Changes(&'a SyncState),
}

/// One page of what was read.
#[derive(Debug, Default)]
pub struct ChangePage {
    /// In the provider's order; of two about the same, the later counts.
    pub changes: Vec<Change>,
    /// The provider's ids of series of which not everything could be read that is different.
    pub partial: Vec<String>,
    /// What could not be understood, in words for the person.
    pub warnings: Vec<String>,
    /// Where the next page begins; the last has none.
    pub next_page: Option<String>,
    /// On the last page: the token to ask for changes with.
    pub token: Option<String>,
}

/// One thing that is different from before.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event, a series, or a changed occurrence, as it is now.
    Upserted(Box<Event>),
    /// It is gone, or has left what is read ([`Capabilities::removals_are_definitive`]).
    Removed {
        /// Which.
        id: EventId,
        /// What the provider called it.
        remote_id: String,
    },
    /// One occurrence of a series does not take place.
    OccurrenceCancelled {
        /// The series.
        series: EventId,
        /// Where the rule places the occurrence.
        original: OriginalStart,
    },
}

/// How to write an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Who is told.
    pub send_updates: SendUpdates,
    /// Whether to make a meeting to go with it.
    pub wants_conference: bool,
}

/// An event as the provider has it now.
#[derive(Clone, Debug)]
pub struct RemoteEvent {
    /// As we understand it.
    pub event: Event,
    /// As it came, with all that we have no word for.
    pub raw: serde_json::Value,
}

/// A channel that was opened.
#[derive(Clone, Debug)]
pub struct OpenedChannel {
    /// What the provider calls that which is watched.
    pub resource_id: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// How a provider goes about things, as far as a sync has to know.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// Which one it is.
    pub kind: ProviderKind,
    /// Names the query that sync states are given for: one that is given for another query is not used.
    pub query: &'static str,
    /// The far end of what is read is moved, by reading everything anew, once it is this much nearer than it was.
    pub rebase_after: TimeDelta,
    /// Whether what is made here has an id there that ours is read from again, whatever else is said of it.
    pub ids_are_reversible: bool,
    /// Whether an event that is said to be gone is. Otherwise it may only have left the window, and has to be looked for.
    pub removals_are_definitive: bool,
    /// Whether a series comes with all of its occurrences that were changed or cancelled. Otherwise those that are not told of
    /// stay as they are.
    pub series_include_exceptions: bool,
    /// What a channel watches.
    pub channel_scope: ChannelScope,
    /// How many syncs of one account may call at once; any number where there is none.
    pub max_concurrent_syncs: Option<usize>,
}

/// What a channel watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelScope {
    /// One calendar.
    Calendar,
    /// All calendars of an account's own.
    Account,
}

/// What a call answers, in time.
pub type ProviderFuture<'a, T> = BoxFuture<'a, Result<T>>;

/// What of a change the provider cannot keep, or would do more than is asked for: the field and the reason. `before` is
/// nothing for a new event.
pub fn unwritable(
    kind: ProviderKind,
    before: Option<&EventContent>,
    now: &EventContent,
    told: SendUpdates,
) -> Vec<(&'static str, String)> {
    match kind {
        ProviderKind::Microsoft => microsoft::unwritable(before, now, told),
        ProviderKind::Google | ProviderKind::Ics => vec![],
    }
}

/// What stands in the way of removing an event: the field and the reason.
pub fn undeletable(
    kind: ProviderKind,
    event: &Event,
    told: SendUpdates,
) -> Vec<(&'static str, String)> {
    match kind {
        ProviderKind::Microsoft => microsoft::undeletable(event, told),
        ProviderKind::Google | ProviderKind::Ics => vec![],
    }
}

/// What is asked of the providers whose calendars belong to an account. An implementation is bound to an access token.
pub trait CalendarProvider: Send + Sync {
    /// How it goes about things.
    fn capabilities(&self) -> Capabilities;

    /// Our id of an event that the provider calls `remote_id`, as far as that name tells.
    fn event_id(&self, calendar: CalendarId, remote_id: &str) -> EventId;

    /// The id under which an event that was made here is created there for the `generation`th time, where that is known
    /// before.
    fn remote_id(&self, event: &EventId, generation: u32) -> Option<String>;

    /// Where the provider cannot tell two values apart, that which is known of an event stands.
    fn keep_equivalents(&self, _known: &Event, _incoming: &mut Event) {}

    /// Where the provider forgets what is different about the occurrences of a series when `event` is made of what it has:
    /// those that it has cancelled now.
    fn resets_exceptions(&self, _now: &RemoteEvent, _event: &Event) -> Option<Vec<OriginalStart>> {
        None
    }

    /// All calendars of the account.
    fn list_calendars(&self) -> ProviderFuture<'_, Vec<AccountCalendar>>;

    /// One page of what is there or has changed.
    fn list_changes<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        ask: &'a ReadScope<'a>,
        page: Option<&'a str>,
    ) -> ProviderFuture<'a, ChangePage>;

    /// One event as it is now; `None` when it is gone. An occurrence that the provider has no event of its own for yet is
    /// found through its series, whose id there is `series`. What an event by itself does not say, such as which occurrences are overridden,
    /// is as it is known of `event`.
    fn get_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        series: Option<&'a str>,
    ) -> ProviderFuture<'a, Option<RemoteEvent>>;

    /// What an earlier [`CalendarProvider::create_event`] of this event has made, if that got through.
    fn find_created<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
    ) -> ProviderFuture<'a, Option<RemoteEvent>>;

    /// Creates an event. Doing so twice makes one event, or is answered with [`ProviderError::AlreadyExists`].
    fn create_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Event>;

    /// Makes `event` of what the provider has, unless that has changed since.
    fn update_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Event>;

    /// Tells the organizer whether the account's owner comes. `None` when the provider takes the event away for that.
    fn respond<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        response: &'a RsvpResponse,
    ) -> ProviderFuture<'a, Option<Event>>;

    /// Removes an event, unless it has changed since `event` was read. That it is gone already is no error.
    fn delete_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, ()>;

    /// Opens a channel by which changes are pushed to `address`. Each message shows the channel's id and its secret.
    fn open_channel<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> ProviderFuture<'a, OpenedChannel>;

    /// Has a channel live longer; `None` where another has to take its place.
    fn extend_channel<'a>(
        &'a self,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, Option<OpenedChannel>>;

    /// Closes a channel. That it is closed already is no error.
    fn close_channel<'a>(
        &'a self,
        channel: &'a str,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, ()>;
}

/// A provider of accounts, as this deployment is known there.
pub trait OAuthProvider: Send + Sync {
    /// What this deployment is known as.
    fn client(&self) -> &OAuthClient;

    /// Begins a sign-in.
    ///
    /// # Errors
    /// When the configured addresses are none.
    fn authorize(&self) -> Result<AuthorizationRequest>;

    /// Begins the consent of an administrator for all of an organisation's people, where the provider has such a thing.
    ///
    /// # Errors
    /// When the configured addresses are none.
    fn authorize_all(&self) -> Result<Option<AuthorizationRequest>>;

    /// Exchanges what somebody came back with. Refused with [`ProviderError::Refused`] and the reason `missing_scopes` where
    /// too little was granted to sync anything.
    fn exchange<'a>(
        &'a self,
        callback: AuthorizationCallback<'a>,
        now: DateTime<Utc>,
    ) -> ProviderFuture<'a, AuthorizedAccount>;

    /// A new access token. Where the provider sends a new refresh token too, that one counts from now on.
    fn renew<'a>(&'a self, grant: &'a Grant, now: DateTime<Utc>) -> ProviderFuture<'a, Grant>;

    /// Takes back what the account's owner has granted, where the provider has a way to. That it is gone already is fine.
    fn revoke<'a>(&'a self, refresh_token: &'a Secret) -> ProviderFuture<'a, ()>;

    /// What is often the reason why a grant of this age is lost.
    fn why_lost(&self, age: TimeDelta) -> Option<&'static str>;

    /// Calls on behalf of whoever an access token speaks for, whose address is `email`.
    fn session(&self, access_token: Secret, email: &str) -> Box<dyn CalendarProvider>;
}

/// The providers that this deployment is known to.
#[derive(Clone, Debug)]
pub struct Providers {
    google: Option<Google>,
    microsoft: Option<Microsoft>,
}

impl Providers {
    /// Nothing is connected to until it is needed.
    pub fn new(config: &ProvidersConfig, clock: &Clock) -> Self {
        let microsoft = |client| Microsoft::new(client, &config.microsoft_tenant, clock.clone());
        Self {
            google: config.google.clone().map(Google::new),
            microsoft: config.microsoft.clone().map(microsoft),
        }
    }

    /// The one of this kind.
    ///
    /// # Errors
    /// [`ProviderError::Refused`] where this deployment is not known there.
    pub fn of(&self, kind: ProviderKind) -> Result<&dyn OAuthProvider> {
        let found: Option<&dyn OAuthProvider> = match kind {
            ProviderKind::Google => self.google.as_ref().map(|google| google as _),
            ProviderKind::Microsoft => self.microsoft.as_ref().map(|microsoft| microsoft as _),
            ProviderKind::Ics => None,
        };
        found.ok_or_else(|| ProviderError::Refused {
            provider: kind.label(),
            reason: "not configured".to_owned(),
            message: "this deployment is not known there".to_owned(),
        })
    }
}
