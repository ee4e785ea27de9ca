//! `GET /api/v1/sync/status`

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::calendar::{ProviderKind, SyncStatus};
use shared::domain::ids::CalendarId;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// Maximum number of pending edits that are counted for a calendar.
const COUNTED: i32 = 200;

/// The sync status of the connected calendars.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The calendars, in the order in which they were first connected.
    calendars: Vec<CalendarStatus>,
    /// Always null: the list has one page.
    next_cursor: Option<String>,
}

/// The sync status of a calendar.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CalendarStatus {
    /// Calendar id, `cal_…`.
    #[schema(value_type = String)]
    calendar_id: CalendarId,
    /// Display name.
    name: String,
    /// Provider of the calendar.
    provider: ProviderKind,
    /// Status of the sync.
    sync_status: SyncStatus,
    /// Whether the next sync is incremental: it reads only what has changed.
    is_incremental: bool,
    /// Time of the last successful sync.
    last_synced_at: Option<DateTime<Utc>>,
    /// When the next sync is due.
    next_sync_at: Option<DateTime<Utc>>,
    /// Why the last sync failed; null after a successful sync.
    last_error: Option<String>,
    /// Number of local changes that are not yet written to the provider; 200 means 200 or more.
    pending_edits: usize,
    /// The open push channel; null if the calendar is polled.
    webhook: Option<Webhook>,
}

/// An open push channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    /// When the channel is due to be renewed.
    renew_at: DateTime<Utc>,
    /// When the channel expires if it is not renewed.
    expires_at: DateTime<Utc>,
}

/// Returns the sync status of the caller's connected calendars.
#[utoipa::path(get, path = "/api/v1/sync/status", operation_id = "getSyncStatus", tag = "sync", security(("bearer" = [])),
    responses((status = 200, body = Status), Problems))]
pub async fn status(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Status>> {
    let user = caller.user();
    let mut calendars = Vec::new();
    for state in context
        .store
        .calendars(user)
        .await?
        .into_iter()
        .filter(|state| state.calendar.is_connected)
    {
        let (calendar, cursor) = (state.calendar, state.cursor);
        let pending_edits = if calendar.is_writable() {
            context
                .store
                .pending_edits(user, calendar.id, None, COUNTED)
                .await?
                .len()
        } else {
            0
        };
        let open = cursor.channel.filter(|channel| channel.id.is_some());
        calendars.push(CalendarStatus {
            calendar_id: calendar.id,
            name: calendar.name,
            provider: calendar.provider,
            sync_status: cursor.status,
            is_incremental: cursor.sync_state.is_some() || cursor.validators.body_hash.is_some(),
            last_synced_at: cursor.last_synced_at,
            next_sync_at: cursor.next_sync_at,
            last_error: cursor.last_error,
            pending_edits,
            webhook: open.map(|channel| Webhook {
                renew_at: channel.renew_at,
                expires_at: channel.expires_at,
            }),
        });
    }
    Ok(Json(Status {
        calendars,
        next_cursor: None,
    }))
}
