//! Delta rounds, ids, windows and throttling.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::EventChange;
use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, create, synced, titles};
use crate::harness::microsoft::{MicrosoftHarness, time};

#[tokio::test(flavor = "multi_thread")]
async fn graph_ids_change_delta_repeats_or_omits() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let theirs = side
        .insert("Theirs", "2027-01-04T09:00:00", "2027-01-04T10:00:00", None)
        .await;
    let body = json!({ "calendarId": calendar, "title": "Ours", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    synced(&world, &ada, &calendar).await;
    let ids = async || {
        let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
        events
            .iter()
            .map(|event| event["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let known = ids().await;
    let ours = side
        .all()
        .await
        .into_iter()
        .find(|event| event.title == "Ours")
        .unwrap()
        .id;
    // Both get new remote ids, and one is changed here before the next sync. Each stays one event, with its id here.
    for id in [&theirs, &ours] {
        side.control(
            "renumber",
            json!({ "calendarId": side.primary(), "eventId": id }),
        )
        .await;
    }
    let path = format!("/api/v1/calendar/events/{}?wait=0", known[0]);
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
    synced(&world, &ada, &calendar).await;
    assert_eq!(ids().await, known);
    assert_eq!(side.titles().await, ["Ours", "Theirs"]);
    let there = side.all().await;
    assert_eq!(
        there
            .iter()
            .find(|event| event.title == "Theirs")
            .unwrap()
            .location,
        "Here"
    );
    // Changes under the new remote ids apply to the same events.
    for event in &there {
        assert!(
            side.change(
                &event.id,
                EventChange::Title(&format!("{} changed", event.title))
            )
            .await
            .is_success()
        );
    }
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        (ids().await, titles(&world, &ada).await),
        (
            known.clone(),
            vec!["Theirs changed".to_owned(), "Ours changed".to_owned()]
        )
    );
    for event in &there {
        assert!(side.remove(&event.id).await.is_success());
    }
    synced(&world, &ada, &calendar).await;
    assert_eq!(ids().await, Vec::<String>::new());
    let dump = world.dump().await;
    let mut aliases = dump.lines().filter(|item| item.contains("#ALIASES#"));
    assert!(
        aliases.all(|item| !item.contains("\"event\"")),
        "their other names are tombstones"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_came_under_its_new_name_first_is_no_second_one() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert("One", "2027-01-04T09:00:00", "2027-01-04T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // A full sync lists the new remote id, and does not mention the old one.
    side.control(
        "renumber",
        json!({ "calendarId": side.primary(), "eventId": id }),
    )
    .await;
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(titles(&world, &ada).await, ["One"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_says_nothing_is_looked_into_within_a_day() {
    let (world, mut side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    synced(&world, &ada, &calendar).await;
    let event = MicrosoftHarness::occurrence(&id, "2027-01-11T09:00:00");
    side.control(
        "silence",
        json!({ "calendarId": side.primary(), "eventId": event }),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        titles(&world, &ada).await.len(),
        4,
        "everything was read just now"
    );
    clock.advance(TimeDelta::hours(25));
    side.sign_in().await;
    let ada = world.sign_in(&ada).await;
    // No further change is listed for the series.
    synced(&world, &ada, &calendar).await;
    let before = side.calls("changes").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 3);
    synced(&world, &ada, &calendar).await;
    assert!(side.calls("changes").await > before);
    // At most once a day, even with further unexplained removals.
    let before = side.calls("events.get").await;
    side.insert("Far", "2031-01-04T09:00:00", "2031-01-04T10:00:00", None)
        .await;
    for _ in 0..3 {
        synced(&world, &ada, &calendar).await;
    }
    assert_eq!(
        side.calls("events.get").await,
        before,
        "no series is read again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_window_is_not_deleted() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert("Moves", "2027-01-04T09:00:00", "2027-01-04T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // Moved beyond the end of the window: the delta lists it as removed.
    assert!(
        side.change(
            &id,
            EventChange::Times("2031-06-04T09:00:00", "2031-06-04T10:00:00")
        )
        .await
        .is_success()
    );
    // The delta also lists events as removed that never were in the window.
    side.insert(
        "Never seen",
        "2031-07-01T09:00:00",
        "2031-07-01T10:00:00",
        None,
    )
    .await;
    let stats = synced(&world, &ada, &calendar).await;
    assert_eq!(stats["syncStatus"], "SYNCED");
    let far = world.events(&ada, "2031-06-01", "2031-08-01").await;
    assert_eq!((far.len(), &far[0]["title"]), (1, &json!("Moves")));
    // The window moves on each week, and no event is lost.
    for title in ["Late", "Later"] {
        let month = if title == "Late" { "01-05" } else { "01-11" };
        side.insert(
            title,
            &format!("2028-{month}T09:00:00"),
            &format!("2028-{month}T10:00:00"),
            None,
        )
        .await;
    }
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        world.events(&ada, "2028-01-02", "2028-02-01").await.len(),
        0,
        "beyond the window of a year"
    );
    let before = side.calls("changes").await;
    clock.advance(TimeDelta::days(12));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert!(side.calls("changes").await > before);
    let seen = world.events(&ada, "2028-01-02", "2028-02-01").await;
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(
        world.events(&ada, "2031-06-01", "2031-08-01").await.len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_graph_says_of_an_event_is_understood() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let event = |subject: &str, more: Value| {
        let mut event = json!({ "subject": subject, "start": time("2027-01-05T09:00:00"), "end": time("2027-01-05T10:00:00") });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    };
    side.create(event(
        "busy",
        json!({ "importance": "high", "categories": ["Red", "Work"], "sensitivity": "personal" }),
    ))
    .await;
    side.create(event("away", json!({ "showAs": "oof" }))).await;
    side.create(event(
        "elsewhere",
        json!({ "showAs": "workingElsewhere", "sensitivity": "confidential" }),
    ))
    .await;
    side.create(event("free", json!({ "showAs": "free" })))
        .await;
    side.create(event(
        "maybe",
        json!({ "showAs": "tentative", "isReminderOn": false }),
    ))
    .await;
    let zone = |name: &str| json!({ "start": { "dateTime": "2027-07-05T09:00:00", "timeZone": name }, "end": { "dateTime": "2027-07-05T10:00:00", "timeZone": name } });
    side.create(event("india", zone("India Standard Time")))
        .await;
    side.create(event("kamchatka", zone("Kamchatka Standard Time")))
        .await;
    side.create(event("utc", zone("tzone://Microsoft/Utc")))
        .await;
    world.sync_calendar(&ada, &calendar).await;
    let events = world.events(&ada, "2027-01-01", "2027-08-01").await;
    let of = |title: &str| {
        events
            .iter()
            .find(|event| event["title"] == title)
            .unwrap_or_else(|| panic!("{title}"))
            .clone()
    };
    let busy: Vec<_> = events
        .iter()
        .filter(|event| event["isBusy"] == true)
        .map(|event| event["title"].as_str().unwrap())
        .collect();
    assert!(
        ["busy", "away", "maybe"]
            .iter()
            .all(|title| busy.contains(title))
            && !busy.contains(&"free")
            && !busy.contains(&"elsewhere")
    );
    let red = of("busy");
    assert_eq!(
        (&red["importance"], &red["categories"], &red["visibility"]),
        (&json!("HIGH"), &json!(["Red", "Work"]), &json!("PRIVATE"))
    );
    assert_eq!(
        (
            &of("away")["showAs"],
            &of("elsewhere")["showAs"],
            &of("busy")["showAs"]
        ),
        (&json!("oof"), &json!("workingElsewhere"), &Value::Null)
    );
    assert_eq!(
        (&of("maybe")["status"], &of("maybe")["reminders"]),
        (&json!("TENTATIVE"), &json!([]))
    );
    assert_eq!(of("elsewhere")["visibility"], "CONFIDENTIAL");
    assert_eq!(
        (&of("india")["startTime"], &of("india")["timezone"]),
        (&json!("2027-07-05T09:00:00+05:30"), &json!("Asia/Calcutta"))
    );
    assert_eq!(of("kamchatka")["startTime"], "2027-07-05T09:00:00+12:00");
    assert_eq!(of("utc")["startTime"], "2027-07-05T09:00:00Z");
    // An event keeps the IANA zone of its creator, though Windows names map to another one.
    for (zone, offset) in [
        ("Europe/Oslo", "+01:00"),
        ("Asia/Kolkata", "+05:30"),
        ("Antarctica/Troll", "Z"),
    ] {
        let body = json!({ "calendarId": calendar, "title": zone, "startTime": "2027-02-05T09:00:00", "endTime": "2027-02-05T10:00:00", "timezone": zone });
        let made = create(&world, &ada, body).await;
        assert_eq!(
            (&made["timezone"], made["startTime"].as_str().unwrap()),
            (
                &json!(zone),
                format!("2027-02-05T09:00:00{}", offset.replace('Z', "+00:00")).as_str()
            )
        );
        world.sync_calendar(&ada, &calendar).await;
        let path = format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap());
        assert_eq!(
            world.get(&ada, &path).await.body["timezone"],
            zone,
            "also after its echo"
        );
    }
    assert_eq!(side.violations().await, Vec::<Value>::new());
}
