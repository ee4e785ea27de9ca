//! Subscriptions to the events of a calendar.

use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Clock;

use super::{Microsoft, event};
use crate::live_check::inbox::Delivery;
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Answer, Call, Reply};

/// How long a notification may take, and how long another one is waited for in addition.
const DELIVERY: Duration = Duration::from_secs(240);
const AFTERWARDS: Duration = Duration::from_secs(5);
/// The lifetime that the backend requests.
const LONG: TimeDelta = TimeDelta::hours(6 * 24 + 20);

const REFUSED: &str =
    "an address that does not pass validation is refused with 400 and \"validation request\"";
const TOO_LONG: &str = "a lifetime of more than seven days is refused with 400 and \"expiration\"";
const OPENED: &str = "/me/calendars/{id}/events can be subscribed to for six days and twenty hours";
const DEFAULT: &str = "/me/events can be subscribed to";
const VALIDATED: &str = "both addresses are validated before the subscription is answered";
const DOUBLE: &str = "a second subscription to a resource is refused with 409";
const NOTIFIED: &str = "a notification names its subscription, with the clientState";
const ELSEWHERE: &str = "/me/events does not notify of other calendars than the default one";
const EXTENDED: &str = "a subscription is extended by PATCH";
const REMOVED: &str = "a subscription is removed by DELETE (204)";
const GONE: &str = "a subscription that has been removed is answered with 404";
const ALL: [&str; 11] = [
    REFUSED, TOO_LONG, OPENED, VALIDATED, DOUBLE, DEFAULT, NOTIFIED, ELSEWHERE, EXTENDED, REMOVED,
    GONE,
];

impl Microsoft<'_> {
    async fn subscribe(
        &self,
        resource: &str,
        state: &str,
        address: &str,
        lifetime: TimeDelta,
    ) -> Reply {
        let body = json!({
            "changeType": "created,updated,deleted", "notificationUrl": address,
            "lifecycleNotificationUrl": format!("{address}/lifecycle"), "resource": resource,
            "expirationDateTime": after(lifetime), "clientState": state
        });
        self.send(Call::post(self.path(&["subscriptions"])).json(&body))
            .await
    }

    async fn unsubscribe(&self, id: &str) -> Reply {
        self.send(Call::delete(self.path(&["subscriptions", id])))
            .await
    }

    async fn extend(&self, id: &str) -> Reply {
        let body = json!({ "expirationDateTime": after(LONG) });
        let call = Call::new(Method::PATCH, self.path(&["subscriptions", id]));
        self.send(call.json(&body)).await
    }
}

/// The time after this duration.
fn after(duration: TimeDelta) -> String {
    let end = Clock::System.now() + duration;
    end.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Opens a subscription, waits for a notification, and removes it.
pub(super) async fn check(microsoft: &Microsoft<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Subscriptions");
    let setup = microsoft.setup;
    let (Some(address), Some(refusing)) = (setup.notification_url(), setup.refusing_url()) else {
        for assumption in ALL {
            findings.skip(
                assumption,
                "there is no address for notifications; pass --notify",
            );
        }
        return Ok(());
    };
    let calendar = microsoft.in_calendar(&["events"]);
    let resource = calendar.path().trim_start_matches("/v1.0");
    refusals(microsoft, findings, resource, (&address, &refusing)).await?;
    let state = random_id();
    let opened = microsoft
        .subscribe(resource, &state, &address, LONG)
        .await?;
    let id = opened.text("id");
    findings.require(OPENED, opened.is(201) && !id.is_empty(), &opened)?;
    let mut is_validated = true;
    for path in ["/notifications", "/notifications/lifecycle"] {
        let is_validation =
            |one: &Delivery| one.path == path && one.query.contains_key("validationToken");
        let received = setup.inbox.wait_for(Duration::ZERO, is_validation).await;
        is_validated &= received.is_some();
    }
    findings.check(VALIDATED, is_validated, &opened);
    let double = microsoft
        .subscribe(resource, &state, &address, LONG)
        .await?;
    findings.check(DOUBLE, double.is(409), &double);
    notifications(microsoft, findings, &address, (&opened, &state)).await?;
    let extended = microsoft.extend(id).await?;
    findings.check(EXTENDED, extended.is(200), &extended);
    let removed = microsoft.unsubscribe(id).await?;
    findings.check(REMOVED, removed.is(204), &removed);
    let gone = microsoft.extend(id).await?;
    findings.check(GONE, gone.is(404), &gone);
    Ok(())
}

/// Subscriptions that are refused.
async fn refusals(
    microsoft: &Microsoft<'_>,
    findings: &mut Findings,
    resource: &str,
    (address, refusing): (&str, &str),
) -> Checked {
    let has = |answer: &Answer, words: &str| {
        let message = answer.body["error"]["message"].as_str().unwrap_or_default();
        answer.is(400) && message.to_ascii_lowercase().contains(words)
    };
    let refused = microsoft
        .subscribe(resource, "state", refusing, LONG)
        .await?;
    findings.check(REFUSED, has(&refused, "validation request"), &refused);
    let more = TimeDelta::days(8);
    let long = microsoft
        .subscribe(resource, "state", address, more)
        .await?;
    findings.check(TOO_LONG, has(&long, "expiration"), &long);
    Ok(())
}

/// Waits for the notification of a new event. The default calendar, which does not have the event,
/// is watched too.
async fn notifications(
    microsoft: &Microsoft<'_>,
    findings: &mut Findings,
    address: &str,
    (opened, state): (&Answer, &str),
) -> Checked {
    let inbox = &microsoft.setup.inbox;
    let default_state = random_id();
    let default = microsoft
        .subscribe("/me/events", &default_state, address, LONG)
        .await?;
    findings.check(DEFAULT, default.is(201), &default);
    microsoft
        .make(findings, &event("Subscriptions", json!({})))
        .await?;
    let own = inbox.wait_for(DELIVERY, |one| is_of(one, state)).await;
    let names_it = own.is_some_and(|one| one.body.contains(opened.text("id")));
    findings.check(NOTIFIED, names_it, opened);
    if !default.is(201) {
        findings.skip(ELSEWHERE, "it cannot be subscribed to");
        return Ok(());
    }
    let other = inbox.wait_for(AFTERWARDS, |one| is_of(one, &default_state));
    let received = other.await.map(|one| one.body);
    findings.check(
        ELSEWHERE,
        received.is_none(),
        &default.showing(json!({ "received": received })),
    );
    microsoft.unsubscribe(default.text("id")).await?;
    Ok(())
}

/// Whether a delivery has a notification with this `clientState`.
fn is_of(delivery: &Delivery, state: &str) -> bool {
    let body: Value = serde_json::from_str(&delivery.body).unwrap_or_default();
    let mut notifications = body["value"].as_array().into_iter().flatten();
    notifications.any(|one| one["clientState"] == state)
}

/// Removes the subscriptions that notify this machine.
pub(super) async fn remove_all(microsoft: &Microsoft<'_>) -> Checked {
    let Some(address) = microsoft.setup.notification_url() else {
        return Ok(());
    };
    let listed = microsoft.get(microsoft.path(&["subscriptions"])).await?;
    for one in listed.list("value") {
        if let (true, Some(id)) = (one["notificationUrl"] == address, one["id"].as_str()) {
            microsoft.unsubscribe(id).await?;
        }
    }
    Ok(())
}
