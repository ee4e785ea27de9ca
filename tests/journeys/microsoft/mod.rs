//! What only Microsoft does, through the whole backend.

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

/// The one subscription of the only account: what its notifications show.
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
