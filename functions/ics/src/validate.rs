//! `POST /api/v1/calendar/ics/validate`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::calendar::Error;
use shared::calendar::feeds::preview_feed;
use shared::http::limits::FeedLimit;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// A feed to validate.
#[derive(Deserialize, ToSchema)]
pub struct Validate {
    /// URL of the feed, `https://…` or `webcal://…`.
    #[schema(example = "webcal://example.org/calendar.ics")]
    url: String,
}

/// The result of a validation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether the feed can be connected.
    valid: bool,
    /// Name of the calendar in the feed.
    calendar_name: Option<String>,
    /// Number of `VEVENT` components. A series counts once, and once more for each override.
    event_count: usize,
    /// Problems found in the feed.
    warnings: Vec<String>,
    /// Why the feed cannot be connected; null if it can.
    error: Option<String>,
}

/// Validates a feed without connecting it.
///
/// Fetches the feed and stores nothing. 200 also if the feed cannot be used: `valid` and `error` contain the result.
#[utoipa::path(post, path = "/api/v1/calendar/ics/validate", operation_id = "validateFeed", tag = "ics", security(("bearer" = [])), request_body = Validate,
    responses((status = 200, body = Validation), Problems))]
pub async fn validate(
    State(context): State<Context>,
    _: Caller,
    _: FeedLimit,
    Json(body): Json<Validate>,
) -> ApiResult<Json<Validation>> {
    Ok(Json(match preview_feed(&context, &body.url).await {
        Ok((_, feed)) => Validation {
            valid: true,
            calendar_name: feed.name,
            event_count: feed.vevent_count,
            warnings: feed.warnings.into_vec(),
            error: None,
        },
        Err(Error::FeedUnusable(reason)) => Validation {
            valid: false,
            calendar_name: None,
            event_count: 0,
            warnings: vec![],
            error: Some(reason),
        },
        Err(error) => return Err(error.into()),
    }))
}
