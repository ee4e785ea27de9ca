//! What several functions share: asking for syncs over HTTP, and disconnecting a calendar.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::trail::Trail;
use super::views::{SyncView, connected};
use super::{Answer, Json, Problem};
use crate::app::App;
use crate::domain::calendar::{Cursor, SyncStats};
use crate::domain::ids::{CalendarId, UserId};
use crate::store::Outcome;
use crate::sync::{disconnect, request_sync, wait_for};

/// How long the caller wants to wait for the result.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds, at most 25: a gateway gives up after 30.
    #[serde(default)]
    pub wait: Option<u32>,
}

impl Wait {
    /// As a duration; `None` for not at all.
    ///
    /// # Errors
    /// When it is more than a gateway would wait.
    pub fn limit(self) -> Answer<Option<Duration>> {
        match self.wait {
            None | Some(0) => Ok(None),
            Some(seconds @ 1..=25) => Ok(Some(Duration::from_secs(u64::from(seconds)))),
            Some(_) => Err(Problem::field("wait", "must be at most 25 seconds")),
        }
    }
}

/// Asks for a sync of one calendar, and waits for it if the caller wants to.
///
/// # Errors
/// Not found, or a failure of ours.
pub async fn one(
    app: &App,
    trail: &Trail,
    user: UserId,
    calendar: CalendarId,
    wait: Wait,
) -> Answer<Response> {
    let limit = wait.limit()?;
    let state = connected(app, user, calendar).await?;
    let wish = request_sync(app, user, calendar, 0)
        .await?
        .ok_or_else(Problem::not_found)?;
    trail
        .success(user, "CALENDAR_SYNC", Some(calendar.to_string()))
        .await;
    let finished = match limit {
        Some(limit) => wait_for(app, user, calendar, wish, limit).await?,
        None => None,
    };
    Ok(match finished {
        Some(cursor) => (StatusCode::OK, Json(SyncView::new(calendar, cursor))).into_response(),
        None => (
            StatusCode::ACCEPTED,
            Json(SyncView::new(calendar, state.cursor)),
        )
            .into_response(),
    })
}

/// What a sync of all calendars did.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncAll {
    /// Calendars that were asked for.
    calendar_count: usize,
    /// Those that are finished.
    finished_count: usize,
    /// The sum over those that are finished.
    stats: SyncStats,
    /// Each calendar that is finished.
    calendars: Vec<SyncView>,
}

/// Asks for a sync of all connected calendars, and waits for all if the caller wants to.
///
/// # Errors
/// A failure of ours.
pub async fn all(app: &App, trail: &Trail, user: UserId, wait: Wait) -> Answer<Response> {
    let limit = wait.limit()?;
    let states = app.store.calendars(user).await?;
    let ids: Vec<CalendarId> = states
        .iter()
        .filter(|state| state.calendar.is_connected)
        .map(|state| state.calendar.id)
        .collect();
    let finished = try_join_all(ids.iter().map(|id| async move {
        let wish = request_sync(app, user, *id, 0).await?;
        match (wish, limit) {
            (Some(wish), Some(limit)) => Ok::<_, Problem>(
                wait_for(app, user, *id, wish, limit)
                    .await?
                    .map(|cursor| (*id, cursor)),
            ),
            _ => Ok(None),
        }
    }));
    let finished: Vec<(CalendarId, Cursor)> = finished.await?.into_iter().flatten().collect();
    trail.success(user, "CALENDAR_SYNC", None).await;
    let mut stats = SyncStats::default();
    for (_, cursor) in &finished {
        stats.total += cursor.stats.total;
        stats.created += cursor.stats.created;
        stats.updated += cursor.stats.updated;
        stats.deleted += cursor.stats.deleted;
        stats.unchanged += cursor.stats.unchanged;
    }
    let status = if limit.is_some() && finished.len() == ids.len() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let answer = SyncAll {
        calendar_count: ids.len(),
        finished_count: finished.len(),
        stats,
        calendars: finished
            .into_iter()
            .map(|(id, cursor)| SyncView::new(id, cursor))
            .collect(),
    };
    Ok((status, Json(answer)).into_response())
}

/// Disconnects one calendar.
///
/// # Errors
/// Not found, also when somebody else was faster, or a failure of ours.
pub async fn disconnect_one(
    app: &App,
    trail: &Trail,
    user: UserId,
    calendar: CalendarId,
) -> Answer<StatusCode> {
    let state = connected(app, user, calendar).await?;
    if disconnect(app, &state.calendar).await? == Outcome::Refused {
        return Err(Problem::not_found());
    }
    trail
        .success(user, "CALENDAR_DISCONNECT", Some(calendar.to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}
