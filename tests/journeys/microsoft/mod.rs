//! Journeys that are specific to Microsoft.

use serde_json::Value;
use shared::domain::calendar::ChannelState;
use shared::domain::ids::UserId;

use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{Person, ProviderHarness, World};

mod linking;
mod reading;
mod removals;
mod rounds;
mod series;
mod subscriptions;
mod throttling;
mod together;
mod writing;
mod zones;

const NOTIFY: &str = "/api/v1/calendar/webhooks/microsoft";

/// Returns the id of the subscription to the user's only calendar, and its channel.
async fn subscription(world: &World, person: &Person) -> (String, ChannelState) {
    let user: UserId = person.id.parse().unwrap();
    let calendar = world
        .stack
        .context
        .store
        .calendars(user)
        .await
        .unwrap()
        .remove(0);
    let channel = calendar.cursor.channel.unwrap();
    (channel.resource_id.clone().unwrap(), channel)
}

/// The local start of each event of January 2027, such as `04T09:00`.
async fn starts(world: &World, person: &Person) -> Vec<String> {
    let events = world.events(person, "2027-01-01", "2027-02-01").await;
    let start = |event: &Value| event["startTime"].as_str().unwrap()[8..16].to_owned();
    events.iter().map(start).collect()
}

/// Inserts a series of four Mondays from January 4th, 2027. Returns its id.
async fn weekly(side: &MicrosoftHarness) -> String {
    side.insert(
        "Weekly",
        "2027-01-04T09:00:00",
        "2027-01-04T10:00:00",
        Some("FREQ=WEEKLY;COUNT=4"),
    )
    .await
}
