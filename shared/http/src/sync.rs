//! Handlers of sync and disconnect requests that several functions share.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use calweave_calendar::removal::disconnect_calendar;
use calweave_calendar::{Context, sync_requests};
use calweave_domain::calendar::SyncStats;
use calweave_domain::ids::{CalendarId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::audit::AuditLog;
use super::views::SyncView;
use super::{ApiResult, Json, Problem};

/// The time limit for waiting for a sync.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wait {
    /// Seconds to wait for the sync, at most 25. If omitted or 0, the request does not wait.
    #[serde(default)]
    #[param(minimum = 0, maximum = 25)]
    pub wait: Option<u32>,
}

impl Wait {
    /// Returns the limit as a duration; `None` does not wait.
    ///
    /// # Errors
    /// When the limit is more than 25 seconds: API Gateway times out after 30.
    pub fn limit(self) -> ApiResult<Option<Duration>> {
        match self.wait {
            None | Some(0) => Ok(None),
            Some(seconds @ 1..=25) => Ok(Some(Duration::from_secs(u64::from(seconds)))),
            Some(_) => Err(Problem::field("wait", "must be at most 25 seconds")),
        }
    }
}

/// Requests a sync of one calendar, and waits for it up to the limit: 200 when the sync is completed, else 202.
///
/// # Errors
/// Not found, or an internal error.
pub async fn sync_one(
    context: &Context,
    audit: &AuditLog,
    user: UserId,
    calendar: CalendarId,
    wait: Wait,
) -> ApiResult<Response> {
    let requested = sync_requests::sync_one(context, user, calendar, wait.limit()?).await?;
    audit
        .success(user, "CALENDAR_SYNC", Some(calendar.to_string()))
        .await;
    let status = status(requested.is_completed);
    let view = SyncView::new(calendar, requested.cursor);
    Ok((status, Json(view)).into_response())
}

fn status(is_completed: bool) -> StatusCode {
    if is_completed {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    }
}

/// The result of a sync of all calendars.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SyncAll {
    /// Number of calendars whose sync was requested.
    calendar_count: usize,
    /// Number of calendars whose sync is completed.
    finished_count: usize,
    /// Sum of the statistics of the completed syncs.
    stats: SyncStats,
    /// Results of the completed syncs.
    calendars: Vec<SyncView>,
}

/// Requests a sync of all connected calendars, and waits for them up to the limit: 200 when all are completed, else
/// 202.
///
/// # Errors
/// An internal error.
pub async fn sync_all(
    context: &Context,
    audit: &AuditLog,
    user: UserId,
    wait: Wait,
) -> ApiResult<Response> {
    let limit = wait.limit()?;
    let (count, completed) = sync_requests::sync_all(context, user, limit).await?;
    audit.success(user, "CALENDAR_SYNC", None).await;
    let mut stats = SyncStats::default();
    for sync in &completed {
        stats.total += sync.cursor.stats.total;
        stats.created += sync.cursor.stats.created;
        stats.updated += sync.cursor.stats.updated;
        stats.deleted += sync.cursor.stats.deleted;
        stats.unchanged += sync.cursor.stats.unchanged;
    }
    let status = status(limit.is_some() && completed.len() == count);
    let views = completed.into_iter();
    let answer = SyncAll {
        calendar_count: count,
        finished_count: views.len(),
        stats,
        calendars: views
            .map(|sync| SyncView::new(sync.calendar, sync.cursor))
            .collect(),
    };
    Ok((status, Json(answer)).into_response())
}

/// Disconnects one calendar.
///
/// # Errors
/// Not found, also when a concurrent request has disconnected the calendar first, or an internal error.
pub async fn disconnect_one(
    context: &Context,
    audit: &AuditLog,
    user: UserId,
    calendar: CalendarId,
) -> ApiResult<StatusCode> {
    disconnect_calendar(context, user, calendar).await?;
    audit
        .success(user, "CALENDAR_DISCONNECT", Some(calendar.to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}
