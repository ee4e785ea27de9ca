//! Calendars, and how fresh they are.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{CalendarId, ConnectionId, UserId};

/// Where a calendar comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProviderKind {
    /// A feed that is read over HTTP.
    Ics,
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
    /// The feed's address with its secret parts hidden.
    pub masked_url: String,
    /// Fingerprint of the feed's address, by which a second connect of the same feed is recognised.
    pub feed_fingerprint: String,
    /// When it was first connected.
    pub created_at: DateTime<Utc>,
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

/// Where the sync of a calendar stands: everything that changes with each sync, apart from the calendar itself.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// Counts the wishes for a sync.
    pub wanted: u64,
    /// The wish that the last finished sync answered.
    pub done: u64,
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
        3 => Some(format!("#{}", digits.chars().flat_map(|c| [c, c]).collect::<String>().to_uppercase())),
        6 => Some(format!("#{}", digits.to_uppercase())),
        _ => None,
    }
}

/// The colour of a calendar that brought none.
pub const DEFAULT_COLOR: &str = "#1F77B4";
