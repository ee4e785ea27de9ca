//! The seam between sync and the providers: what a sync calls, and what a provider returns.

use calweave_domain::calendar::{AccountCalendar, ProviderKind};
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, EventId, OriginalStart};
use calweave_domain::link::{RsvpResponse, SendUpdates};
use calweave_domain::sync_state::SyncState;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures::future::BoxFuture;

use super::Result;

/// The calendar that a call is about.
#[derive(Clone, Copy, Debug)]
pub struct RemoteCalendar<'a> {
    /// Its id here.
    pub calendar: CalendarId,
    /// Its id at the provider.
    pub remote_id: &'a str,
    /// Its time zone, for times without one.
    pub zone: Tz,
    /// Whether it is the account's primary calendar.
    pub is_primary: bool,
    /// Whether another account shares it.
    pub is_shared: bool,
}

/// What a list call reads.
#[derive(Clone, Debug)]
pub enum ReadScope<'a> {
    /// All events of a window: a full sync.
    Window {
        /// Events that end before this are left out.
        from: DateTime<Utc>,
        /// Events that start after this are left out.
        to: DateTime<Utc>,
    },
    /// The changes since a sync state: an incremental sync.
    Changes(&'a SyncState),
    /// All events of a window, without a token to continue from: a full sync where the provider does not end a
    /// [`ReadScope::Window`].
    Snapshot {
        /// Events that end before this are left out.
        from: DateTime<Utc>,
        /// Events that start after this are left out.
        to: DateTime<Utc>,
    },
}

/// One page of a list call.
#[derive(Debug, Default)]
pub struct ChangePage {
    /// The changes in the provider's order. Of two about the same event the later one counts.
    pub changes: Vec<Change>,
    /// The remote id and version of each entry that the provider sent. They tell whether a page repeats earlier ones.
    pub entries: Vec<String>,
    /// Remote ids of series that the page shows to have changed, without saying how. They are read by
    /// [`CalendarProvider::read_series`].
    pub series: Vec<String>,
    /// Remote ids of series whose exceptions could not be read in full.
    pub partial: Vec<String>,
    /// Ids of events that exist, but could not be read.
    pub unreadable: Vec<EventId>,
    /// Events that could not be read, in sentences for the calendar's owner.
    pub warnings: Vec<String>,
    /// The token of the next page; the last page has none.
    pub next_page: Option<String>,
    /// On the last page: the sync token (Google) or delta link (Graph) to continue from. A snapshot may have none.
    pub token: Option<String>,
}

/// One change of a calendar.
#[derive(Clone, Debug)]
pub enum Change {
    /// An event, a series or an override was created or changed.
    Upserted(Box<Event>),
    /// An event was deleted, or has left the window ([`Capabilities::removals_are_definitive`]).
    Removed {
        /// The event's id here, as far as its remote id tells.
        id: EventId,
        /// The event's id at the provider.
        remote_id: String,
    },
    /// One occurrence of a series was cancelled.
    OccurrenceCancelled {
        /// The series.
        series: EventId,
        /// The start that the rule gives the occurrence.
        original: OriginalStart,
    },
}

/// How to write an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions {
    /// Whom the provider notifies by mail.
    pub send_updates: SendUpdates,
    /// Whether the provider creates an online meeting for the event.
    pub wants_conference: bool,
}

/// An event as the provider has it.
#[derive(Clone, Debug)]
pub struct RemoteEvent {
    /// The event as it is understood here.
    pub event: Event,
    /// The provider's resource, with the fields that are not understood here.
    pub raw: serde_json::Value,
}

/// A push channel (Google) or subscription (Graph) that was opened.
#[derive(Clone, Debug)]
pub struct OpenedChannel {
    /// The provider's id of the watched resource, or of the subscription.
    pub resource_id: String,
    /// When the provider stops pushing.
    pub expires_at: DateTime<Utc>,
}

/// What a sync has to know about a provider.
#[derive(Clone, Copy, Debug)]
pub struct Capabilities {
    /// The provider.
    pub kind: ProviderKind,
    /// Names the query that sync states belong to. A state of another query is not used.
    pub query: &'static str,
    /// A full sync moves the window on this long after the last one began.
    pub rebase_after: TimeDelta,
    /// Whether an event's id here can be computed from the remote id under which it was created. Otherwise aliases are stored.
    pub ids_are_reversible: bool,
    /// Whether a removed event is deleted. Otherwise it may only have left the window, and is read to find out.
    pub removals_are_definitive: bool,
    /// Whether a series is listed with all of its overridden and cancelled occurrences. Otherwise those that are not listed
    /// have not changed.
    pub series_include_exceptions: bool,
    /// How many syncs of one account may run at once; `None` where the provider has no cap.
    pub max_concurrent_syncs: Option<usize>,
}

