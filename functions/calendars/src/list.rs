//! `GET /api/v1/calendar/calendars` and `GET /api/v1/calendar/calendars/stats`

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::calendar::{CalendarState, ProviderKind, SyncStatus};
use shared::http::views::CalendarView;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// All connected calendars.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Calendars {
    /// The oldest first.
    calendars: Vec<CalendarView>,
    /// Always null: nobody has so many that they do not fit.
    next_cursor: Option<String>,
}

/// All connected calendars of the caller.
#[utoipa::path(get, path = "/api/v1/calendar/calendars", tag = "calendars", security(("bearer" = [])),
    responses((status = 200, body = Calendars), Problems))]
pub async fn list(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Calendars>> {
    let connected = context
        .store
        .calendars(caller.user())
        .await?
        .into_iter()
        .filter(|state| state.calendar.is_connected);
    Ok(Json(Calendars {
        calendars: connected.map(CalendarView::from).collect(),
        next_cursor: None,
    }))
}

/// Numbers about a person's calendars.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Connected or not.
    total_calendars: usize,
    /// Connected.
    connected_calendars: usize,
    /// Whose last sync failed.
    failed_calendars: usize,
    /// Events stored; a series counts once.
    total_events: u64,
    /// Connected calendars of each provider.
    providers: ProviderCounts,
    /// The longest ago that a connected calendar was synced; null when one never was.
    oldest_sync_at: Option<DateTime<Utc>>,
}

/// Connected calendars of each provider.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct ProviderCounts {
    google: usize,
    microsoft: usize,
    ics: usize,
}

/// Numbers about the caller's calendars.
#[utoipa::path(get, path = "/api/v1/calendar/calendars/stats", tag = "calendars", security(("bearer" = [])),
    responses((status = 200, body = Stats), Problems))]
pub async fn stats(State(context): State<Context>, caller: Caller) -> ApiResult<Json<Stats>> {
    let all = context.store.calendars(caller.user()).await?;
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
