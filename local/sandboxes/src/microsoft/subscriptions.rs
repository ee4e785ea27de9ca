//! Subscriptions: validation of both notification URLs, limits on the lifetime, and delivery of
//! notifications.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use super::errors::Refusal;
use super::state::{Person, Subscription};
use super::{Answer, MicrosoftSandbox};
use crate::parts::{decoded, random_id};

/// The minimum lifetime. A shorter one is extended to it.
const SHORTEST: TimeDelta = TimeDelta::minutes(45);

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(400, "ValidationError", message)
}

fn end(microsoft: &MicrosoftSandbox, body: &Map<String, Value>) -> Result<DateTime<Utc>, Refusal> {
    let state = microsoft.state();
    let asked = body
        .get("expirationDateTime")
        .and_then(Value::as_str)
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let asked = asked
        .ok_or_else(|| invalid("expirationDateTime is required."))?
        .to_utc();
    if asked > state.now() + TimeDelta::minutes(state.longest) {
        return Err(invalid(format!(
            "Subscription expiration can only be {} minutes in the future.",
            state.longest
        )));
    }
    Ok(asked.max(state.now() + SHORTEST))
}

fn shown(subscription: &Subscription) -> Value {
    let mut body = subscription.body.clone();
    body.insert("id".to_owned(), subscription.id.as_str().into());
    body.insert(
        "expirationDateTime".to_owned(),
        subscription
            .expires
            .to_rfc3339_opts(SecondsFormat::Secs, true)
            .into(),
    );
    // Graph does not return the client state.
    body.insert("clientState".to_owned(), Value::Null);
    body.into()
}

/// `POST /subscriptions`
pub(super) async fn create(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    body: Map<String, Value>,
) -> Answer {
    let expires = end(microsoft, &body)?;
    let resource = body.get("resource").and_then(Value::as_str);
    check_resource(microsoft, person, resource.unwrap_or_default())?;
    if body
        .get("clientState")
        .and_then(Value::as_str)
        .is_none_or(|state| state.len() > 128)
    {
        return Err(invalid("clientState has to have at most 128 characters."));
    }
    let same = |other: &Subscription| {
        other.email == person.email
            && ["resource", "changeType"]
                .iter()
                .all(|name| other.body.get(*name) == body.get(*name))
    };
    if microsoft
        .state()
        .subscriptions
        .values()
        .any(|other| same(other) && other.expires > microsoft.clock.now())
    {
        return Err(Refusal::new(
            409,
            "ExtensionError",
            "Operation: Create; Exception: [Status Code: Conflict; Reason: Subscription exists]",
        ));
    }
    for name in ["notificationUrl", "lifecycleNotificationUrl"] {
        if let Some(address) = body.get(name).and_then(Value::as_str) {
            shake_hands(microsoft, address).await?;
        }
    }
    let id = format!("{}-sub", random_id(20));
    let subscription = Subscription {
        id: id.clone(),
        email: person.email.clone(),
        body,
        expires,
    };
    let answer = shown(&subscription);
    microsoft.state().subscriptions.insert(id, subscription);
    Ok(Some(answer))
}

/// Refuses resources that cannot be subscribed to: other than events, and the calendars of other
/// people.
fn check_resource(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    resource: &str,
) -> Result<(), Refusal> {
    let state = microsoft.state();
    match Watched::parse(resource) {
        Some(Watched::DefaultCalendar) => Ok(()),
        Some(Watched::Calendar(_)) if !state.watches_calendars => Err(Refusal::new(
            400,
            "BadRequest",
            format!("Unsupported resource: {resource}"),
        )),
        Some(Watched::Calendar(id)) => match state.calendars.get(&id) {
            Some(calendar) if calendar.owner == person.email => Ok(()),
            _ => Err(Refusal::new(
                403,
                "ErrorAccessDenied",
                "Access is denied. Check credentials and try again.",
            )),
        },
        None => Err(invalid("Only events can be subscribed to.")),
    }
}

/// The calendar that a subscription's `resource` names.
enum Watched {
    /// `/me/events` covers the default calendar only (microsoft-graph-docs#6595, #21978).
    DefaultCalendar,
    /// `/me/calendars/{id}/events`, which is not documented.
    Calendar(String),
}

impl Watched {
    fn parse(resource: &str) -> Option<Self> {
        let path = resource.trim_start_matches('/').strip_prefix("me/")?;
        if path == "events" {
            return Some(Self::DefaultCalendar);
        }
        let id = path.strip_prefix("calendars/")?.strip_suffix("/events")?;
        Some(Self::Calendar(decoded(id)))
    }
}

