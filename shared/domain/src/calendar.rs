//! Calendars, and how fresh they are.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::ids::{CalendarId, ConnectionId, UserId};

/// Where a calendar comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderKind {
    /// Google Calendar.
    Google,
    /// Microsoft 365 and Outlook.com.
    Microsoft,
    /// A feed that is read over HTTP.
    Ics,
}

impl ProviderKind {
    /// The path segment and the name in sentences of each provider. Feeds have no paths of their own.
    const NAMES: [(Self, &str, &str); 3] = [
        (Self::Google, "google", "Google"),
        (Self::Microsoft, "microsoft", "Microsoft"),
        (Self::Ics, "", "the feed"),
    ];

    fn names(self) -> (&'static str, &'static str) {
        let named = Self::NAMES.iter().find(|(kind, ..)| *kind == self);
        named.map_or(("", ""), |(_, path, label)| (path, label))
    }

    /// The path segment of a provider of accounts; empty for feeds.
    pub fn path(self) -> &'static str {
        self.names().0
    }

    /// The provider of accounts that a path segment names.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut named = Self::NAMES.iter().filter(|_| !path.is_empty());
        named
            .find(|(_, known, _)| *known == path)
            .map(|(kind, ..)| *kind)
    }

    /// The name in sentences.
    pub fn label(self) -> &'static str {
        self.names().1
    }
}

/// What a calendar is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CalendarSource {
    /// A feed.
    Feed(FeedSource),
    /// A calendar of somebody's account with a provider.
    Account(AccountCalendar),
}

impl CalendarSource {
    /// What tells it from the person's other calendars; a second connect of the same one is recognised by it.
    pub fn key(&self, connection: ConnectionId) -> String {
        match self {
            Self::Feed(feed) => feed.fingerprint.clone(),
            Self::Account(calendar) => format!("{connection}#{}", calendar.remote_id),
        }
    }
}

impl CalendarSource {
    /// What the provider calls a calendar of an account; nothing for a feed.
    pub fn remote_id(&self) -> &str {
        match self {
            Self::Feed(_) => "",
            Self::Account(calendar) => &calendar.remote_id,
        }
    }
}

/// The feed that a calendar is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedSource {
    /// Its address with the secret parts hidden.
    pub masked_url: String,
    /// Fingerprint of its address.
    pub fingerprint: String,
}

/// A calendar as the provider's list of calendars has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountCalendar {
    /// What the provider calls it.
    pub remote_id: String,
    /// What its owner calls it.
    pub name: String,
    /// `#RRGGBB`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// What the account may do with it.
    pub access: AccessRole,
    /// Whether it is the account's own.
    #[serde(default)]
    pub is_primary: bool,
    /// Whether the account's owner has hidden it from the provider's list.
    #[serde(default)]
    pub is_hidden: bool,
    /// Whether it lies with somebody else, so that pushes about the account say nothing of it.
    #[serde(default)]
    pub is_shared: bool,
    /// The zone of its floating events and of people who look at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Tz>,
}

/// What an account may do with a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessRole {
    /// Everything.
    Owner,
    /// Read and write events.
    Writer,
    /// Read events.
    Reader,
    /// See when somebody is busy, and nothing more.
    FreeBusyReader,
}

impl AccessRole {
    /// Whether events can be written.
    pub fn can_write(self) -> bool {
        matches!(self, Self::Owner | Self::Writer)
    }
}

/// A calendar that a person has connected.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// Identity.
    pub id: CalendarId,
    /// Whose it is.
    pub user_id: UserId,
    /// The link that it came by; the vault keeps that link's secrets.
    pub connection_id: ConnectionId,
    /// Where it comes from.
    pub provider: ProviderKind,
    /// What the person sees.
    pub name: String,
    /// `#RRGGBB`
    pub color: String,
    /// False after a disconnect, until it is revived.
    pub is_connected: bool,
    /// When it was first connected.
    pub created_at: DateTime<Utc>,
    /// Whether its owner wants no pushes: then it is polled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unwatched: bool,
    /// What it is a copy of.
    pub source: CalendarSource,
}

