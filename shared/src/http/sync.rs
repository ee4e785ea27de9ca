//! What `ics` and `calendars` share: asking for a sync of one calendar over HTTP, and disconnecting it.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::trail::Trail;
use super::views::{SyncView, connected};
use super::{Answer, Json, Problem};
use crate::app::App;
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
pub async fn one(app: &App, trail: &Trail, user: UserId, calendar: CalendarId, wait: Wait) -> Answer<Response> {
    let limit = wait.limit()?;
    let state = connected(app, user, calendar).await?;
    let wish = request_sync(app, user, calendar, 0).await?.ok_or_else(Problem::not_found)?;
    trail.success(user, "CALENDAR_SYNC", Some(calendar.to_string())).await;
    let finished = match limit {
        Some(limit) => wait_for(app, user, calendar, wish, limit).await?,
        None => None,
    };
    Ok(match finished {
        Some(cursor) => (StatusCode::OK, Json(SyncView::new(calendar, cursor))).into_response(),
        None => (StatusCode::ACCEPTED, Json(SyncView::new(calendar, state.cursor))).into_response(),
    })
}

/// Disconnects one calendar.
///
/// # Errors
/// Not found, also when somebody else was faster, or a failure of ours.
pub async fn disconnect_one(app: &App, trail: &Trail, user: UserId, calendar: CalendarId) -> Answer<StatusCode> {
    let state = connected(app, user, calendar).await?;
    if disconnect(app, &state.calendar).await? == Outcome::Refused {
        return Err(Problem::not_found());
    }
    trail.success(user, "CALENDAR_DISCONNECT", Some(calendar.to_string())).await;
    Ok(StatusCode::NO_CONTENT)
}
