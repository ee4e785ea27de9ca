//! `POST /api/v1/calendar/webhooks/google` (<https://developers.google.com/calendar/api/guides/push>)

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use shared::calendar::sync_requests::request_notified;
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problems};
use tracing::info;

use crate::Context;

/// Takes a notification of Google. Its body is empty; the headers name the channel, what it watches, and the channel's
/// secret. What is not known is acknowledged and dropped, so that nobody sends it again or learns anything from it; a
/// failure of ours is a 5xx, and Google tries again.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/google", tag = "webhooks",
    params(
        ("X-Goog-Channel-ID" = String, Header, description = "the channel"),
        ("X-Goog-Channel-Token" = Option<String>, Header, description = "its secret"),
        ("X-Goog-Resource-ID" = String, Header, description = "what it watches"),
        ("X-Goog-Resource-State" = String, Header, description = "`sync`, `exists` or `not_exists`"),
    ),
    responses((status = 204, description = "acknowledged"), Problems))]
pub async fn notify(State(context): State<Context>, headers: HeaderMap) -> ApiResult<StatusCode> {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    };
    let (channel, resource, token) = (
        header("x-goog-channel-id"),
        header("x-goog-resource-id"),
        header("x-goog-channel-token"),
    );
    // The first message only says that the channel is open. Anything longer was not made by us.
    if header("x-goog-resource-state") == "sync"
        || channel.is_empty()
        || channel.len() > 64
        || token.len() > 256
    {
        return Ok(StatusCode::NO_CONTENT);
    }
    match context
        .store
        .verify_notification(channel, resource, &secret_digest(token))
        .await?
    {
        Some(verified) => {
            request_notified(&context, verified).await?;
        }
        None => {
            info!("dropped a notification of a channel that is not ours, or without its secret");
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