/// Validates a notification URL: it has to return the decoded validation token as plain text.
async fn shake_hands(microsoft: &MicrosoftSandbox, address: &str) -> Result<(), Refusal> {
    let failed = |why: &str| invalid(format!("Subscription validation request failed. {why}"));
    let token = format!(
        "Validation: Testing client application reachability <{}>+ä",
        random_id(12)
    );
    let mut url = reqwest::Url::parse(address).map_err(|_| failed("The address is not a URL."))?;
    url.query_pairs_mut().append_pair("validationToken", &token);
    let request = microsoft
        .client
        .post(url)
        .header("content-length", "0")
        .timeout(std::time::Duration::from_secs(10));
    let answer = request.send().await.map_err(|_| failed("No response."))?;
    let is_text = answer
        .headers()
        .get("content-type")
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/plain"));
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    if status == 200 && is_text && text == token {
        Ok(())
    } else {
        Err(failed(&format!("{status} {text}")))
    }
}

/// `GET /subscriptions`
pub(super) fn list(microsoft: &MicrosoftSandbox, person: &Person) -> Value {
    let state = microsoft.state();
    let own = state
        .subscriptions
        .values()
        .filter(|subscription| subscription.email == person.email);
    json!({ "value": own.map(shown).collect::<Vec<_>>() })
}

/// `PATCH /subscriptions/{id}`
pub(super) fn renew(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    id: &str,
    body: &Map<String, Value>,
) -> Answer {
    let expires = end(microsoft, body)?;
    let mut state = microsoft.state();
    let now = state.now();
    let own = state
        .subscriptions
        .get_mut(id)
        .filter(|own| own.email == person.email && own.expires > now);
    let own =
        own.ok_or_else(|| Refusal::new(404, "ResourceNotFound", "The object was not found."))?;
    own.expires = expires;
    Ok(Some(shown(own)))
}

/// `DELETE /subscriptions/{id}`
pub(super) fn delete(microsoft: &MicrosoftSandbox, person: &Person, id: &str) -> Answer {
    let mut state = microsoft.state();
    let is_own = state
        .subscriptions
        .get(id)
        .is_some_and(|own| own.email == person.email);
    match is_own.then(|| state.subscriptions.remove(id)) {
        Some(_) => Ok(None),
        None => Err(Refusal::new(
            404,
            "ResourceNotFound",
            "The object was not found.",
        )),
    }
}

impl MicrosoftSandbox {
    /// Notifies the subscriptions to a calendar of a mailbox that an event has changed. Each
    /// request repeats the notification, as Graph may, and contains one of a foreign subscription.
    pub(super) fn notify(&self, email: &str, calendar: &str) {
        let mut state = self.state();
        let now = state.now();
        state
            .subscriptions
            .retain(|_, subscription| subscription.expires > now);
        let is_default = state
            .calendars
            .get(calendar)
            .is_some_and(|one| one.is_default);
        let covers = |subscription: &Subscription| {
            let resource = subscription.body.get("resource").and_then(Value::as_str);
            match Watched::parse(resource.unwrap_or_default()) {
                Some(Watched::DefaultCalendar) => is_default,
                Some(Watched::Calendar(id)) => id == calendar,
                None => false,
            }
        };
        let watching: Vec<Subscription> = state
            .subscriptions
            .values()
            .filter(|one| one.email == email && covers(one))
            .cloned()
            .collect();
        drop(state);
        for subscription in watching {
            let own = message(
                &subscription,
                json!({ "changeType": "updated", "resource": "Users/x/Events/y" }),
            );
            let mut foreign = own.clone();
            foreign["subscriptionId"] = "somebody-elses".into();
            foreign["clientState"] = "unknown.unknown".into();
            self.push(
                &subscription,
                "notificationUrl",
                &json!({ "value": [foreign, own, own] }),
            );
        }
    }

    /// Sends a lifecycle event to all subscriptions of a mailbox. `subscriptionRemoved` removes
    /// them first.
    pub(super) fn say(&self, email: &str, event: &str) {
        let mut state = self.state();
        let watching: Vec<Subscription> = state
            .subscriptions
            .values()
            .filter(|one| one.email == email)
            .cloned()
            .collect();
        if event == "subscriptionRemoved" {
            state
                .subscriptions
                .retain(|_, subscription| subscription.email != email);
        }
        drop(state);
        for subscription in watching {
            let own = message(&subscription, json!({ "lifecycleEvent": event }));
            self.push(
                &subscription,
                "lifecycleNotificationUrl",
                &json!({ "value": [own] }),
            );
        }
    }

    fn push(&self, subscription: &Subscription, address: &str, body: &Value) {
        let Some(address) = subscription.body.get(address).and_then(Value::as_str) else {
            return;
        };
        let request = self
            .client
            .post(address)
            .header("content-type", "application/json")
            .body(body.to_string());
        self.deliveries.send(request);
    }
}

fn message(subscription: &Subscription, more: Value) -> Value {
    let mut message = json!({
        "id": random_id(16), "subscriptionId": subscription.id, "clientState": subscription.body.get("clientState"),
        "subscriptionExpirationDateTime": subscription.expires.to_rfc3339_opts(SecondsFormat::Secs, true), "tenantId": "sandbox"
    });
    if let (Some(fields), Some(more)) = (message.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    message
}
