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

/// A feed to connect.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectRequest {
    /// URL of the feed, `https://…` or `webcal://…`.
    #[schema(example = "webcal://example.org/calendar.ics", max_length = 2048)]
    url: String,
    /// Display name, at most 255 characters. Defaults to the name in the feed.
    #[serde(default, alias = "display_name")]
    #[schema(min_length = 1, max_length = 255)]
    display_name: Option<String>,
    /// Colour as `#RGB` or `#RRGGBB`. Defaults to the colour in the feed.
    #[serde(default)]
    #[schema(pattern = "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$")]
    color: Option<String>,
}

/// Connects a feed.
///
/// Fetches the feed once to validate it, and requests a sync, which adds the events within seconds. 409 if the user has
/// connected the feed already. A feed that was disconnected is connected again under its old id. 422 if the URL cannot
/// be used; `detail` contains the reason.
#[utoipa::path(post, path = "/api/v1/calendar/ics/connect", operation_id = "connectFeed", tag = "ics", security(("bearer" = [])), request_body = ConnectRequest,
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
