//! What more than one function shows: a calendar.

use calweave_domain::calendar::{
    AccessRole, CalendarSource, CalendarState, Cursor, ProviderKind, SyncStats, SyncStatus,
};
use calweave_domain::ids::CalendarId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A calendar, and how fresh its copy is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Calendar)]
pub struct CalendarView {
    /// `cal_…`
    #[schema(value_type = String)]
    pub id: CalendarId,
    /// Where it comes from.
    pub provider: ProviderKind,
    /// Its name.
    pub name: String,
    /// `#RRGGBB`
    pub color: String,
    /// The feed's address, with its secret parts hidden; null for a calendar of an account.
    pub url: Option<String>,
    /// What the account may do with the calendar; null for a feed.
    pub access_role: Option<AccessRole>,
    /// Whether it is the account's own calendar.
    pub is_primary: bool,
    /// Whether it is kept fresh.
    pub is_connected: bool,
    /// Whether the provider pushes its changes; otherwise it is polled.
    pub has_webhook: bool,
    /// Whether it can only be read; a feed always.
    pub is_read_only: bool,
    /// When it was first connected.
    pub created_at: DateTime<Utc>,
    /// Events stored; a series counts once.
    pub event_count: u32,
    /// How the copy stands.
    pub sync_status: SyncStatus,
    /// The last success.
    pub last_synced_at: Option<DateTime<Utc>>,
    /// When it is next due.
    pub next_sync_at: Option<DateTime<Utc>>,
    /// What was odd about the feed.
    pub warnings: Vec<String>,
    /// Why the last sync failed, until one succeeds.
    pub last_error: Option<String>,
}

impl From<CalendarState> for CalendarView {
    fn from(CalendarState { calendar, cursor }: CalendarState) -> Self {
        let is_read_only = !calendar.is_writable();
        let (url, account) = match calendar.source {
            CalendarSource::Feed(feed) => (Some(feed.masked_url), None),
            CalendarSource::Account(account) => (None, Some(account)),
        };
        Self {
            id: calendar.id,
            provider: calendar.provider,
            name: calendar.name,
            color: calendar.color,
            url,
            access_role: account.as_ref().map(|account| account.access),
            is_primary: account.is_some_and(|account| account.is_primary),
            is_connected: calendar.is_connected,
            has_webhook: cursor.channel.is_some_and(|channel| channel.id.is_some()),
            is_read_only,
            created_at: calendar.created_at,
            event_count: cursor.event_count,
            sync_status: cursor.status,
            last_synced_at: cursor.last_synced_at,
            next_sync_at: cursor.next_sync_at,
            warnings: cursor.warnings,
            last_error: cursor.last_error,
        }
    }
}

/// What a sync did.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncView {
    /// Which calendar.
    #[schema(value_type = String)]
    pub calendar_id: CalendarId,
    /// How it stands now.
    pub sync_status: SyncStatus,
    /// What the last success did.
    pub stats: SyncStats,
    /// What was odd about the feed.
    pub warnings: Vec<String>,
    /// Why it failed, if it did.
    pub last_error: Option<String>,
    /// The last success.
    pub last_synced_at: Option<DateTime<Utc>>,
}

impl SyncView {
    /// Of a calendar and its cursor.
    pub fn new(calendar_id: CalendarId, cursor: Cursor) -> Self {
        Self {
            calendar_id,
            sync_status: cursor.status,
            stats: cursor.stats,
            warnings: cursor.warnings,
            last_error: cursor.last_error,
            last_synced_at: cursor.last_synced_at,
        }
    }
}