/// The most series that [`CalendarProvider::read_series`] reads (the limit of a batch of Graph's).
pub const SERIES_AT_ONCE: usize = 20;

/// The result of a call.
pub type ProviderFuture<'a, T> = BoxFuture<'a, Result<T>>;

/// A session with a provider, on behalf of one account.
pub trait CalendarProvider: Send + Sync {
    /// What a sync has to know about the provider.
    fn capabilities(&self) -> Capabilities;

    /// The id here of the event that the provider calls `remote_id`, as far as the remote id tells.
    fn event_id(&self, calendar: CalendarId, remote_id: &str) -> EventId;

    /// The remote id under which a local event is created for the `generation`th time; `None` where the provider chooses it.
    fn remote_id(&self, event: &EventId, generation: u32) -> Option<String>;

    /// Replaces values of `incoming` by those of `known` where the provider cannot tell the two apart.
    fn keep_equivalents(&self, _known: &Event, _incoming: &mut Event) {}

    /// The cancelled occurrences of a series, where updating it to `event` makes the provider forget its exceptions. `None`
    /// where the exceptions survive.
    fn resets_exceptions(&self, _now: &RemoteEvent, _event: &Event) -> Option<Vec<OriginalStart>> {
        None
    }

    /// Lists the calendars of the account.
    fn list_calendars(&self) -> ProviderFuture<'_, Vec<AccountCalendar>>;

    /// Lists one page of a calendar's events or changes.
    fn list_changes<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        scope: &'a ReadScope<'a>,
        page: Option<&'a str>,
    ) -> ProviderFuture<'a, ChangePage>;

    /// Reads series with all of their exceptions. One that does not exist comes as a removal. At most [`SERIES_AT_ONCE`] are
    /// read by one call.
    fn read_series<'a>(
        &'a self,
        _: RemoteCalendar<'a>,
        _: &'a [String],
    ) -> ProviderFuture<'a, ChangePage> {
        Box::pin(async { Ok(ChangePage::default()) })
    }

    /// Reads one event; `None` when it is deleted. An occurrence that has no remote id is found through its series, whose
    /// remote id is `series`. What a single event does not say, such as which occurrences are overridden, is taken from
    /// `event`.
    fn get_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        series: Option<&'a str>,
    ) -> ProviderFuture<'a, Option<RemoteEvent>>;

    /// Finds the event that an earlier [`CalendarProvider::create_event`] has created, if it succeeded.
    fn find_created<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
    ) -> ProviderFuture<'a, Option<RemoteEvent>>;

    /// Creates an event. A second call creates no second event: it fails with
    /// [`ProviderError::AlreadyExists`](super::ProviderError::AlreadyExists), or returns the first one, or `None` when the
    /// first one is in another calendar by now.
    fn create_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Option<Event>>;

    /// Updates `now`, the event as it was read, to `event`. Fails with
    /// [`ProviderError::PreconditionFailed`](super::ProviderError::PreconditionFailed) when it has changed since.
    fn update_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, Event>;

    /// Responds to an invitation. Returns the event, or `None` when the provider removes it (Microsoft, for a declined one).
    fn respond<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        now: &'a RemoteEvent,
        response: &'a RsvpResponse,
    ) -> ProviderFuture<'a, Option<Event>>;

    /// Deletes an event unless it has changed since `event` was read. Succeeds when it is deleted already.
    fn delete_event<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        event: &'a Event,
        options: WriteOptions,
    ) -> ProviderFuture<'a, ()>;

    /// Opens a push channel of a calendar to `address`. Each notification carries the channel's id and secret. Refused with
    /// [`ProviderError::PushUnsupported`](super::ProviderError::PushUnsupported) where the provider pushes no changes of it.
    fn open_channel<'a>(
        &'a self,
        target: RemoteCalendar<'a>,
        channel: &'a str,
        secret: &'a str,
        address: &'a str,
    ) -> ProviderFuture<'a, OpenedChannel>;

    /// Extends a channel; `None` where it has to be replaced by another.
    fn extend_channel<'a>(
        &'a self,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, Option<OpenedChannel>>;

    /// Closes a channel. Succeeds when it is closed already.
    fn close_channel<'a>(
        &'a self,
        channel: &'a str,
        resource_id: &'a str,
    ) -> ProviderFuture<'a, ()>;
}
