//! Calendars and the state of their sync.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::coverage::AskedWindow;
use super::ids::{CalendarId, ConnectionId, UserId};
use super::sync_state::{FullSync, SyncState};

/// The provider of a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderKind {
    /// Google Calendar.
    Google,
    /// Microsoft 365 and Outlook.com.
    Microsoft,
    /// An ICS feed, which is read over HTTP.
    Ics,
}

impl ProviderKind {
    /// Path segment and display name of each provider. Feeds have no path segment.
    const NAMES: [(Self, &str, &str); 3] = [
        (Self::Google, "google", "Google"),
        (Self::Microsoft, "microsoft", "Microsoft"),
        (Self::Ics, "", "the feed"),
    ];

    fn names(self) -> (&'static str, &'static str) {
        let named = Self::NAMES.iter().find(|(kind, ..)| *kind == self);
        named.map_or(("", ""), |(_, path, label)| (path, label))
    }

    /// Returns the provider's segment in API paths; empty for feeds.
    pub fn path(self) -> &'static str {
        self.names().0
    }

    /// Returns the provider with this path segment.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut named = Self::NAMES.iter().filter(|_| !path.is_empty());
        named
            .find(|(_, known, _)| *known == path)
            .map(|(kind, ..)| *kind)
    }

    /// Returns the display name, for use within sentences.
    pub fn label(self) -> &'static str {
        self.names().1
    }
}

/// The remote source of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CalendarSource {
    /// An ICS feed.
    Feed(FeedSource),
    /// A calendar of a linked account.
    Account(AccountCalendar),
}

impl CalendarSource {
    /// Returns a key that is unique among the user's calendars, to detect a second connect of the same one.
    pub fn key(&self, connection: ConnectionId) -> String {
        match self {
            Self::Feed(feed) => feed.fingerprint.clone(),
            Self::Account(calendar) => format!("{connection}#{}", calendar.remote_id),
        }
    }
}

impl CalendarSource {
    /// Returns the provider's id of the calendar; empty for a feed.
    pub fn remote_id(&self) -> &str {
        match self {
            Self::Feed(_) => "",
            Self::Account(calendar) => &calendar.remote_id,
        }
    }
}

/// The ICS feed of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedSource {
    /// URL with its secret parts hidden.
    pub masked_url: String,
    /// Fingerprint (keyed digest) of the URL.
    pub fingerprint: String,
}

/// A calendar of a linked account, as in the provider's list of calendars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountCalendar {
    /// The provider's id of the calendar.
    pub remote_id: String,
    /// Name at the provider.
    pub name: String,
    /// Colour as `#RRGGBB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// The account's access to the calendar.
    pub access: AccessRole,
    /// Whether it is the account's primary calendar.
    #[serde(default)]
    pub is_primary: bool,
    /// Whether the account's owner has hidden it in the provider's list.
    #[serde(default)]
    pub is_hidden: bool,
    /// Whether another account shares it. The account's push channel does not cover shared calendars.
    #[serde(default)]
    pub is_shared: bool,
    /// Time zone of the calendar and of its floating events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Tz>,
}

/// An account's access to a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessRole {
    /// Full access.
    Owner,
    /// Read and write events.
    Writer,
    /// Read events.
    Reader,
    /// Read free/busy times only.
    FreeBusyReader,
}

impl AccessRole {
    /// Returns whether events can be written.
    pub fn can_write(self) -> bool {
        matches!(self, Self::Owner | Self::Writer)
    }
}

/// A calendar that a user has connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// Calendar id.
    pub id: CalendarId,
    /// The owner.
    pub user_id: UserId,
    /// The connection that the calendar belongs to. The vault stores the connection's secrets.
    pub connection_id: ConnectionId,
    /// The provider.
    pub provider: ProviderKind,
    /// Display name.
    pub name: String,
    /// Colour as `#RRGGBB`.
    pub color: String,
    /// False after a disconnect, until the calendar is connected again.
    pub is_connected: bool,
    /// When the calendar was first connected.
    pub created_at: DateTime<Utc>,
    /// When the calendar was last connected again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_at: Option<DateTime<Utc>>,
    /// Whether the owner has turned push off: the calendar is polled instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unwatched: bool,
    /// The remote source.
    pub source: CalendarSource,
}

impl Calendar {
    /// Returns whether the calendar's events can be changed through Calweave.
    pub fn is_writable(&self) -> bool {
        matches!(&self.source, CalendarSource::Account(calendar) if calendar.access.can_write())
    }
}

/// The status of a calendar's sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncStatus {
    /// The calendar has not been synced yet.
    #[default]
    Pending,
    /// The last sync succeeded.
    Synced,
    /// The last sync failed. The stored events are those of the last successful sync.
    Failed,
}

/// How many events of a calendar syncs have written in a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenToday {
    /// The day (UTC).
    pub day: NaiveDate,
    /// Number of events that were added, changed or removed.
    pub count: u64,
}

