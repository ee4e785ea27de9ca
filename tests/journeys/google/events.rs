//! Events: quotas, invitations, and properties that only Google has.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{fault, insert, timed};
use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, create, put, synced};
use crate::harness::google::{EMAIL, GoogleHarness};

#[tokio::test(flavor = "multi_thread")]
async fn throttling_drops_events() {
    let (world, mut google, mut ada, calendar, clock) = by_hand::<GoogleHarness>().await;
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
    for reason in [
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
    ] {
        google
            .control("faults", fault("events.insert", 403, reason))
            .await;
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
    // The project's quota is used up: whatever is requested meanwhile, nothing is called for an hour.
    let calls = google.calls("changes").await;
    world.stack.work().await;
    assert_eq!(google.calls("changes").await, calls);
    clock.advance(TimeDelta::minutes(61));
    google.sign_in().await;
    ada = world.sign_in(&ada).await;
    let path = format!("/api/v1/calendar/calendars/{calendar}/sync");
    world.post(&ada, &path, json!({})).await;
    world.stack.work().await;
    let mut there = google.titles().await;
    there.sort();
    assert_eq!(there, ["1", "2", "3", "4", "5", "6"], "the queue drains");
    // Over the quota per minute: the write waits, and succeeds later.
    google.control("quota", json!(1)).await;
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
    google.control("forgive", json!({})).await;
    clock.advance(TimeDelta::minutes(16));
    ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    google.sign_in().await;
    assert_eq!(google.titles().await.len(), 7);
    // A permanent error, unlike throttling: the event is FAILED with the provider's reason, and can be retried.
    let id = world.events(&ada, "2027-01-01", "2027-02-01").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    google
        .control(
            "faults",
            fault("events.update", 403, "forbiddenForNonOrganizer"),
        )
        .await;
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
    assert!(
        failed["syncError"]
            .as_str()
            .unwrap()
            .contains("forbiddenForNonOrganizer"),
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

#[tokio::test(flavor = "multi_thread")]
async fn attendees_spammed() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    let body = json!({
        "calendarId": calendar, "title": "Quiet", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00",
        "attendees": [{ "email": "Bob@example.org", "isOptional": true }, { "email": "eve@example.org" }], "createConference": true,
        "reminders": [{ "method": "EMAIL", "minutesBefore": 30 }], "visibility": "PRIVATE", "transparency": "TRANSPARENT", "colorId": "5"
    });
    let made = create(&world, &ada, body).await;
    assert!(
        made["conferenceUrl"]
            .as_str()
            .unwrap()
            .starts_with("https://meet."),
        "{made}"
    );
    assert_eq!(
        (
            &made["reminders"][0]["method"],
            &made["visibility"],
            &made["colorId"]
        ),
        (&json!("EMAIL"), &json!("PRIVATE"), &json!("5"))
    );
    let id = made["id"].as_str().unwrap();
    put(&world, &ada, id, json!({ "title": "Still quiet" })).await;
    assert_eq!(
        google.report().await["mails"],
        json!([]),
        "nobody is told unless said"
    );
    let remote = google.get("calendars/primary/events").await["items"][0].clone();
    assert_eq!(
        (
            &remote["attendees"][0]["email"],
            remote["attendees"].as_array().unwrap().len()
        ),
        (&json!("Bob@example.org"), 2)
    );
    assert!(
        remote["conferenceData"].is_object(),
        "a change keeps what it does not speak of"
    );
    put(
        &world,
        &ada,
        id,
        json!({ "location": "Here", "sendUpdates": "all" }),
    )
    .await;
    assert_eq!(
        google.report().await["mails"],
        json!(["Bob@example.org", "eve@example.org"])
    );
    let doubled =
        json!({ "attendees": [{ "email": "a@b.c" }, { "email": "A@b.c" }, { "email": "nobody" }] });
    let answer = world
        .call(
            "PUT",
            &format!("/api/v1/calendar/events/{id}"),
            Some(&ada.token),
            Some(doubled),
        )
        .await;
    let fields: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        (answer.status, fields),
        (422, vec!["attendees[1].email", "attendees[2].email"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn free_tentative_declined_counted_as_busy() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    let with = async |title: &str, more: Value| {
        let mut event = timed(title, "2027-01-04", 9);
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        insert(&google, event).await;
    };
    with("plain", json!({})).await;
    with("tentative", json!({ "status": "tentative" })).await;
    with("free", json!({ "transparency": "transparent" })).await;
    let answered = |answer: &str| json!({ "attendees": [{ "email": EMAIL, "self": true, "responseStatus": answer }] });
    with("declined", answered("declined")).await;
    with("maybe", answered("tentative")).await;
    with(
        "somebody else declined",
        json!({ "attendees": [{ "email": "bob@example.org", "responseStatus": "declined" }] }),
    )
    .await;
    world.sync_calendar(&ada, &calendar).await;
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let mut busy: Vec<_> = events
        .iter()
        .filter(|event| event["isBusy"] == true)
        .map(|event| event["title"].as_str().unwrap())
        .collect();
    busy.sort_unstable();
    assert_eq!(
        busy,
        ["maybe", "plain", "somebody else declined", "tentative"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_mean_is_refused_by_name() {
    let (world, _google, ada, calendar, _) = by_hand::<GoogleHarness>().await;
    let refused = async |more: Value| {
        let mut body = json!({ "calendarId": calendar, "title": "T", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let answer = world
            .post(&ada, "/api/v1/calendar/events?wait=0", body)
            .await;
        assert_eq!(answer.status, 422, "{more}: {answer:?}");
        answer.body["errors"][0]["field"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        refused(json!({ "recurrenceRule": "FREQ=SECONDLY" })).await,
        "recurrenceRule"
    );
    assert_eq!(
        refused(json!({ "recurrenceRule": "FREQ=DAILY;COUNT=3;UNTIL=20270201" })).await,
        "recurrenceRule"
    );
    assert_eq!(
        refused(json!({ "recurrence": { "frequency": "DAILY", "endDate": "2026-12-01" } })).await,
        "recurrence"
    );
    assert_eq!(
        refused(json!({ "url": "javascript:alert(1)" })).await,
        "url"
    );
    assert_eq!(refused(json!({ "reminders": "soon" })).await, "reminders");
    assert_eq!(
        refused(json!({ "attendees": [{ "email": 7 }] })).await,
        "attendees[0].email"
    );
    assert_eq!(refused(json!({ "title": "\u{0}" })).await, "title");
    assert_eq!(refused(json!({ "title": null })).await, "title");
    assert_eq!(
        refused(json!({ "startTime": "0000-01-01", "endTime": "0000-01-02" })).await,
        "startTime"
    );
    assert_eq!(
        refused(json!({ "timezone": "Mars/Olympus" })).await,
        "timezone"
    );
    // A time with an offset is unambiguous, also in the repeated hour at the end of summer time.
    let twice = json!({
        "calendarId": calendar, "title": "Twice", "startTime": "2026-10-25T02:30:00+01:00", "endTime": "2026-10-25T03:00:00+01:00",
        "timezone": "Europe/Berlin"
    });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", twice)
        .await;
    assert_eq!(
        (made.status, &made.body["startTime"]),
        (202, &json!("2026-10-25T01:30:00Z"))
    );
    let gap = json!({ "title": "Gap", "startTime": "2027-03-28T02:30:00", "endTime": "2027-03-28T03:20:00", "timezone": "Europe/Berlin" });
    assert_eq!(
        world.post(&ada, "/api/v1/slots", gap).await.status,
        422,
        "it would end before it begins"
    );
    let kept = json!({ "title": "Zoned", "startTime": "2027-02-06T20:00:00", "endTime": "2027-02-06T21:00:00", "timezone": "Asia/Tokyo" });
    let kept = world.post(&ada, "/api/v1/slots", kept).await.body;
    let path = format!("/api/v1/slots/{}", kept["id"].as_str().unwrap());
    let later = world
        .call(
            "PUT",
            &path,
            Some(&ada.token),
            Some(json!({ "endTime": "2027-02-06T22:00:00" })),
        )
        .await
        .body;
    assert_eq!(
        (&later["startTime"], &later["endTime"]),
        (
            &json!("2027-02-06T20:00:00+09:00"),
            &json!("2027-02-06T22:00:00+09:00")
        )
    );
}
