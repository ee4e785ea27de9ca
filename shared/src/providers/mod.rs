//! What is on the other side. A provider never sees the store: it is handed an access token and a position, and answers
//! with changes.

pub mod google;
mod http;
pub mod ics;

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::domain::calendar::{AccountCalendar, Position};
use crate::domain::event::Event;
use crate::domain::ids::{CalendarId, EventId, OriginalStart};
use crate::domain::link::SendUpdates;

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
    Failing {
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
    GrantGone {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
    },
    /// The position is too old: everything has to be read again.
    #[error("{provider} has forgotten what was read before")]
    PositionGone {
        /// Who.
        provider: &'static str,
    },
    /// It has changed since the version that the call named.
    #[error("the event was changed at {provider} meanwhile")]
    Changed {
        /// Who.
        provider: &'static str,
    },
    /// The id is taken already.
    #[error("{provider} has an event of this id already")]
    Taken {
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
    Unwatchable {
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
    Renew,
    /// Read everything anew.
    Resync,
    /// The person has to grant anew.
    Reconnect,
    /// Nothing: it was refused for good.
    GiveUp,
}

impl ProviderError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::Failing { .. } | Self::Malformed { .. } => Remedy::Retry(None),
            Self::Throttled { retry_after, .. } => Remedy::Retry(*retry_after),
            Self::Unauthorized { .. } => Remedy::Renew,
            Self::GrantGone { .. } => Remedy::Reconnect,
            Self::PositionGone { .. } => Remedy::Resync,
            Self::Changed { .. } | Self::Taken { .. } | Self::NotFound { .. } | Self::Unwatchable { .. } | Self::Refused { .. } => {
                Remedy::GiveUp
            }
        }
    }
}

/// The answer of a provider.
pub type Result<T> = std::result::Result<T, ProviderError>;

/// A calendar as a call names it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Ours.
    pub calendar: CalendarId,
    /// What the provider calls it.
    pub remote_id: &'a str,
    /// Its zone, for times that name none.
    pub zone: Tz,
}

/// What to read.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// Everything between two instants.
    All {
        /// Events that end before this are left out.
        from: DateTime<Utc>,
        /// Events that start after this are left out.
        to: DateTime<Utc>,
    },
    /// What has changed.
    Since(&'a Position),
}

/// One page of what was read.
#[derive(Debug, Default)]
pub struct Page {
    /// In the provider's order; of two about the same, the later counts.
    pub changes: Vec<Change>,
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
    Put(Box<Event>),
    /// It is gone.
    Gone {
        /// Which.
        id: EventId,
        /// What the provider called it.
        remote_id: String,
    },
    /// One occurrence of a series does not take place.
    Cancelled {
        /// The series.
        series: EventId,
        /// Where the rule places the occurrence.
        original: OriginalStart,
    },
}

/// How to write an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writing {
    /// Who is told.
    pub send_updates: SendUpdates,
    /// Whether to make a meeting to go with it.
    pub wants_conference: bool,
}

/// An event as the provider has it now.
#[derive(Clone, Debug)]
pub struct Remote {
    /// As we understand it.
    pub event: Event,
    /// As it came, with all that we have no word for.
    pub raw: serde_json::Value,
}

/// A channel that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// What the provider calls that which is watched.
    pub resource_id: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What is asked of the providers whose calendars belong to an account. An implementation is bound to an access token.
pub trait Provider: Sync {
    /// What people call it.
    const NAME: &'static str;
    /// What it is called in paths.
    const PATH: &'static str;
    /// Names the query that positions are given for: one that is given for another query is not used.
    const QUERY: &'static str;

    /// The id under which an event that was made here is created there for the `generation`th time.
    fn remote_id(event: &EventId, generation: u32) -> String;

    /// All calendars of the account.
    fn calendars(&self) -> impl Future<Output = Result<Vec<AccountCalendar>>> + Send;

    /// One page of what is there or has changed.
    fn changes(&self, target: Target<'_>, ask: &Ask<'_>, page: Option<&str>) -> impl Future<Output = Result<Page>> + Send;

    /// One event as it is now; `None` when it is gone. An occurrence that the provider has no event of its own for yet is
    /// found through its series, whose id there is `series`.
    fn current(&self, target: Target<'_>, event: &Event, series: Option<&str>) -> impl Future<Output = Result<Option<Remote>>> + Send;

    /// Creates an event under the id that follows from ours. Doing so twice makes one event.
    fn create(&self, target: Target<'_>, event: &Event, writing: Writing) -> impl Future<Output = Result<Event>> + Send;

    /// Makes `event` of what the provider has, unless that has changed since.
    fn update(&self, target: Target<'_>, now: &Remote, event: &Event, writing: Writing) -> impl Future<Output = Result<Event>> + Send;

    /// Removes an event, unless it has changed since `event` was read. That it is gone already is no error.
    fn delete(&self, target: Target<'_>, event: &Event, writing: Writing) -> impl Future<Output = Result<()>> + Send;

    /// Opens a channel by which changes of a calendar are pushed to `address`.
    fn watch(&self, target: Target<'_>, channel: &str, secret: &str, address: &str) -> impl Future<Output = Result<Opened>> + Send;

    /// Closes a channel. That it is closed already is no error.
    fn stop(&self, channel: &str, resource_id: &str) -> impl Future<Output = Result<()>> + Send;
}
