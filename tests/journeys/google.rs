//! What is Google's own: see `conformance.rs` for what every provider has to be good for.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::ProviderHarness;
use crate::harness::World;
use crate::harness::account::{by_hand, connected, create, put, synced, titles};
use crate::harness::google::{EMAIL, GoogleHarness};

fn timed(title: &str, day: &str, hour: u32) -> Value {
    let time = |hour| json!({ "dateTime": format!("{day}T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
    json!({ "summary": title, "start": time(hour), "end": time(hour + 1) })
}

/// As the Google user: a new event; answers with its id.
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

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_ends_gives_its_grants_back() {
    let (world, google, ada, _) = connected::<GoogleHarness>().await;
    assert_eq!(google.report().await["grants"], 1);
    let body = json!({ "password": crate::harness::PASSWORD });
    assert_eq!(
        world
            .call(
                "DELETE",
                "/api/v1/auth/account",
                Some(&ada.token),
                Some(body)
            )
            .await
            .status,
        204
    );
    assert_eq!(google.report().await["grants"], 0);
    let left = |dump: String| {
        dump.lines().any(|line| {
            (line.starts_with("CAL") || line.starts_with("VAULT")) && line.contains(&ada.id)
        })
    };
    world
        .until("the end", async || {
            (!left(world.dump().await)).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_matched_to_the_wrong_user() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    world
        .until("a channel", async || {
            (google.report().await["channels"] == 1).then_some(())
        })
        .await;
    let dump = world.dump().await;
    let channel = dump
        .split("CHANNEL#")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    insert(&google, timed("First", "2027-01-04", 9)).await;
    world
        .until("a push", async || {
            (titles(&world, &ada).await == ["First"]).then_some(())
        })
        .await;
    world
        .until("rest", async || {
            (world
                .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
                .await
                .body["syncStatus"]
                == "SYNCED")
                .then_some(())
        })
        .await;
    let before = google.calls("changes").await;
    for (id, token) in [
        (channel.as_str(), ""),
        (channel.as_str(), "guessed"),
        ("unknown", "guessed"),
        ("", ""),
    ] {
        let headers = [
            ("x-goog-channel-id", id.to_owned()),
            ("x-goog-channel-token", token.to_owned()),
            ("x-goog-resource-id", "any".to_owned()),
            ("x-goog-resource-state", "exists".to_owned()),
        ];
        for path in [
            "/api/v1/calendar/webhooks/google",
            "/api/v1/webhooks/google-calendar",
        ] {
            assert_eq!(
                world
                    .send("POST", path, &headers, Some(String::new()))
                    .await
                    .status,
                204
            );
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(
        google.calls("changes").await,
        before,
        "a forged notification changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_or_duplicate_google_channels() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    assert_eq!(google.report().await["channels"], 1);
    let before = google.calls("changes").await;
    let id = insert(&google, timed("Busy", "2027-01-04", 9)).await;
    for number in 0..20 {
        google
            .call(
                Method::PATCH,
                &format!("calendars/primary/events/{id}"),
                None,
                Some(json!({ "summary": format!("Busy {number}") })),
            )
            .await;
    }
    // Each change was pushed; the pushes come by themselves, so look until the last has.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.stack.work().await;
    let pulls = google.calls("changes").await - before;
    assert!(
        (1..=2).contains(&pulls),
        "21 notifications made {pulls} pulls"
    );
    assert_eq!(titles(&world, &ada).await, ["Busy 19"]);
    // Renewed in time: the new one before the old one is closed, and never two for long.
    clock.advance(TimeDelta::days(6));
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(google.report().await["channels"], 1);
    assert_eq!(google.calls("watch").await, 2);
    assert_eq!(google.calls("stop").await, 1);
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 0);
    drop((ada, calendar));
}

#[tokio::test(flavor = "multi_thread")]
async fn google_testing_projects_tokens_die_after_seven_days() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    clock.advance(TimeDelta::days(7));
    google.control("revoke", json!({ "email": EMAIL })).await;
    let ada = world.sign_in(&ada).await;
    let broken = synced(&world, &ada, &calendar).await;
    assert!(
        broken["lastError"]
            .as_str()
            .unwrap()
            .contains("\"Testing\" lose their grants after seven days"),
        "{broken}"
    );
}

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
    world.stack.work().await;
    let mut there = google.titles().await;
    there.sort();
    assert_eq!(there, ["1", "2", "3", "4", "5", "6"], "the queue drains");
    // Over its quota of a minute: in the next one everything goes on.
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
    // A refusal for good is no throttling: it is shown with its reason, and may be retried.
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
async fn one_event_shared_by_two_users() {
    let (world, google) = World::with_google().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    google
        .control(
            "people",
            json!({ "email": "bob@example.org", "name": "Bob", "timeZone": "America/New_York" }),
        )
        .await;
    let team = json!({ "owner": EMAIL, "summary": "Team", "id": "team@group.calendar.google.com" });
    google.control("calendars", team).await;
    google
        .control(
            "calendars",
            json!({ "owner": "bob@example.org", "summary": "Team", "id": "team@group.calendar.google.com", "accessRole": "reader" }),
        )
        .await;
    let shared = "team@group.calendar.google.com";
    let hers = world
        .connect_account(&google, &ada, EMAIL, &[shared])
        .await
        .remove(0);
    let his = world
        .connect_account(&google, &bob, "bob@example.org", &[shared])
        .await
        .remove(0);
    let body = json!({ "calendarId": hers, "title": "Shared", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = create(&world, &ada, body).await;
    world.sync_calendar(&bob, &his).await;
    let seen = world.events(&bob, "2027-01-01", "2027-02-01").await;
    assert_eq!(
        (seen.len(), &seen[0]["title"], &seen[0]["icalUid"]),
        (1, &json!("Shared"), &made["icalUid"])
    );
    assert_ne!(seen[0]["id"], made["id"]);
    // He can only read it, and says so.
    let path = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["id"].as_str().unwrap()
    );
    let refused = world
        .call(
            "PUT",
            &path,
            Some(&bob.token),
            Some(json!({ "title": "Mine" })),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (403, &json!("read-only"))
    );
    assert_eq!(
        world
            .get(&bob, &format!("/api/v1/calendar/calendars/{his}"))
            .await
            .body["isReadOnly"],
        true
    );
    assert_eq!(
        world
            .get(
                &bob,
                &format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap())
            )
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_accounts_list_says_is_followed_daily() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    google
        .control(
            "calendars",
            json!({ "owner": EMAIL, "id": EMAIL, "summary": "Renamed", "accessRole": "reader" }),
        )
        .await;
    clock.advance(TimeDelta::hours(25));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    let now = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        (&now["name"], &now["isReadOnly"], &now["accessRole"]),
        (&json!("Renamed"), &json!(true), &json!("READER"))
    );
    let lists = google.calls("calendar.calendarList.list").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        google.calls("calendar.calendarList.list").await,
        lists,
        "once a day"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn push_body_trusted() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    let headers = [
        ("x-goog-channel-id", "x".repeat(65)),
        ("x-goog-channel-token", "t".to_owned()),
        ("x-goog-resource-id", "r".to_owned()),
        ("x-goog-resource-state", "exists".to_owned()),
    ];
    let body = json!({ "items": [{ "id": "forged", "summary": "Forged", "status": "confirmed" }] })
        .to_string();
    assert_eq!(
        world
            .send(
                "POST",
                "/api/v1/calendar/webhooks/google",
                &headers,
                Some(body)
            )
            .await
            .status,
        204
    );
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    drop(google);
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
    // An offset names one instant, also in the hour that occurs twice.
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
