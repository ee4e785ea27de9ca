//! Journeys that are specific to Microsoft.

use shared::domain::ids::UserId;

use crate::harness::{Person, World};

mod linking;
mod reading;
mod series;
mod subscriptions;
mod throttling;
mod together;
mod writing;

const NOTIFY: &str = "/api/v1/calendar/webhooks/microsoft";

/// Returns the id of the subscription of the user's only account, and the connection.
async fn subscription(
    world: &World,
    person: &Person,
) -> (String, shared::domain::connection::Connection) {
    let user: UserId = person.id.parse().unwrap();
    let connection = world
        .stack
        .context
        .store
        .connections(user)
        .await
        .unwrap()
        .remove(0);
    (
        connection
            .channel
            .as_ref()
            .unwrap()
            .resource_id
            .clone()
            .unwrap(),
        connection,
    )
}
