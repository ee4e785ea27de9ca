//! `POST /api/v1/calendar/webhooks/microsoft` and `…/microsoft/lifecycle`
//! (<https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>)

use std::collections::HashMap;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::calendar::sync_requests::request_notified;
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problem, ProblemType, Problems, Query};
use shared::store::channels::{VerifiedNotification, WatchedResource};
use tracing::info;
use utoipa::IntoParams;

use crate::Context;

/// The longest token that is given back.
const LONGEST: usize = 1_024;

/// What was sent, if it was not too much.
type Body = Result<Bytes, BytesRejection>;

/// Subscriptions that one message may speak of.
const MOST: usize = 100;

/// What Microsoft asks before it sends anything.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    /// To be given back as it is.
    #[serde(default)]
    validation_token: Option<String>,
}

#[derive(Deserialize)]
struct Notifications {
    #[serde(default)]
    value: Vec<serde_json::Value>,
}

/// A notification that is told from others by nothing but this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NotificationProof {
    client_state: String,
    subscription: String,
    event: String,
}

/// Takes notifications of Microsoft, which may be of several subscriptions: each shows the secret that its subscription was
/// given. What is not known is acknowledged and dropped; a failure of ours is a 5xx, and Microsoft tries again. With
/// `validationToken` it is only asked whether this address wants any.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/microsoft", operation_id = "notify_microsoft", tag = "webhooks", params(Handshake),
    responses((status = 200, description = "the token, as text/plain", body = String), (status = 202, description = "acknowledged"), Problems))]
pub async fn notify(
    State(context): State<Context>,
    Query(handshake): Query<Handshake>,
    body: Body,
) -> ApiResult<Response> {
    if let Some(token) = handshake.validation_token {
        return echo(token);
    }
    let body = body.map_err(|_| Problem::new(ProblemType::TooLarge))?;
    for verified in verified(&context, &body).await?.values() {
        request_notified(&context, *verified).await?;
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Takes what Microsoft has to say of subscriptions themselves: that one is to be authorised again or was removed, or that
/// notifications were lost. Each of them is followed by a look at what has changed.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/microsoft/lifecycle", tag = "webhooks", params(Handshake),
    responses((status = 200, description = "the token, as text/plain", body = String), (status = 202, description = "acknowledged"), Problems))]
pub async fn lifecycle(
    State(context): State<Context>,
    Query(handshake): Query<Handshake>,
    body: Body,
) -> ApiResult<Response> {
    if let Some(token) = handshake.validation_token {
        return echo(token);
    }
    let body = body.map_err(|_| Problem::new(ProblemType::TooLarge))?;
    for (shown, verified) in verified(&context, &body).await? {
        if let WatchedResource::Account { connection_id } = verified.watched() {
            match shown.event.as_str() {
                "reauthorizationRequired" => {
                    context
                        .store
                        .renew_watching(verified.user(), connection_id, false)
                        .await?;
                }
                "subscriptionRemoved" => {
                    context
                        .store
                        .renew_watching(verified.user(), connection_id, true)
                        .await?;
                }
                // Such as `missed`: what has changed is all that matters.
                _ => {}
            }
        }
        request_notified(&context, verified).await?;
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// The token as plain text, which no browser takes for a page.
fn echo(token: String) -> ApiResult<Response> {
    if token.len() > LONGEST {
        return Err(Problem::field("validationToken", "is too long"));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain")], token).into_response())
}

/// Whether this is a random name of ours: 32 bytes as base64url.
fn is_ours(name: &str) -> bool {
    name.len() == 43
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whose notifications these are, as far as they prove it; each subscription once.
async fn verified(
    context: &Context,
    body: &[u8],
) -> ApiResult<HashMap<NotificationProof, VerifiedNotification>> {
    let Ok(Notifications { value }) = serde_json::from_slice(body) else {
        info!("dropped a notification that cannot be read");
        return Ok(HashMap::new());
    };
    let mut found: HashMap<NotificationProof, Option<VerifiedNotification>> = HashMap::new();
    for one in value {
        let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
        let shown = NotificationProof {
            client_state: text("clientState"),
            subscription: text("subscriptionId"),
            event: text("lifecycleEvent"),
        };
        if found.contains_key(&shown) {
            continue;
        }
        let verified = match shown.client_state.split_once('.') {
            // What has another form was not made by us, and nobody has so many subscriptions.
            Some((channel, secret))
                if is_ours(channel) && is_ours(secret) && found.len() < MOST =>
            {
                context
                    .store
                    .verify_notification(channel, &shown.subscription, &secret_digest(secret))
                    .await?
            }
            _ => None,
        };
        if verified.is_none() {
            info!(
                "dropped a notification of a subscription that is not ours, or without its secret"
            );
        }
        found.insert(shown, verified);
    }
    Ok(found
        .into_iter()
        .filter_map(|(shown, verified)| Some((shown, verified?)))
        .collect())
}