impl Calendar {
    /// Whether its events can be changed here.
    pub fn is_writable(&self) -> bool {
        matches!(&self.source, CalendarSource::Account(calendar) if calendar.access.can_write())
    }
}

/// How the copy of a calendar stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SyncStatus {
    /// Never synced yet.
    #[default]
    Pending,
    /// The last sync succeeded.
    Synced,
    /// The last sync failed; what is stored is what the one before brought.
    Failed,
}

/// What one sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncStats {
    /// Events that the provider has now.
    pub total: u32,
    /// Events that were new.
    pub created: u32,
    /// Events that had changed.
    pub updated: u32,
    /// Events that were gone.
    pub deleted: u32,
    /// Events that were as stored.
    pub unchanged: u32,
}

/// What a feed's server said to compare the next answer with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Validators {
    /// Fingerprint of the feed that they came from: they say nothing about another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feed: Option<String>,
    /// `ETag`, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `Last-Modified`, verbatim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Digest of the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_hash: Option<String>,
    /// Digest of what the body meant: the ids and content hashes of all its events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
}

/// How far a calendar of an account has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// What the provider wants to be shown to say what has changed since.
    pub token: String,
    /// The query that the token was given for: it is good for no other.
    pub query: String,
    /// Events that end before this were not asked for.
    pub from: DateTime<Utc>,
    /// Events that start after this were not asked for.
    pub to: DateTime<Utc>,
    /// Whether something was removed since everything was read that nobody here knows: only reading everything tells what.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unexplained_removals: bool,
}

/// Whether the provider pushes changes of a calendar, and by which channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelState {
    /// The channel; `None` where the calendar cannot be watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the provider calls that which is watched: needed to stop the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// When another channel should take its place, or watching be tried again.
    pub renew_at: DateTime<Utc>,
    /// When the provider stops pushing.
    pub expires_at: DateTime<Utc>,
}

/// Where the sync of a calendar stands: everything that changes with each sync, apart from the calendar itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// The partition of the due index that the calendar is found in once it is due.
    pub due_in: String,
    /// Counts the wishes for a sync.
    pub requested: u64,
    /// The wish that the last finished sync answered.
    pub completed: u64,
    /// When the message that is under way was sent; none is under way without it. Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<i64>,
    /// Counts the holders of the lease: whoever has an older number no longer holds it.
    pub fencing: u64,
    /// Unix milliseconds until which the lease is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leased_until: Option<i64>,
    /// Absent while a sync is half done, so that nothing is skipped on the word of an interrupted one.
    pub validators: Validators,
    /// How far a calendar of an account has been read; absent before the first sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_state: Option<SyncState>,
    /// Whether the provider pushes its changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelState>,
    /// Digest of an answer that would delete too much: only a second, identical one is believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspect: Option<String>,
    /// How it stands.
    pub status: SyncStatus,
    /// The last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<DateTime<Utc>>,
    /// Why the last sync failed, in words for the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Failures since the last success.
    pub failures: u32,
    /// How often in a row changes made here could not be written.
    pub push_failures: u32,
    /// What was odd about the feed.
    pub warnings: Vec<String>,
    /// When it is next due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_sync_at: Option<DateTime<Utc>>,
    /// How often the producer wants to be asked, in seconds, as the last answer that was read said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_seconds: Option<i64>,
    /// Events stored.
    pub event_count: u32,
    /// What the last success did.
    pub stats: SyncStats,
}

/// A calendar together with where its sync stands.
#[derive(Clone, Debug)]
pub struct CalendarState {
    /// The calendar.
    pub calendar: Calendar,
    /// Its sync.
    pub cursor: Cursor,
}

/// The colour as `#RRGGBB` in upper case, from that or from `#RGB`.
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

/// The colour of a calendar that brought none.
pub const DEFAULT_COLOR: &str = "#1F77B4";
