//! `POST /api/v1/calendar/webhooks/microsoft` and `…/microsoft/lifecycle`
//! (<https://learn.microsoft.com/graph/change-notifications-delivery-webhooks>)

use std::collections::{HashMap, HashSet};

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use serde::Deserialize;
use serde_json::Value;
use shared::calendar::sync_requests::request_notified;
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problem, ProblemType, Problems, Query};
use shared::store::channels::VerifiedNotification;
use tracing::info;
use utoipa::IntoParams;

use crate::Context;

/// Maximum length of a validation token, in bytes.
const LONGEST: usize = 1_024;

/// The request body, unless it is too large.
type Body = Result<Bytes, BytesRejection>;

/// Maximum number of subscriptions in one request. Notifications of further ones are dropped.
const MOST: usize = 100;
/// Number of subscriptions that are looked up at once.
const AT_ONCE: usize = 10;
/// Number of subscriptions that are not valid after which the rest of a request is dropped.
const MAX_INVALID: usize = 3;
/// Maximum size of a request, in bytes.
const MAX_BODY: usize = 64 << 10;

/// The validation request that Microsoft sends when a subscription is created.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct Handshake {
    /// Token to return unchanged in the response body. Present in validation requests only.
    #[serde(default)]
    validation_token: Option<String>,
}

#[derive(Deserialize)]
struct Notifications {
    #[serde(default)]
    value: Vec<Value>,
}

/// The part of a notification that identifies it. Further notifications with the same values are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct NotificationProof {
    client_state: String,
    subscription: String,
    event: String,
}

/// Receives change notifications of Microsoft.
///
/// The body contains notifications of one or more subscriptions, each with the secret of its subscription
/// (`clientState`). A notification that cannot be verified is acknowledged and dropped. An internal error returns 5xx,
/// and Microsoft sends the notifications again. A request with `validationToken` validates the endpoint, and returns
/// the token.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/microsoft", operation_id = "notifyFromMicrosoft", tag = "webhooks", params(Handshake),
    responses((status = 200, description = "The validation token, as text/plain", body = String), (status = 202, description = "Acknowledged"), Problems))]
pub async fn notify(
    State(context): State<Context>,
    Query(handshake): Query<Handshake>,
    body: Body,
) -> ApiResult<Response> {
    if let Some(token) = handshake.validation_token {
        return echo(token);
    }
    let body = body.ok().filter(|body| body.len() <= MAX_BODY);
    let body = body.ok_or(Problem::new(ProblemType::TooLarge))?;
    for verified in verified(&context, &body).await?.values() {
        request_notified(&context, *verified).await?;
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Receives lifecycle notifications of Microsoft.
///
/// They report that a subscription must be reauthorised or was removed, or that notifications were missed. Each of them
/// requests a sync. A request with `validationToken` validates the endpoint, and returns the token.
#[utoipa::path(post, path = "/api/v1/calendar/webhooks/microsoft/lifecycle", operation_id = "notifyLifecycleFromMicrosoft", tag = "webhooks", params(Handshake),
    responses((status = 200, description = "The validation token, as text/plain", body = String), (status = 202, description = "Acknowledged"), Problems))]
pub async fn lifecycle(
    State(context): State<Context>,
    Query(handshake): Query<Handshake>,
    body: Body,
) -> ApiResult<Response> {
    if let Some(token) = handshake.validation_token {
        return echo(token);
    }
    let body = body.ok().filter(|body| body.len() <= MAX_BODY);
    let body = body.ok_or(Problem::new(ProblemType::TooLarge))?;
    for (shown, verified) in verified(&context, &body).await? {
        let (user, calendar) = (verified.user(), verified.calendar());
        match shown.event.as_str() {
            "reauthorizationRequired" => context.store.renew_channel(user, calendar, false).await?,
            "subscriptionRemoved" => context.store.renew_channel(user, calendar, true).await?,
            // Other events, such as `missed`, only need the sync that is requested below.
            _ => {}
        }
        request_notified(&context, verified).await?;
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Returns the token as plain text, so that a browser does not render it as HTML.
fn echo(token: String) -> ApiResult<Response> {
    if token.len() > LONGEST {
        return Err(Problem::field("validationToken", "is too long"));
    }
    Ok(([(header::CONTENT_TYPE, "text/plain")], token).into_response())
}

/// Returns whether this has the form of a channel id or secret of this deployment: 32 bytes as base64url.
fn is_ours(name: &str) -> bool {
    name.len() == 43
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Verifies the notifications in a request body. Returns the valid ones, without duplicates.
///
/// Those of several channels are looked up at once. A request with several that are not valid is not from Microsoft: the rest
/// of it is dropped without being looked up.
async fn verified(
    context: &Context,
    body: &[u8],
) -> ApiResult<HashMap<NotificationProof, VerifiedNotification>> {
    let Ok(Notifications { value }) = serde_json::from_slice(body) else {
        info!("dropped notifications: the request body is not valid");
        return Ok(HashMap::new());
    };
    let count = value.len();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let mut seen = HashSet::new();
    let shown = value.iter().map(|one| NotificationProof {
        client_state: text(one, "clientState"),
        subscription: text(one, "subscriptionId"),
        event: text(one, "lifecycleEvent"),
    });
    let shown: Vec<NotificationProof> = shown.filter(|one| seen.insert(one.clone())).collect();
    // Notifications of one channel are verified once.
    let mut channels = HashSet::new();
    let channel = |one: &NotificationProof| (one.client_state.clone(), one.subscription.clone());
    let channels: Vec<_> = shown
        .iter()
        .map(channel)
        .filter(|one| channels.insert(one.clone()))
        .collect();
    let mut valid: HashMap<(String, String), VerifiedNotification> = HashMap::new();
    let (mut invalid, mut looked_up) = (0, 0);
    for some in channels.chunks(AT_ONCE) {
        if invalid > MAX_INVALID || looked_up >= MOST {
            break;
        }
        looked_up += some.len();
        let lookups = some
            .iter()
            .map(|(state, subscription)| verify(context, state, subscription));
        let found = try_join_all(lookups).await?;
        for (channel, found) in some.iter().zip(found) {
            match found {
                Some(found) => drop(valid.insert(channel.clone(), found)),
                None => invalid += 1,
            }
        }
    }
    if valid.len() < channels.len() {
        info!(
            notifications = count,
            subscriptions = channels.len(),
            valid = valid.len(),
            "dropped notifications of unknown subscriptions, or with a wrong secret or subscription id"
        );
    }
    let verified = |one: NotificationProof| Some((one.clone(), *valid.get(&channel(&one))?));
    Ok(shown.into_iter().filter_map(verified).collect())
}

async fn verify(
    context: &Context,
    client_state: &str,
    subscription: &str,
) -> ApiResult<Option<VerifiedNotification>> {
    match client_state.split_once('.') {
        // Another form was not issued by this deployment, and is not looked up.
        Some((channel, secret)) if is_ours(channel) && is_ours(secret) => {
            let secret = secret_digest(secret);
            let store = &context.store;
            let found = store.verify_notification(channel, subscription, &secret);
            Ok(found.await?)
        }
        _ => Ok(None),
    }
}
