//! Subscriptions to the events of a mailbox (<https://learn.microsoft.com/graph/api/resources/subscription>). There are
//! none of a single calendar, and none of somebody else's.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::Method;
use serde_json::{Value, json};

use super::{GraphRequest, GraphSession, OpenedChannel, ProviderError, Result, malformed};

const RESOURCE: &str = "/me/events";
/// Microsoft allows a little less than seven days …
const LONG: TimeDelta = TimeDelta::hours(6 * 24 + 20);
/// … and where it does not, as older pages say, a little less than three.
const SHORT: TimeDelta = TimeDelta::minutes(4_200);

/// Opens a subscription. Microsoft asks both addresses first whether they want it. Its messages show `channel.secret`.
pub(super) async fn open(
    session: &GraphSession,
    channel: &str,
    secret: &str,
    address: &str,
) -> Result<OpenedChannel> {
    let mut lasts = LONG;
    let mut is_cleared = false;
    loop {
        let body = json!({
            "changeType": "created,updated,deleted",
            "notificationUrl": address,
            "lifecycleNotificationUrl": format!("{address}/lifecycle"),
            "resource": RESOURCE,
            "expirationDateTime": until(session, lasts),
            "clientState": format!("{channel}.{secret}"),
        });
        let path = ["subscriptions"];
        match session
            .call(GraphRequest {
                body: Some(&body),
                ..GraphRequest::new(Method::POST, &path)
            })
            .await
        {
            Ok(answer) => return read(&answer),
            Err(failure) if lasts == LONG && is_about_time(&failure) => lasts = SHORT,
            // One that an interrupted run has left, or whose end nobody has noted.
            Err(ProviderError::AlreadyExists { .. }) if !is_cleared => {
                clear(session, address).await?;
                is_cleared = true;
            }
            // Our own answer did not come through: it may the next time.
            Err(ProviderError::Refused { message, .. })
                if message.to_ascii_lowercase().contains("validation request") =>
            {
                return Err(ProviderError::ServerError {
                    provider: super::NAME,
                    status: 400,
                });
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Has a subscription live longer, and its grant looked at anew.
pub(super) async fn extend(session: &GraphSession, id: &str) -> Result<Option<OpenedChannel>> {
    let mut lasts = LONG;
    loop {
        let body = json!({ "expirationDateTime": until(session, lasts) });
        let path = ["subscriptions", id];
        match session
            .call(GraphRequest {
                body: Some(&body),
                ..GraphRequest::new(Method::PATCH, &path)
            })
            .await
        {
            Ok(answer) => return read(&answer).map(Some),
            Err(failure) if lasts == LONG && is_about_time(&failure) => lasts = SHORT,
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

/// Removes this deployment's subscriptions to the mailbox.
async fn clear(session: &GraphSession, address: &str) -> Result<()> {
    let answer = session.call(GraphRequest::get(&["subscriptions"])).await?;
    for one in answer["value"].as_array().into_iter().flatten() {
        if let Some(id) = one["id"]
            .as_str()
            .filter(|_| one["resource"] == RESOURCE && one["notificationUrl"] == address)
        {
            close(session, id).await?;
        }
    }
    Ok(())
}

fn is_about_time(failure: &ProviderError) -> bool {
    matches!(failure, ProviderError::Refused { message, .. } if message.to_ascii_lowercase().contains("expiration"))
}

fn until(session: &GraphSession, lasts: TimeDelta) -> String {
    (session.microsoft.clock.now() + lasts).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn read(answer: &Value) -> Result<OpenedChannel> {
    let id = answer["id"]
        .as_str()
        .ok_or_else(|| malformed(&"a subscription without an id"))?;
    let end = answer["expirationDateTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let expires_at: DateTime<Utc> = end
        .ok_or_else(|| malformed(&"a subscription without an end"))?
        .to_utc();
    Ok(OpenedChannel {
        resource_id: id.to_owned(),
        expires_at,
    })
}