impl WrittenToday {
    /// Adds the events of a sync to the count of its day.
    pub fn after(before: Option<Self>, day: NaiveDate, stats: &SyncStats) -> Self {
        let before = before.filter(|before| before.day == day);
        let written = [stats.created, stats.updated, stats.deleted];
        let written: u64 = written.map(u64::from).iter().sum();
        Self {
            day,
            count: before.map_or(0, |before| before.count) + written,
        }
    }
}

/// The number of events that one sync added, changed and removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStats {
    /// Events in the calendar after the sync.
    pub total: u32,
    /// Events that were added.
    pub created: u32,
    /// Events that were changed.
    pub updated: u32,
    /// Events that were removed.
    pub deleted: u32,
    /// Events that had not changed.
    pub unchanged: u32,
}

/// Validators for the next conditional fetch of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validators {
    /// Fingerprint of the feed that the validators belong to. They are not used for any other feed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<String>,
    /// `ETag` header, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified` header, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// When the body was last fetched without conditions, or was another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<DateTime<Utc>>,
    /// Digest of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<String>,
    /// Digest of the parsed body: the ids and content hashes of all its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
}

/// The push channel of a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// Channel id; `None` if no channel is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The provider's id of the watched resource or subscription, which is needed to extend or close the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// When to renew the channel or, without one, to try to open one again.
    pub renew_at: DateTime<Utc>,
    /// When the channel expires.
    pub expires_at: DateTime<Utc>,
}

/// The state of a calendar's sync: everything that changes with each sync, separate from the calendar itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// The partition of the due index that contains the calendar once it is due.
    pub due_in: String,
    /// Number of sync requests so far.
    pub requested: u64,
    /// Number of the last sync request that a finished sync has covered.
    pub completed: u64,
    /// When the message in flight was sent, in Unix milliseconds; absent if none is in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<i64>,
    /// Fencing number: counts the holders of the lease. A worker with an older number no longer holds it.
    pub fencing: u64,
    /// When the lease expires, in Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<i64>,
    /// When the lease of the last run expired, if that run was killed before it released it; else 0. In Unix milliseconds.
    pub expired_lease: i64,
    /// How many events syncs have written today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<WrittenToday>,
    /// Number of runs in a row that were killed and got no further than the one before.
    pub interruptions: u32,
    /// Validators of a feed. Cleared while a sync writes, so that after an interrupted sync the next one skips nothing.
    pub validators: Validators,
    /// State for the next incremental sync of an account's calendar; absent before the first sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_state: Option<SyncState>,
    /// A full sync that is under way. Meanwhile the sync state, where there is one, keeps serving changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_sync: Option<FullSync>,
    /// A stretch beyond the regular window that a reader has asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_window: Option<AskedWindow>,
    /// The push channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelState>,
    /// Digest of a result that would remove too many events. Only a second, identical result is applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// Status of the sync.
    pub status: SyncStatus,
    /// Time of the last successful sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<DateTime<Utc>>,
    /// Why the last sync failed, as a message for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Until when requests wait, after failures of the provider or the feed's server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_until: Option<DateTime<Utc>>,
    /// Failed syncs since the last successful one.
    pub failures: u32,
    /// Consecutive syncs that could not write local changes to the provider.
    pub push_failures: u32,
    /// Problems found by the last sync, as messages for the user.
    pub warnings: Vec<String>,
    /// When the next sync is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sync_at: Option<DateTime<Utc>>,
    /// Refresh interval of a feed in seconds, from the last response that was parsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_seconds: Option<i64>,
    /// Number of stored events.
    pub event_count: u32,
    /// Statistics of the last successful sync.
    pub stats: SyncStats,
}

impl Cursor {
    /// Returns the stretch that readers ask for at this time.
    pub fn asked_window_at(&self, now: DateTime<Utc>) -> Option<&AskedWindow> {
        let asked = self.asked_window.as_ref();
        asked.filter(|asked| asked.until > now)
    }
}

/// A calendar with the state of its sync.
#[derive(Clone, Debug)]
pub struct CalendarState {
    /// The calendar.
    pub calendar: Calendar,
    /// The state of its sync.
    pub cursor: Cursor,
}

/// Converts a colour from `#RRGGBB` or `#RGB` to `#RRGGBB` in upper case; `None` if it has neither form.
pub fn normalise_color(text: &str) -> Option<String> {
    let digits = text.trim().strip_prefix('#')?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        3 => Some(format!(
            "#{}",
            digits
                .chars()
                .flat_map(|c| [c, c])
                .collect::<String>()
                .to_uppercase()
        )),
        6 => Some(format!("#{}", digits.to_uppercase())),
        _ => None,
    }
}

/// The colour of a calendar whose source gives none.
pub const DEFAULT_COLOR: &str = "#1F77B4";
