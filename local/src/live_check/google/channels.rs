//! Push channels (`events.watch`, `channels.stop`).

use std::time::Duration;

use serde_json::{Value, json};

use super::{Google, event};
use crate::live_check::inbox::Delivery;
use crate::live_check::random_id;
use crate::live_check::report::{Checked, Findings};
use crate::live_check::wire::{Call, Reply, below};

/// How long a notification may take.
const DELIVERY: Duration = Duration::from_secs(90);

const OPENED: &str = "a channel is opened with its token, and answered with its resourceId";
const EXPIRY: &str = "the expiry of a channel is a string of milliseconds since 1970";
const SYNC: &str = "a new channel is told of by a message sync, with its id and its token";
const DOUBLE: &str = "a channel id that is taken is refused with 400 and channelIdNotUnique";
const CHANGE: &str = "a change is told of by a message exists, without a body";
const STOPPED: &str = "a channel is stopped by its id and its resourceId (204)";
const UNKNOWN: &str = "a channel that has been stopped is answered with 404";
const UNWATCHABLE: &str =
    "a calendar of holidays is refused with 400 and pushNotSupportedForRequestedResource";

/// Opens a channel, waits for its messages, and stops it.
pub(super) async fn check(google: &Google<'_>, findings: &mut Findings) -> Checked {
    findings.begin("Channels");
    let Some(address) = google.setup.notification_url() else {
        let reason = "there is no address for notifications; pass --notify";
        for assumption in [
            OPENED,
            EXPIRY,
            SYNC,
            DOUBLE,
            CHANGE,
            STOPPED,
            UNKNOWN,
            UNWATCHABLE,
        ] {
            findings.skip(assumption, reason);
        }
        return Ok(());
    };
    let (id, secret) = (random_id(), random_id());
    let body = json!({ "id": id, "type": "web_hook", "address": address, "token": secret });
    let opened = google.watch(google.calendar(), &body).await?;
    let resource_id = opened.text("resourceId");
    findings.require(OPENED, opened.is(200) && !resource_id.is_empty(), &opened)?;
    let expiry = opened.text("expiration").parse::<i64>();
    let is_future = |at: i64| at > shared::clock::Clock::System.now().timestamp_millis();
    findings.check(EXPIRY, expiry.is_ok_and(is_future), &opened);
    let double = google.watch(google.calendar(), &body).await?;
    findings.check(
        DOUBLE,
        double.is_refusal(400, "channelIdNotUnique"),
        &double,
    );
    let inbox = &google.setup.inbox;
    let told = |state: &'static str| {
        let (id, secret) = (id.clone(), secret.clone());
        move |one: &Delivery| {
            one.header("x-goog-resource-state") == state
                && one.header("x-goog-channel-id") == id
                && one.header("x-goog-channel-token") == secret
        }
    };
    let sync = inbox.wait_for(DELIVERY, told("sync")).await;
    findings.check(SYNC, sync.is_some(), &opened);
    google.make(findings, &event("Channels", json!({}))).await?;
    let exists = inbox.wait_for(DELIVERY, told("exists")).await;
    findings.check(
        CHANGE,
        exists.as_ref().is_some_and(|one| one.body.is_empty()),
        &opened.showing(json!({ "received": format!("{exists:?}") })),
    );
    let stop = json!({ "id": id, "resourceId": resource_id });
    let stopped = google.stop(&stop).await?;
    findings.check(STOPPED, stopped.is(204), &stopped);
    let again = google.stop(&stop).await?;
    findings.check(UNKNOWN, again.is(404), &again);
    unwatchable(google, findings, &address).await
}

/// Tries to watch a calendar of holidays, if the account has one.
async fn unwatchable(google: &Google<'_>, findings: &mut Findings, address: &str) -> Checked {
    let list = below(&google.urls.api, &["users", "me", "calendarList"]);
    let listed = google.get(list).await?;
    let ids = listed.list("items").iter();
    let mut ids = ids.filter_map(|item| item["id"].as_str());
    let Some(holidays) = ids.find(|id| id.contains("#holiday@")) else {
        findings.skip(UNWATCHABLE, "the account has no calendar of holidays");
        return Ok(());
    };
    let body = json!({ "id": random_id(), "type": "web_hook", "address": address });
    let refused = google.watch(holidays, &body).await?;
    let reason = "pushNotSupportedForRequestedResource";
    findings.check(UNWATCHABLE, refused.is_refusal(400, reason), &refused);
    if refused.is(200) {
        let stop = json!({ "id": refused.body["id"], "resourceId": refused.body["resourceId"] });
        google.stop(&stop).await?;
    }
    Ok(())
}

impl Google<'_> {
    async fn watch(&self, calendar: &str, body: &Value) -> Reply {
        let path = ["calendars", calendar, "events", "watch"];
        self.send(Call::post(below(&self.urls.api, &path)).json(body))
            .await
    }

    async fn stop(&self, body: &Value) -> Reply {
        let url = below(&self.urls.api, &["channels", "stop"]);
        self.send(Call::post(url).json(body)).await
    }
}
