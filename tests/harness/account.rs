//! A user with a connected account, and helpers for it.

use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::calendar::Cursor;
use shared::sync::{SyncOutcome, sync_calendar};

use super::{Person, ProviderHarness, World, options, options_by_hand};

pub async fn titles(world: &World, person: &Person) -> Vec<String> {
    let events = world.events(person, "2026-12-01", "2027-02-01").await;
    events
        .iter()
        .map(|event| event["title"].as_str().unwrap().to_owned())
        .collect()
}

/// Inserts an event at the provider, from 9:00 to 10:00 on a day of January 2027. Returns its id.
pub async fn insert<S: ProviderHarness>(side: &S, title: &str, day: u32) -> String {
    side.insert(
        title,
        &format!("2027-01-{day:02}T09:00:00"),
        &format!("2027-01-{day:02}T10:00:00"),
        None,
    )
    .await
}

/// Starts a world with one user whose primary calendar is connected and synced.
pub async fn connected<S: ProviderHarness>() -> (World, S, Person, String) {
    let (world, side) = World::beside::<S>(options()).await;
    let ada = world.sign_up("ada").await;
    let id = world
        .connect_account(&side, &ada, S::EMAIL, &[&side.primary()])
        .await
        .remove(0);
    (world, side, ada, id)
}

/// As [`connected`], with a manual clock and a worker that only runs on `Stack::work`.
pub async fn by_hand<S: ProviderHarness>() -> (World, S, Person, String, Clock) {
    let unsynced = unsynced::<S>().await;
    unsynced.0.stack.work().await;
    unsynced
}

/// As [`by_hand`], but the calendar has not been synced yet.
pub async fn unsynced<S: ProviderHarness>() -> (World, S, Person, String, Clock) {
    let (options, clock) = options_by_hand("2027-01-01T00:00:00Z");
    let (world, side) = World::beside::<S>(options).await;
    let ada = world.sign_up("ada").await;
    let calendar = world
        .choose(&side, &ada, S::EMAIL, &[&side.primary()])
        .await
        .remove(0);
    (world, side, ada, calendar, clock)
}

/// Syncs a calendar, as a worker does that has received a message.
pub async fn work_on(world: &World, person: &Person, calendar: &str) -> Cursor {
    let (user, id) = (person.id.parse().unwrap(), calendar.parse().unwrap());
    let context = &world.stack.context;
    let synced = Box::pin(sync_calendar(context, user, id)).await.unwrap();
    let SyncOutcome::Completed(cursor) = synced else {
        panic!("{synced:?}")
    };
    *cursor
}

/// Requests a sync and runs it. Returns the calendar afterwards.
pub async fn synced(world: &World, person: &Person, calendar: &str) -> Value {
    world
        .post(
            person,
            &format!("/api/v1/calendar/calendars/{calendar}/sync"),
            json!({}),
        )
        .await;
    let (user, id) = (person.id.parse().unwrap(), calendar.parse().unwrap());
    // A push may have requested a sync first, so its message may not have arrived yet.
    world
        .until("the sync", async || {
            world.stack.work().await;
            let cursor = world
                .stack
                .context
                .store
                .calendar(user, id)
                .await
                .unwrap()
                .unwrap()
                .cursor;
            (cursor.completed >= cursor.requested).then_some(())
        })
        .await;
    world
        .get(person, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body
}

pub async fn create(world: &World, person: &Person, body: Value) -> Value {
    let made = world.post(person, "/api/v1/calendar/events", body).await;
    assert_eq!(
        (made.status, &made.body["syncStatus"]),
        (201, &json!("SYNCED")),
        "{made:?}"
    );
    made.body
}

pub async fn put(world: &World, person: &Person, id: &str, body: Value) -> Value {
    let answer = world
        .call(
            "PUT",
            &format!("/api/v1/calendar/events/{id}"),
            Some(&person.token),
            Some(body),
        )
        .await;
    assert_eq!(
        (answer.status, &answer.body["syncStatus"]),
        (200, &json!("SYNCED")),
        "{answer:?}"
    );
    answer.body
}

pub async fn delete(world: &World, person: &Person, id: &str) {
    let answer = world
        .call(
            "DELETE",
            &format!("/api/v1/calendar/events/{id}"),
            Some(&person.token),
            None,
        )
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
