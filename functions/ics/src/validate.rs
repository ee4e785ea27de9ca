//! `POST /api/v1/calendar/ics/validate`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::calendar::Error;
use shared::calendar::feeds::preview_feed;
use shared::http::limits::FeedLimit;
use shared::http::{ApiResult, Caller, Json, Problems};
use utoipa::ToSchema;

use crate::Context;

/// Which feed to look at.
#[derive(Deserialize, ToSchema)]
pub struct Validate {
    /// `https://…` or `webcal://…`
    #[schema(example = "webcal://example.org/calendar.ics")]
    url: String,
}

/// What is behind an address.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// Whether it can be connected.
    valid: bool,
    /// What the feed calls itself.
    calendar_name: Option<String>,
    /// Events in it; a series counts once for itself and once for each changed occurrence.
    event_count: usize,
    /// What is odd about it.
    warnings: Vec<String>,
    /// Why it cannot be connected.
    error: Option<String>,
}

/// Looks at a feed without connecting it. Always 200: `valid` and `error` say what was found.
#[utoipa::path(post, path = "/api/v1/calendar/ics/validate", tag = "ics", security(("bearer" = [])), request_body = Validate,
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
