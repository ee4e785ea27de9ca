//! `POST /api/v1/calendar/webhooks/google` (<https://developers.google.com/calendar/api/guides/push>)

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use shared::calendar::sync_requests::request_notified;
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problems};
use tracing::info;

use crate::Context;

/// Receives a push notification of Google.
///
/// The body is empty; the headers contain the channel, the watched resource, and the channel's secret. A notification
/// that cannot be verified, such as one without a header, is acknowledged and dropped, so that it is not sent again and the sender learns nothing. An
/// internal error returns 5xx, and Google sends the notification again.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/google", operation_id = "notifyFromGoogle", tag = "webhooks",
    params(
        ("X-Goog-Channel-ID" = Option<String>, Header, description = "Channel id"),
        ("X-Goog-Channel-Token" = Option<String>, Header, description = "Secret of the channel"),
        ("X-Goog-Resource-ID" = Option<String>, Header, description = "Id of the watched resource"),
        ("X-Goog-Resource-State" = Option<String>, Header, description = "`sync`, `exists` or `not_exists`"),
    ),
    responses((status = 204, description = "Acknowledged"), Problems))]
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
    // The first notification (`sync`) only confirms that the channel is open. Ids and secrets of this deployment are
    // not longer than these limits.
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
            info!(
                "dropped a notification of an unknown channel, or with a wrong secret or resource"
            );
        }
    }
    Ok(StatusCode::NO_CONTENT)
}
