//! Removals: an immutable id still finds an event that is deleted, or in another calendar (docs/microsoft.md).

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::json;

use super::weekly;
use crate::harness::account::{by_hand, synced, titles};
use crate::harness::microsoft::{EMAIL, MicrosoftHarness};
use crate::harness::{Person, ProviderHarness, World, options};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_there_is_gone_here() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let once = side
        .insert("Once", "2027-01-05T12:00:00", "2027-01-05T13:00:00", None)
        .await;
    let series = weekly(&side).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 5);
    for id in [&once, &series] {
        assert!(side.remove(id).await.is_success());
        // Its immutable id still finds it.
        let (status, _) = side
            .call(Method::GET, side.path(&["events", id]), None)
            .await;
        assert_eq!(status, 200);
    }
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_on_both_sides_is_no_conflict() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let once = side
        .insert("Once", "2027-01-05T12:00:00", "2027-01-05T13:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        events[0]["id"].as_str().unwrap()
    );
    world.call("DELETE", &path, Some(&ada.token), None).await;
    assert!(side.remove(&once).await.is_success());
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());

    // A change of what was deleted there is kept, and does not reach the folder of deleted items.
    let other = side
        .insert("Other", "2027-01-06T12:00:00", "2027-01-06T13:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        events[0]["id"].as_str().unwrap()
    );
    let change = json!({ "title": "Changed" });
    world
        .call("PUT", &path, Some(&ada.token), Some(change))
        .await;
    assert!(side.remove(&other).await.is_success());
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.event(&other).await["subject"], "Other");
    let kept = world.get(&ada, &path.replace("?wait=0", "")).await.body;
    assert_eq!(kept["syncStatus"], "FAILED", "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_moved_to_another_calendar_is_in_that_one_only() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    let ada = world.sign_up("ada").await;
    let second = side.add_calendar("Second").await;
    let ids = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary(), &second])
        .await;
    let once = side
        .insert("Once", "2027-01-05T12:00:00", "2027-01-05T13:00:00", None)
        .await;
    let series = weekly(&side).await;
    let calendars = async || {
        for id in &ids {
            world.sync_calendar(&ada, id).await;
        }
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for event in world.events(&ada, "2027-01-01", "2027-02-01").await {
            let id = event["calendarId"].as_str().unwrap();
            *count.entry(name(&world, &ada, id).await).or_default() += 1;
        }
        count
    };
    let (first, second_name) = ("Calendar".to_owned(), "Second".to_owned());
    assert_eq!(calendars().await, [(first.clone(), 5)].into());
    for id in [&once, &series] {
        let body = json!({ "calendarId": side.primary(), "eventId": id, "to": second });
        side.control("move", body).await;
    }
    assert_eq!(calendars().await, [(second_name.clone(), 5)].into());
    let body = json!({ "calendarId": second, "eventId": once, "to": side.primary() });
    side.control("move", body).await;
    assert_eq!(calendars().await, [(first, 1), (second_name, 4)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_left_and_came_back_between_two_syncs_is_there() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let second = side.add_calendar("Second").await;
    synced(&world, &ada, &calendar).await;
    let (start, end) = ("2027-01-05T12:00:00", "2027-01-05T13:00:00");
    let returned = side.insert("Returned", start, end, None).await;
    let gone = side.insert("Gone", start, end, None).await;
    for (id, from, to) in [
        (&returned, side.primary(), second.clone()),
        (&returned, second.clone(), side.primary()),
        (&gone, side.primary(), second.clone()),
        (&gone, second.clone(), side.primary()),
        (&gone, side.primary(), second),
    ] {
        side.relocate(id, &from, &to).await;
    }
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, ["Returned"]);
}

/// Returns the name of a calendar.
async fn name(world: &World, person: &Person, id: &str) -> String {
    let path = format!("/api/v1/calendar/calendars/{id}");
    let calendar = world.get(person, &path).await.body;
    calendar["name"].as_str().unwrap().to_owned()
}
