//! `GET /api/v1/calendar/calendars` and `GET /api/v1/calendar/calendars/stats`

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::calendar::{CalendarState, ProviderKind, SyncStatus};
use shared::http::views::CalendarView;
use shared::http::{ApiResult, Bearer, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// The connected calendars of the caller.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Calendars {
    /// The calendars, in the order in which they were first connected.
    calendars: Vec<CalendarView>,
    /// Always null: the list has one page.
    next_cursor: Option<String>,
}

/// Lists the connected calendars of the caller.
#[utoipa::path(get, path = "/api/v1/calendar/calendars", operation_id = "listCalendars", tag = "calendars", security(("bearer" = [])),
    responses((status = 200, body = Calendars), Problems))]
pub async fn list(State(context): State<Context>, bearer: Bearer) -> ApiResult<Json<Calendars>> {
    let all = bearer.read(&context.http, |user| context.store.calendars(user));
    let all = all.await?.into_iter();
    let connected = all.filter(|state| state.calendar.is_connected);
    Ok(Json(Calendars {
        calendars: connected.map(CalendarView::from).collect(),
        next_cursor: None,
    }))
}

/// Statistics of a user's calendars.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Number of calendars, including disconnected ones.
    total_calendars: usize,
    /// Number of connected calendars.
    connected_calendars: usize,
    /// Number of connected calendars whose last sync failed.
    failed_calendars: usize,
    /// Number of stored events in connected calendars. A series counts as one event.
    total_events: u64,
    /// Number of connected calendars per provider.
    providers: ProviderCounts,
    /// The earliest of the last successful syncs of the connected calendars; null if a calendar has never been synced.
    oldest_sync_at: Option<DateTime<Utc>>,
}

/// Number of connected calendars per provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct ProviderCounts {
    google: usize,
    microsoft: usize,
    ics: usize,
}

/// Returns statistics of the caller's calendars.
#[utoipa::path(get, path = "/api/v1/calendar/calendars/stats", operation_id = "getCalendarStats", tag = "calendars", security(("bearer" = [])),
    responses((status = 200, body = Stats), Problems))]
pub async fn stats(State(context): State<Context>, bearer: Bearer) -> ApiResult<Json<Stats>> {
    let all = bearer.read(&context.http, |user| context.store.calendars(user));
    let all = all.await?;
    let connected: Vec<&CalendarState> = all
        .iter()
        .filter(|state| state.calendar.is_connected)
        .collect();
    let synced: Option<Vec<_>> = connected
        .iter()
        .map(|state| state.cursor.last_synced_at)
        .collect();
    let from = |provider| {
        connected
            .iter()
            .filter(|state| state.calendar.provider == provider)
            .count()
    };
    Ok(Json(Stats {
        total_calendars: all.len(),
        connected_calendars: connected.len(),
        failed_calendars: connected
            .iter()
            .filter(|state| state.cursor.status == SyncStatus::Failed)
            .count(),
        total_events: connected
            .iter()
            .map(|state| u64::from(state.cursor.event_count))
            .sum(),
        providers: ProviderCounts {
            google: from(ProviderKind::Google),
            microsoft: from(ProviderKind::Microsoft),
            ics: from(ProviderKind::Ics),
        },
        oldest_sync_at: synced.and_then(|times| times.into_iter().min()),
    }))
}
