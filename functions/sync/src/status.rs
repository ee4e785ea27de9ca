//! `GET /api/v1/sync/status`

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::calendar::{ProviderKind, SyncStatus};
use shared::domain::ids::CalendarId;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// More changes than this are not counted.
const COUNTED: i32 = 200;

/// How all connected calendars stand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The oldest first.
    calendars: Vec<CalendarStatus>,
    /// Always null: all fit.
    next_cursor: Option<String>,
}

/// How a calendar stands.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct CalendarStatus {
    /// `cal_…`
    #[schema(value_type = String)]
    calendar_id: CalendarId,
    /// Its name.
    name: String,
    /// Where it comes from.
    provider: ProviderKind,
    /// How the copy stands.
    sync_status: SyncStatus,
    /// Whether the next sync reads only what has changed.
    is_incremental: bool,
    /// The last success.
    last_synced_at: Option<DateTime<Utc>>,
    /// When it is next due.
    next_sync_at: Option<DateTime<Utc>>,
    /// Why the last sync failed, until one succeeds.
    last_error: Option<String>,
    /// Changes made here that are on their way; 200 stands for that many or more.
    pending_edits: usize,
    /// Who pushes its changes; null where it is polled.
    webhook: Option<Webhook>,
}

/// An open channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    /// When another takes its place.
    renew_at: DateTime<Utc>,
    /// When it would end.
    expires_at: DateTime<Utc>,
}

/// How the connected calendars of the caller stand.
#[utoipa::path(get, path = "/api/v1/sync/status", tag = "sync", security(("bearer" = [])),
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
                .pending_edits(user, calendar.id, COUNTED)
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
