//! Subscriptions to the events of a calendar
//! (<https://learn.microsoft.com/graph/api/resources/subscription>). A delegated permission covers
//! the account's own calendars only.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use super::session::escaped_segment;
use super::{
    GraphRequest, GraphSession, NAME, OpenedChannel, ProviderError, RemoteCalendar, Result,
    malformed,
};

/// The documented resource. It covers the default calendar only (microsoft-graph-docs#6595,
/// #21978).
const DEFAULT_CALENDAR: &str = "/me/events";
/// The requested lifetime: a little less than the seven days of the reference.
const LONG: TimeDelta = TimeDelta::hours(6 * 24 + 20);
/// The requested lifetime where Graph refuses [`LONG`]: a little less than the 4,230 minutes of
/// older reference pages.
const SHORT: TimeDelta = TimeDelta::minutes(4_200);

/// Opens a subscription to a calendar. Graph validates both notification URLs first. Each
/// notification carries `channel.secret` as its `clientState`.
///
/// The resource of a single calendar works, but is not documented (microsoft-graph-docs#13548,
/// #21978). Where Graph refuses it, only the default calendar can be watched.
pub(super) async fn open(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    channel: &str,
    secret: &str,
    address: &str,
) -> Result<OpenedChannel> {
    if target.is_shared {
        return Err(ProviderError::PushUnsupported { provider: NAME });
    }
    let client_state = format!("{channel}.{secret}");
    let calendar = escaped_segment(target.remote_id);
    let resource = format!("/me/calendars/{calendar}/events");
    match subscribe(session, &resource, &client_state, address).await {
        Err(ProviderError::Refused { .. } | ProviderError::NotFound { .. })
            if target.is_primary =>
        {
            subscribe(session, DEFAULT_CALENDAR, &client_state, address).await
        }
        Err(ProviderError::Refused { .. } | ProviderError::NotFound { .. }) => {
            Err(ProviderError::PushUnsupported { provider: NAME })
        }
        opened => opened,
    }
}

async fn subscribe(
    session: &GraphSession,
    resource: &str,
    client_state: &str,
    address: &str,
) -> Result<OpenedChannel> {
    let mut lifetime = LONG;
    let mut is_cleared = false;
    loop {
        let body = json!({
            "changeType": "created,updated,deleted",
            "notificationUrl": address,
            "lifecycleNotificationUrl": format!("{address}/lifecycle"),
            "resource": resource,
            "expirationDateTime": until(session, lifetime),
            "clientState": client_state,
        });
        let request = GraphRequest {
            body: Some(&body),
            ..GraphRequest::new(Method::POST, &["subscriptions"])
        };
        match session.call(request).await {
            Ok(answer) => return read(&answer),
            Err(failure) if lifetime == LONG && is_about_lifetime(&failure) => lifetime = SHORT,
            // An interrupted run left a subscription behind, or did not store its id.
            Err(ProviderError::AlreadyExists { .. }) if !is_cleared => {
                clear(session, resource, address).await?;
                is_cleared = true;
            }
            // This deployment's response did not reach Graph. A later attempt may succeed.
            Err(ProviderError::Refused { message, .. })
                if message.to_ascii_lowercase().contains("validation request") =>
            {
                return Err(ProviderError::ServerError {
                    provider: NAME,
                    status: 400,
                });
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Extends a subscription, and reauthorizes it. `None` if it no longer exists.
pub(super) async fn extend(session: &GraphSession, id: &str) -> Result<Option<OpenedChannel>> {
    let mut lifetime = LONG;
    loop {
        let body = json!({ "expirationDateTime": until(session, lifetime) });
        let path = ["subscriptions", id];
        match session
            .call(GraphRequest {
                body: Some(&body),
                ..GraphRequest::new(Method::PATCH, &path)
            })
            .await
        {
            Ok(answer) => return read(&answer).map(Some),
            Err(failure) if lifetime == LONG && is_about_lifetime(&failure) => lifetime = SHORT,
            Err(ProviderError::NotFound { .. }) => return Ok(None),
            Err(failure) => return Err(failure),
        }
    }
}

pub(super) async fn close(session: &GraphSession, id: &str) -> Result<()> {
    match session
        .call(GraphRequest::new(Method::DELETE, &["subscriptions", id]))
        .await
    {
        Ok(_) | Err(ProviderError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Removes this deployment's subscriptions to a resource.
async fn clear(session: &GraphSession, resource: &str, address: &str) -> Result<()> {
    let answer = session.call(GraphRequest::get(&["subscriptions"])).await?;
    for one in answer["value"].as_array().into_iter().flatten() {
        if let Some(id) = one["id"]
            .as_str()
            .filter(|_| one["resource"] == resource && one["notificationUrl"] == address)
        {
            close(session, id).await?;
        }
    }
    Ok(())
}

fn is_about_lifetime(failure: &ProviderError) -> bool {
    matches!(failure, ProviderError::Refused { message, .. } if message.to_ascii_lowercase().contains("expiration"))
}

fn until(session: &GraphSession, lifetime: TimeDelta) -> String {
    (session.microsoft.clock.now() + lifetime).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn read(answer: &Value) -> Result<OpenedChannel> {
    let id = answer["id"]
        .as_str()
        .ok_or_else(|| malformed(&"a subscription without an id"))?;
    let end = answer["expirationDateTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let expires_at: DateTime<Utc> = end
        .ok_or_else(|| malformed(&"a subscription without an expiration time"))?
        .to_utc();
    Ok(OpenedChannel {
        resource_id: id.to_owned(),
        expires_at,
    })
}
