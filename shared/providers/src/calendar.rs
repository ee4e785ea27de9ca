//! The seam between sync and the providers: what a sync asks of a calendar, and how a provider answers.

use calweave_domain::calendar::{AccountCalendar, ProviderKind, SyncState};
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, OriginalStart};
use calweave_domain::link::{RsvpResponse, SendUpdates};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures::future::BoxFuture;

use super::Result;

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
