//! Response bodies that several functions share.

use calweave_domain::calendar::{
    AccessRole, CalendarSource, CalendarState, Cursor, ProviderKind, SyncStats, SyncStatus,
};
use calweave_domain::ids::CalendarId;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A calendar with the status of its sync.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Calendar)]
pub struct CalendarView {
    /// Calendar id, `cal_…`.
    #[schema(value_type = String)]
    pub id: CalendarId,
    /// Provider of the calendar.
    pub provider: ProviderKind,
    /// Display name.
    pub name: String,
    /// Colour as `#RRGGBB`.
    pub color: String,
    /// URL of the feed with its secret parts hidden; null for a calendar of an account.
    pub url: Option<String>,
    /// The account's access to the calendar; null for a feed.
    pub access_role: Option<AccessRole>,
    /// Whether it is the account's primary calendar.
    pub is_primary: bool,
    /// Whether the calendar is connected, and so synced.
    pub is_connected: bool,
    /// Whether the provider pushes changes of the calendar. Otherwise the calendar is polled.
    pub has_webhook: bool,
    /// Whether the calendar is read-only. Feeds always are.
    pub is_read_only: bool,
    /// When the calendar was first connected.
    pub created_at: DateTime<Utc>,
    /// Number of stored events. A series counts as one event.
    pub event_count: u32,
    /// Status of the sync.
    pub sync_status: SyncStatus,
    /// Time of the last successful sync.
    pub last_synced_at: Option<DateTime<Utc>>,
    /// When the next sync is due.
    pub next_sync_at: Option<DateTime<Utc>>,
    /// Problems found by the last sync.
    pub warnings: Vec<String>,
    /// Why the last sync failed; null after a successful sync.
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

/// The result of a sync.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncView {
    /// Calendar id, `cal_…`.
    #[schema(value_type = String)]
    pub calendar_id: CalendarId,
    /// Status of the sync.
    pub sync_status: SyncStatus,
    /// Statistics of the last successful sync.
    pub stats: SyncStats,
    /// Problems found by the last sync.
    pub warnings: Vec<String>,
    /// Why the last sync failed; null after a successful sync.
    pub last_error: Option<String>,
    /// Time of the last successful sync.
    pub last_synced_at: Option<DateTime<Utc>>,
}

impl SyncView {
    /// Creates the view from a calendar's cursor.
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
