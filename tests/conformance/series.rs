//! Series, overrides and cancelled occurrences.

use serde_json::{Value, json};

use crate::harness::account::{by_hand, connected, create, delete, put, synced, titles};
use crate::harness::{EventChange, ProviderHarness};

with_each_provider!(
    moved_instance_shows_twice,
    only_the_first_occurrence_of_a_series,
    a_series_that_moves_leaves_no_ghosts,
    a_series_that_is_deleted_there_takes_no_change_along,
    a_change_of_an_occurrence_says_nothing_of_its_series,
    what_is_different_of_a_series_outlives_second_thoughts,
    a_series_that_is_changed_here_keeps_what_is_different,
);

async fn moved_instance_shows_twice<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Standup", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T09:15:00",
        "timezone": "Europe/Berlin", "recurrence": { "frequency": "WEEKLY", "byDay": ["MONDAY"], "endType": "COUNT", "count": 4 }
    });
    let series = create(&world, &ada, weekly).await;
    let starts = async || {
        let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
        events
            .iter()
            .map(|event| event["startTime"].as_str().unwrap()[..16].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        starts().await,
        [
            "2027-01-04T09:00",
            "2027-01-11T09:00",
            "2027-01-18T09:00",
            "2027-01-25T09:00"
        ]
    );
    let events = world.events(&ada, "2027-01-01", "2027-03-01").await;
    let id = |at: usize| events[at]["id"].as_str().unwrap().to_owned();

    // Of four occurrences, one is moved here, one is moved at the provider, one is cancelled here, one at the provider.
    let moved = put(
        &world,
        &ada,
        &id(1),
        json!({ "startTime": "2027-01-12T10:00:00" }),
    )
    .await;
    assert_eq!(
        (&moved["endTime"], &moved["seriesId"]),
        (&json!("2027-01-12T10:15:00+01:00"), &series["id"])
    );
    let master = side
        .all()
        .await
        .into_iter()
        .find(|event| event.is_series)
        .unwrap()
        .id;
    let third = S::occurrence(&master, "2027-01-18T09:00:00");
    assert!(
        side.change(
            &third,
            EventChange::Times("2027-01-20T11:00:00", "2027-01-20T11:15:00")
        )
        .await
        .is_success()
    );
    delete(&world, &ada, &id(0)).await;
    assert!(
        side.remove(&S::occurrence(&master, "2027-01-25T09:00:00"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    assert_eq!(side.in_january().await, 2);

    // Changing the series keeps its cancelled occurrences; deleting it removes all.
    put(
        &world,
        &ada,
        series["id"].as_str().unwrap(),
        json!({ "title": "Daily" }),
    )
    .await;
    assert_eq!(starts().await, ["2027-01-12T10:00", "2027-01-20T11:00"]);
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(
        starts().await,
        ["2027-01-12T10:00", "2027-01-20T11:00"],
        "a full read finds the same"
    );
    delete(&world, &ada, series["id"].as_str().unwrap()).await;
    assert_eq!(starts().await, Vec::<String>::new());
    assert_eq!(side.in_january().await, 0);
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn only_the_first_occurrence_of_a_series<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let id = side
        .insert(
            "Since long ago",
            "2020-01-06T09:00:00",
            "2020-01-06T10:00:00",
            Some("FREQ=WEEKLY"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-15", "2027-04-10").await;
    let starts: Vec<_> = seen
        .iter()
        .map(|event| event["startTime"].as_str().unwrap())
        .collect();
    let expected = [
        "2027-03-15T09:00:00+01:00",
        "2027-03-22T09:00:00+01:00",
        "2027-03-29T09:00:00+02:00",
        "2027-04-05T09:00:00+02:00",
    ];
    assert_eq!(starts, expected, "series off by an hour after DST");
    assert_eq!(
        seen[0]["title"], "Since long ago",
        "what a list leaves out of an occurrence is read from its series"
    );
    assert_eq!(
        world.events(&ada, "2027-01-11", "2027-01-12").await,
        Vec::<Value>::new()
    );
}

async fn a_series_that_moves_leaves_no_ghosts<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let daily = json!({
        "calendarId": calendar, "title": "Daily", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=DAILY;COUNT=5"
    });
    let series = world
        .post(&ada, "/api/v1/calendar/events?wait=0", daily)
        .await
        .body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |id: &str| format!("/api/v1/calendar/events/{id}?wait=0");
    for (at, change) in [
        (2, json!({ "title": "Mine" })),
        (3, json!({ "startTime": "2027-01-07T15:00:00" })),
    ] {
        assert_eq!(
            world
                .call(
                    "PUT",
                    &path(seen[at]["id"].as_str().unwrap()),
                    Some(&ada.token),
                    Some(change)
                )
                .await
                .status,
            202
        );
    }
    synced(&world, &ada, &calendar).await;
    let both = async || {
        (
            world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
            side.in_january().await,
        )
    };
    assert_eq!(both().await, (5, 5));
    assert_eq!(
        world
            .call(
                "PUT",
                &path(&series),
                Some(&ada.token),
                Some(json!({ "startTime": "2027-01-04T11:00:00" }))
            )
            .await
            .status,
        202
    );
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        5,
        "at once"
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
    // The provider may still list them; a full sync does not restore them.
    world.post(&ada, "/api/v1/sync/reset", json!({})).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
    let whole = json!({ "startTime": "2027-01-04", "endTime": "2027-01-05", "isAllDay": true });
    assert_eq!(
        world
            .call("PUT", &path(&series), Some(&ada.token), Some(whole))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(both().await, (5, 5));
}

async fn a_series_that_is_deleted_there_takes_no_change_along<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-25T09:00:00"))
            .await
            .is_success()
    );
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-18T09:00:00"),
            EventChange::Title("Special")
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |event: &Value| {
        format!(
            "/api/v1/calendar/events/{}?wait=0",
            event["id"].as_str().unwrap()
        )
    };
    let change = json!({ "location": "Here" });
    assert_eq!(
        world
            .call("PUT", &path(&seen[1]), Some(&ada.token), Some(change))
            .await
            .status,
        202
    );
    assert!(side.remove(&id).await.is_success());
    synced(&world, &ada, &calendar).await;
    let series = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["seriesId"].as_str().unwrap()
    );
    let kept = world.get(&ada, &series).await.body;
    assert_eq!(kept["syncStatus"], "FAILED", "{kept}");
    assert!(
        kept["syncError"]
            .as_str()
            .unwrap()
            .contains("Retry to create it anew, or delete it here too"),
        "{kept}"
    );
    assert_eq!(
        (titles(&world, &ada).await.len(), side.in_january().await),
        (3, 0)
    );
    // Recreated with its overrides.
    assert_eq!(
        world
            .post(&ada, &format!("{series}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, ["Weekly", "Weekly", "Special"]);
    let there = side.all().await;
    assert_eq!(
        (side.in_january().await, side.titles().await),
        (
            3,
            vec![
                "Special".to_owned(),
                "Weekly".to_owned(),
                "Weekly".to_owned()
            ]
        )
    );
    assert!(
        there
            .iter()
            .any(|event| event.location == "Here" && event.start == "2027-01-11T09:00:00"),
        "{there:?}"
    );
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(
        seen.iter().all(|event| event["syncStatus"] == "SYNCED"),
        "{seen:?}"
    );
}

async fn a_change_of_an_occurrence_says_nothing_of_its_series<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    synced(&world, &ada, &calendar).await;
    let second = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(1);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        second["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call(
                "PUT",
                &path,
                Some(&ada.token),
                Some(json!({ "location": "Here" }))
            )
            .await
            .status,
        202
    );
    assert!(
        side.change(&id, EventChange::Title("Renamed"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let changed = side
        .all()
        .await
        .into_iter()
        .find(|event| !event.is_series)
        .unwrap();
    assert_eq!(
        (
            changed.title.as_str(),
            changed.location.as_str(),
            changed.start.as_str()
        ),
        ("Renamed", "Here", "2027-01-11T09:00:00")
    );
    assert_eq!(titles(&world, &ada).await, ["Renamed"; 4]);
}

async fn what_is_different_of_a_series_outlives_second_thoughts<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-11T09:00:00"),
            EventChange::Title("There")
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = |id: &Value| format!("/api/v1/calendar/events/{}?wait=0", id.as_str().unwrap());
    let series = path(&seen[0]["seriesId"]);
    let put = async |path: &str, body: Value| {
        let answer = world.call("PUT", path, Some(&ada.token), Some(body)).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    // The series is moved and moved back before a sync writes it.
    put(&path(&seen[2]["id"]), json!({ "title": "Here" })).await;
    put(&series, json!({ "startTime": "2027-01-04T15:00:00" })).await;
    assert_eq!(
        world.events(&ada, "2027-01-01", "2027-02-01").await.len(),
        5,
        "four, and one that is still to be written"
    );
    put(&series, json!({ "startTime": "2027-01-04T09:00:00" })).await;
    assert_eq!(
        titles(&world, &ada).await,
        ["Weekly", "There", "Here", "Weekly"]
    );
    // Deleted here, but changed at the provider before the deletion is written.
    assert_eq!(
        world
            .call("DELETE", &series, Some(&ada.token), None)
            .await
            .status,
        202
    );
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    assert!(
        side.change(&id, EventChange::Location("Room"))
            .await
            .is_success()
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(
            titles(&world, &ada).await,
            ["Weekly", "There", "Here", "Weekly"]
        );
    }
    assert_eq!(
        (side.titles().await, side.in_january().await),
        (vec!["Here".to_owned(), "There".into(), "Weekly".into()], 4)
    );
}

async fn a_series_that_is_changed_here_keeps_what_is_different<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    assert!(
        side.change(
            &S::occurrence(&id, "2027-01-11T09:00:00"),
            EventChange::Title("Special")
        )
        .await
        .is_success()
    );
    assert!(
        side.remove(&S::occurrence(&id, "2027-01-18T09:00:00"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        seen[0]["seriesId"].as_str().unwrap()
    );
    let longer =
        json!({ "endTime": "2027-01-04T11:00:00", "recurrenceRule": "FREQ=WEEKLY;COUNT=4" });
    assert_eq!(
        world
            .call("PUT", &path, Some(&ada.token), Some(longer))
            .await
            .status,
        202
    );
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(titles(&world, &ada).await, ["Weekly", "Special", "Weekly"]);
        let special = side
            .all()
            .await
            .into_iter()
            .find(|event| event.title == "Special")
            .unwrap();
        assert_eq!(
            (special.start.as_str(), side.in_january().await),
            ("2027-01-11T09:00:00", 3)
        );
    }
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(
        seen.iter().all(|event| event["syncStatus"] == "SYNCED"),
        "{seen:?}"
    );
    assert_eq!(
        (&seen[0]["endTime"], &seen[1]["endTime"]),
        (
            &json!("2027-01-04T11:00:00+01:00"),
            &json!("2027-01-11T10:00:00+01:00")
        )
    );
}
