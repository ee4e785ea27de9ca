//! Opens and closes push notification channels
//! (<https://developers.google.com/calendar/api/guides/push>).

use reqwest::Method;
use serde_json::json;

use super::{
    GoogleRequest, GoogleSession, OpenedChannel, ProviderError, RemoteCalendar, Result, malformed,
    millis,
};

/// Opens a channel for the events of a calendar. Google sends notifications to `address`, with
/// `secret` as the channel token.
pub(super) async fn watch(
    session: &GoogleSession,
    target: RemoteCalendar<'_>,
    channel: &str,
    secret: &str,
    address: &str,
) -> Result<OpenedChannel> {
    let body = json!({ "id": channel, "type": "web_hook", "address": address, "token": secret });
    let path = ["calendars", target.remote_id, "events", "watch"];
    let request = GoogleRequest {
        body: Some(&body),
        ..GoogleRequest::new(Method::POST, &path)
    };
    let answer = session.call(request).await?;
    let resource_id = answer["resourceId"]
        .as_str()
        .ok_or_else(|| malformed(&"a channel without a resourceId"))?;
    let expires_at =
        millis(&answer["expiration"]).ok_or_else(|| malformed(&"a channel without an expiry"))?;
    Ok(OpenedChannel {
        resource_id: resource_id.to_owned(),
        expires_at,
    })
}

/// Closes a channel. Succeeds if the channel does not exist.
pub(super) async fn close_channel(
    session: &GoogleSession,
    channel: &str,
    resource_id: &str,
) -> Result<()> {
    let body = json!({ "id": channel, "resourceId": resource_id });
    let request = GoogleRequest {
        body: Some(&body),
        ..GoogleRequest::new(Method::POST, &["channels", "stop"])
    };
    match session.call(request).await {
        Ok(_) | Err(ProviderError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
