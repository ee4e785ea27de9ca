//! Failures of the provider: interrupted, throttled and rejected writes.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::account::{by_hand, insert, synced, titles};
use crate::harness::{EventChange, InjectedFault, ProviderHarness};

with_each_provider!(
    a_large_event_costs_nothing_else,
    an_event_that_can_no_longer_be_read_stays,
    half_finished_push_then_retry,
    throttling_drops_events,
    what_is_refused_is_shown_and_kept,
);

async fn half_finished_push_then_retry<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({ "calendarId": calendar, "title": "Once", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    assert_eq!(
        (made.status, &made.body["syncStatus"]),
        (202, &json!("PENDING"))
    );
    world.stack.work().await;
    assert_eq!(
        side.titles().await,
        ["Once"],
        "the answer was lost, the event was not"
    );
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Once"]);
    assert_eq!(side.calls("insert").await, 1, "recognised, not made again");
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert_eq!(
        (seen.len(), &seen[0]["syncStatus"], &seen[0]["id"]),
        (1, &json!("SYNCED"), &made.body["id"])
    );
}

async fn throttling_drops_events<S: ProviderHarness>() {
    let (world, mut side, mut ada, calendar, clock) = by_hand::<S>().await;
    for day in 1..=6 {
        let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
        let body = json!({ "calendarId": calendar, "title": format!("{day}"), "startTime": time(9), "endTime": time(10) });
        assert_eq!(
            world
                .post(&ada, "/api/v1/calendar/events?wait=0", body)
                .await
                .status,
            202
        );
    }
    for trouble in [
        InjectedFault::Throttled,
        InjectedFault::ThrottledAfter,
        InjectedFault::Throttled,
    ] {
        side.faults("insert", trouble).await;
        world.stack.work().await;
        clock.advance(TimeDelta::minutes(16));
        ada = world.sign_in(&ada).await;
        world
            .post(
                &ada,
                &format!("/api/v1/calendar/calendars/{calendar}/sync"),
                json!({}),
            )
            .await;
    }
    world.stack.work().await;
    side.sign_in().await;
    assert_eq!(
        side.titles().await,
        ["1", "2", "3", "4", "5", "6"],
        "the queue drains"
    );
    // Over the quota per minute: the write waits, and succeeds later.
    side.control("quota", json!(1)).await;
    let extra = json!({ "calendarId": calendar, "title": "7", "startTime": "2027-01-07T09:00:00", "endTime": "2027-01-07T10:00:00" });
    let extra = world
        .post(&ada, "/api/v1/calendar/events?wait=0", extra)
        .await
        .body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    world.stack.work().await;
    assert_eq!(
        world
            .get(&ada, &format!("/api/v1/calendar/events/{extra}"))
            .await
            .body["syncStatus"],
        "PENDING"
    );
    side.control("forgive", json!({})).await;
    clock.advance(TimeDelta::minutes(16));
    ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    side.sign_in().await;
    assert_eq!(side.titles().await.len(), 7);
    // A permanent error, unlike throttling: the event is FAILED with the provider's reason, and can be retried.
    let id = world.events(&ada, "2027-01-01", "2027-02-01").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    side.faults("update", InjectedFault::Forbidden).await;
    let path = format!("/api/v1/calendar/events/{id}");
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(json!({ "title": "No" }))
            )
            .await
            .status,
        202
    );
    world.stack.work().await;
    let failed = world.get(&ada, &path).await.body;
    assert_eq!(failed["syncStatus"], "FAILED");
    let reason = S::fault("update", InjectedFault::Forbidden)["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        failed["syncError"].as_str().unwrap().contains(&reason),
        "{failed}"
    );
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    world.stack.work().await;
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        409,
        "nothing to retry"
    );
}

async fn what_is_refused_is_shown_and_kept<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=3"
    });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", weekly)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |event: &Value| format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
    // An occurrence without an override is changed with If-Match, and cancelled at the provider before the write.
    let tag = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("if-match", seen[1]["etag"].as_str().unwrap().to_owned()),
    ];
    let change = json!({ "title": "Mine" }).to_string();
    assert_eq!(
        world
            .send(
                "PUT",
                &format!("{}?wait=0", path(&seen[1])),
                &tag,
                Some(change)
            )
            .await
            .status,
        202
    );
    let master = side.all().await.remove(0).id;
    assert!(
        side.remove(&S::occurrence(&master, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        let kept = world.get(&ada, &path(&seen[1])).await.body;
        assert_eq!(
            (&kept["syncStatus"], &kept["title"]),
            (&json!("FAILED"), &json!("Mine")),
            "{kept}"
        );
        assert!(
            kept["syncError"]
                .as_str()
                .unwrap()
                .contains(&format!("was cancelled at {}", S::NAME)),
            "{kept}"
        );
        assert_eq!(
            world
                .post(
                    &ada,
                    &format!("{}/retry-sync?wait=0", path(&seen[1])),
                    json!({})
                )
                .await
                .status,
            202
        );
    }
    synced(&world, &ada, &calendar).await;
    // The provider rejects the deletion: the series is listed again.
    side.faults("delete", InjectedFault::Forbidden).await;
    let series = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["seriesId"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call(
                "DELETE",
                &format!("{series}?wait=0"),
                Some(&ada.token),
                None
            )
            .await
            .status,
        202
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await,
        Vec::<Value>::new()
    );
    synced(&world, &ada, &calendar).await;
    let still = world.get(&ada, &series).await.body;
    assert_eq!(
        (&still["syncStatus"], &still["keptEdit"]["fields"]),
        (&json!("FAILED"), &json!(["deleted"])),
        "{still}"
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        3
    );
}

async fn a_large_event_costs_nothing_else<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = insert(&side, "Large", 4).await;
    insert(&side, "Small", 5).await;
    let thread = "Forwarded. ".repeat(60_000);
    let change = EventChange::Description(&thread);
    assert!(side.change(&id, change).await.is_success());
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert_eq!(titles(&world, &ada).await, ["Large", "Small"]);
    // What was cut is never written back: a change of the title leaves the rest as it is.
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(events[0]["description"].as_str().unwrap().len() <= 32 << 10);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        events[0]["id"].as_str().unwrap()
    );
    let change = json!({ "title": "Still large" });
    let answer = world
        .call("PUT", &path, Some(&ada.token), Some(change))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    synced(&world, &ada, &calendar).await;
    let there = side.read(&id).await;
    assert_eq!(there.title, "Still large");
    assert!(there.raw.to_string().len() > thread.len());
}

async fn an_event_that_can_no_longer_be_read_stays<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = insert(&side, "Odd", 4).await;
    insert(&side, "Plain", 5).await;
    synced(&world, &ada, &calendar).await;
    let which = json!({ "calendarId": side.primary(), "eventId": id });
    side.control("garble", which).await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert_eq!(state["warnings"].as_array().unwrap().len(), 1, "{state}");
    assert_eq!(titles(&world, &ada).await, ["Odd", "Plain"]);
    // A full sync does not miss it either.
    let expired = json!({ "calendarId": side.primary() });
    side.control("expire", expired).await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert_eq!(titles(&world, &ada).await, ["Odd", "Plain"]);
}
