//! Journeys that are specific to Google.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::google::GoogleHarness;

mod accounts;
mod channels;
mod events;

fn timed(title: &str, day: &str, hour: u32) -> Value {
    let time = |hour| json!({ "dateTime": format!("{day}T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
    json!({ "summary": title, "start": time(hour), "end": time(hour + 1) })
}

/// Creates an event as the Google user. Returns its remote id.
async fn insert(google: &GoogleHarness, event: Value) -> String {
    let (status, event) = google
        .call(
            Method::POST,
            "calendars/primary/events?sendUpdates=none",
            None,
            Some(event),
        )
        .await;
    assert_eq!(status, 200, "{event}");
    event["id"].as_str().unwrap().to_owned()
}

fn fault(method: &str, status: u16, reason: &str) -> Value {
    json!([{ "method": method, "status": status, "reason": reason }])
}
