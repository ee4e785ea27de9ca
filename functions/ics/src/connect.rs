//! `POST /api/v1/calendar/ics/connect`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use shared::calendar::Error;
use shared::calendar::feeds::{FeedDetails, connect_feed};
use shared::http::AuditLog;
use shared::http::limits::FeedLimit;
use shared::http::views::CalendarView;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// Which feed to connect, and how to show it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectRequest {
    /// `https://…` or `webcal://…`
    #[schema(example = "webcal://example.org/calendar.ics")]
    url: String,
    /// In place of what the feed calls itself; at most 255 characters.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// `#RGB` or `#RRGGBB`, in place of the feed's own.
    #[serde(default)]
    color: Option<String>,
}

/// Connects a feed. Its events follow within seconds.
///
/// 409 when this person has the same feed already; one that was disconnected is revived under its old id. An address
/// that cannot be used is 422, and `detail` says why.
#[utoipa::path(post, path = "/api/v1/calendar/ics/connect", tag = "ics", security(("bearer" = [])), request_body = ConnectRequest,
    responses((status = 201, body = CalendarView), Problems))]
pub async fn connect(
    State(context): State<Context>,
    caller: Caller,
    _: FeedLimit,
    audit: AuditLog,
    Json(body): Json<ConnectRequest>,
) -> ApiResult<(StatusCode, Json<CalendarView>)> {
    let user = caller.user();
    let details = FeedDetails::new(body.display_name, body.color.as_deref())?;
    match connect_feed(&context, user, &body.url, details).await {
        Ok(state) => {
            let id = state.calendar.id.to_string();
            audit.success(user, "CALENDAR_CONNECT", Some(id)).await;
            Ok((StatusCode::CREATED, Json(state.into())))
        }
        Err(error) => {
            if let Error::FeedUnusable(reason) = &error {
                audit.failure(user, "CALENDAR_CONNECT", reason).await;
            }
            Err(error.into())
        }
    }
}
