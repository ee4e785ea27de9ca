//! Connecting feeds, and listing their events.

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::feeds::{FeedResponse, calendar, daily};

const WEEKLY: &str = "UID:weekly\nDTSTART;TZID=Europe/Berlin:20260302T090000\nDTEND;TZID=Europe/Berlin:20260302T100000\n\
    RRULE:FREQ=WEEKLY;COUNT=6\nEXDATE;TZID=Europe/Berlin:20260309T090000\nSUMMARY:Weekly";
const MOVED: &str = "UID:weekly\nRECURRENCE-ID;TZID=Europe/Berlin:20260316T090000\nDTSTART;TZID=Europe/Berlin:20260317T140000\n\
    DTEND;TZID=Europe/Berlin:20260317T150000\nSUMMARY:Moved";

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_connected_and_read() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let day = "UID:day\nDTSTART;VALUE=DATE:20260310\nSUMMARY:Holiday\nTRANSP:TRANSPARENT";
    let floating = "UID:tea\nDTSTART:20260311T160000\nDURATION:PT30M\nSUMMARY:Tea";
    let rich = "UID:rich\nDTSTART:20260312T160000Z\nSUMMARY:A\\, B\\; C\nDESCRIPTION:Line one\\nline two\nLOCATION:Room 1\nSTATUS:TENTATIVE\n\
        CLASS:PRIVATE\nURL:https://example.org/x\nCONFERENCE;VALUE=URI:https://meet.example.org/x\nORGANIZER;CN=Ada:mailto:ada@example.org\n\
        ATTENDEE;CN=\"Hopper, Grace\";PARTSTAT=ACCEPTED;ROLE=OPT-PARTICIPANT:mailto:grace@example.org\n\
        BEGIN:VALARM\nACTION:DISPLAY\nDESCRIPTION:not the event's\nTRIGGER:-PT15M\nEND:VALARM";
    world.feeds.set_ics(
        "private-0123456789/basic.ics",
        calendar(&[WEEKLY, MOVED, day, floating, rich]),
    );
    let id = world.connect(&ada, "private-0123456789/basic.ics").await;

    let listed = world.get(&ada, "/api/v1/calendar/calendars").await;
    let shown = &listed.body["calendars"][0];
    assert_eq!(
        (
            &shown["id"],
            &shown["name"],
            &shown["syncStatus"],
            &shown["eventCount"]
        ),
        (&json!(id), &json!("Test"), &json!("SYNCED"), &json!(5))
    );
    assert!(
        !listed.body.to_string().contains("private-0123456789"),
        "the address is a secret"
    );
    assert!(shown["lastSyncedAt"].is_string() && shown["nextSyncAt"].is_string());

    let events = world.events(&ada, "2026-03-01", "2026-04-01").await;
    let seen: Vec<(&str, &str)> = events
        .iter()
        .map(|event| {
            (
                event["title"].as_str().unwrap(),
                event["startTime"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("Weekly", "2026-03-02T09:00:00+01:00"),
            ("Holiday", "2026-03-10"),
            ("Tea", "2026-03-11T16:00:00+01:00"),
            ("A, B; C", "2026-03-12T16:00:00Z"),
            ("Moved", "2026-03-17T14:00:00+01:00"),
            ("Weekly", "2026-03-23T09:00:00+01:00"),
            ("Weekly", "2026-03-30T09:00:00+02:00"),
        ]
    );
    let by_title = |title: &str| events.iter().find(|event| event["title"] == title).unwrap();
    assert_eq!(
        (
            &by_title("Holiday")["endTime"],
            &by_title("Holiday")["isAllDay"]
        ),
        (&json!("2026-03-11"), &json!(true))
    );
    assert_eq!(
        (&by_title("Tea")["isFloating"], &by_title("Tea")["timezone"]),
        (&json!(true), &json!("Europe/Berlin"))
    );
    let tokyo = world
        .get(
            &ada,
            "/api/v1/calendar/events?start=2026-03-11&end=2026-03-12&timezone=Asia/Tokyo",
        )
        .await;
    assert_eq!(
        tokyo.body["events"][0]["startTime"],
        "2026-03-11T16:00:00+09:00"
    );

    let rich = by_title("A, B; C");
    assert_eq!(
        (&rich["description"], &rich["status"], &rich["visibility"]),
        (
            &json!("Line one\nline two"),
            &json!("TENTATIVE"),
            &json!("PRIVATE")
        )
    );
    assert_eq!(rich["conferenceUrl"], "https://meet.example.org/x");
    assert_eq!(
        rich["reminders"],
        json!([{ "method": "POPUP", "minutesBefore": 15 }])
    );
    assert_eq!(rich["attendees"][1]["displayName"], "Hopper, Grace");
    assert_eq!(
        (
            &rich["attendees"][1]["rsvpStatus"],
            &rich["attendees"][1]["isOptional"]
        ),
        (&json!("ACCEPTED"), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_instance_shows_twice() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", calendar(&[WEEKLY, MOVED]));
    world.connect(&ada, "f.ics").await;
    let events = world.events(&ada, "2026-03-15", "2026-03-22").await;
    assert_eq!(events.len(), 1);
    let moved = &events[0];
    assert_eq!(
        (&moved["title"], &moved["originalStart"]),
        (&json!("Moved"), &json!("2026-03-16T09:00:00+01:00"))
    );
    let again = world
        .get(
            &ada,
            &format!("/api/v1/calendar/events/{}", moved["id"].as_str().unwrap()),
        )
        .await;
    assert_eq!((again.status, &again.body), (200, moved));
    let etag = again.headers["etag"].to_str().unwrap().to_owned();
    let known = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("if-none-match", etag),
    ];
    let path = format!("/api/v1/calendar/events/{}", moved["id"].as_str().unwrap());
    assert_eq!(world.send("GET", &path, &known, None).await.status, 304);

    let plain = &world.events(&ada, "2026-03-22", "2026-03-29").await[0];
    let one = world
        .get(
            &ada,
            &format!("/api/v1/calendar/events/{}", plain["id"].as_str().unwrap()),
        )
        .await;
    assert_eq!(
        &one.body, plain,
        "an occurrence is the same alone and in the list"
    );
    let series = world
        .get(
            &ada,
            &format!(
                "/api/v1/calendar/events/{}",
                plain["seriesId"].as_str().unwrap()
            ),
        )
        .await;
    assert_eq!(
        (&series.body["recurrenceRule"], &series.body["startTime"]),
        (
            &json!("FREQ=WEEKLY;COUNT=6"),
            &json!("2026-03-02T09:00:00+01:00")
        )
    );
    let series_id = plain["seriesId"].as_str().unwrap();
    for missing in ["20260309T080000Z", "20260316T090000Z", "20260310"] {
        let path = format!("/api/v1/calendar/events/{series_id}_{missing}");
        assert_eq!(world.get(&ada, &path).await.status, 404, "{missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_is_connected_once_and_revived_after_a_disconnect() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    let again = world
        .post(
            &ada,
            "/api/v1/calendar/ics/connect",
            json!({ "url": world.feeds.url("f.ics") }),
        )
        .await;
    assert_eq!(
        (again.status, &again.body["type"]),
        (409, &json!("conflict"))
    );

    let gone = world
        .call(
            "DELETE",
            &format!("/api/v1/calendar/ics/{id}"),
            Some(&ada.token),
            None,
        )
        .await;
    assert_eq!(gone.status, 204);
    assert_eq!(
        world
            .get(&ada, &format!("/api/v1/calendar/ics/{id}"))
            .await
            .status,
        404
    );
    assert_eq!(
        world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"],
        json!([])
    );
    assert!(
        world
            .events(&ada, "2026-03-01", "2026-04-01")
            .await
            .is_empty()
    );
    let (secrets, mut events) = (world.dump().await.contains("SECRET#"), 1);
    assert!(!secrets, "the address is forgotten at once");
    while events > 0 {
        events = world.dump().await.matches("agendaPk").count();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let body = json!({ "url": world.feeds.url("f.ics"), "displayName": "Again", "color": "#abc" });
    let revived = world.post(&ada, "/api/v1/calendar/ics/connect", body).await;
    assert_eq!(
        (revived.status, &revived.body["id"], &revived.body["name"]),
        (201, &json!(id), &json!("Again"))
    );
    assert_eq!(revived.body["color"], "#AABBCC");
    world.sync(&ada, &id).await;
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-04-01").await.len(),
        3
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_feed_is_changed() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("a.ics", daily(2, "2026-03-02", "a"));
    world.feeds.set_ics("b.ics", daily(1, "2026-03-02", "b"));
    world.feeds.set_ics("c.ics", daily(1, "2026-03-02", "c"));
    let id = world.connect(&ada, "a.ics").await;
    world.connect(&ada, "c.ics").await;
    let put = async |body: Value| {
        world
            .call(
                "PUT",
                &format!("/api/v1/calendar/ics/{id}"),
                Some(&ada.token),
                Some(body),
            )
            .await
    };
    assert_eq!(
        put(json!({ "displayName": "Mine" })).await.body["name"],
        "Mine"
    );
    assert_eq!(put(json!({ "color": "red" })).await.status, 422);
    assert_eq!(
        put(json!({ "url": world.feeds.url("c.ics") })).await.status,
        409
    );
    assert_eq!(
        put(json!({ "url": world.feeds.url("missing.ics") }))
            .await
            .status,
        422
    );
    assert_eq!(
        put(json!({ "url": world.feeds.url("b.ics") })).await.status,
        200
    );
    let path = format!("/api/v1/calendar/calendars/{id}/color");
    assert_eq!(
        world
            .call(
                "PATCH",
                &path,
                Some(&ada.token),
                Some(json!({ "color": "#123456" }))
            )
            .await
            .body["color"],
        "#123456"
    );
    world.sync(&ada, &id).await;
    let titles: Vec<Value> = world
        .events(&ada, "2026-03-01", "2026-04-01")
        .await
        .iter()
        .map(|event| event["title"].clone())
        .collect();
    assert!(
        titles.contains(&json!("b 0")) && !titles.contains(&json!("a 0")),
        "{titles:?}"
    );
    assert_eq!(
        world.connect(&ada, "a.ics").await.len(),
        id.len(),
        "its old address is free again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_used_says_why_and_is_never_a_5xx() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set(
        "html",
        FeedResponse {
            headers: vec![("content-type".into(), "text/html".into())],
            ..FeedResponse::ics("<!DOCTYPE html><p>Sign in")
        },
    );
    world.feeds.set_ics("empty", "");
    world.feeds.set_ics("json", "{\"a\": 1}");
    world.feeds.set("down", FeedResponse::status(503));
    world.feeds.set("loop", FeedResponse::redirect("/loop"));
    world
        .feeds
        .set("inward", FeedResponse::redirect("http://10.0.0.1/secret"));
    world.feeds.set(
        "metadata",
        FeedResponse::redirect("http://169.254.169.254/latest/meta-data"),
    );
    world
        .feeds
        .set("file", FeedResponse::redirect("file:///etc/passwd"));
    let mut addresses: Vec<String> = [
        "html", "empty", "json", "down", "loop", "inward", "metadata", "file", "missing",
    ]
    .map(|path| world.feeds.url(path))
    .into();
    addresses.extend(
        [
            "",
            "x",
            "ftp://example.org/a",
            "https://10.0.0.1/",
            "https://[::1]:443/",
            "http://127.0.0.1:1/",
            "https://a@example.org/",
        ]
        .map(str::to_owned),
    );
    for address in addresses {
        let connected = world
            .post(
                &ada,
                "/api/v1/calendar/ics/connect",
                json!({ "url": address }),
            )
            .await;
        assert_eq!(
            (connected.status, &connected.body["type"]),
            (422, &json!("feed-unusable")),
            "{address}"
        );
        assert!(
            connected.body["detail"]
                .as_str()
                .is_some_and(|detail| detail.len() > 10),
            "{address}"
        );
        let looked = world
            .post(
                &ada,
                "/api/v1/calendar/ics/validate",
                json!({ "url": address }),
            )
            .await;
        assert_eq!(
            (looked.status, &looked.body["valid"]),
            (200, &json!(false)),
            "{address}"
        );
    }
    world.feeds.set_ics("good", daily(3, "2026-03-02", "a"));
    let good = world
        .post(
            &ada,
            "/api/v1/calendar/ics/validate",
            json!({ "url": world.feeds.url("good").replace("http", "webcal") }),
        )
        .await;
    assert_eq!(
        good.body,
        json!({ "valid": true, "calendarName": "Test", "eventCount": 3, "warnings": [], "error": null })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_calendars_are_synced_at_once_and_counted() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    for (path, count) in [("a.ics", 2), ("b.ics", 3)] {
        world.feeds.set_ics(path, daily(count, "2026-03-02", path));
        world.connect(&ada, path).await;
    }
    world
        .feeds
        .set_ics("a.ics", daily(4, "2026-03-02", "a.ics"));
    let at_once = world
        .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
        .await;
    assert_eq!(
        (at_once.status, &at_once.body["calendarCount"]),
        (202, &json!(2))
    );
    let done = world
        .post(
            &ada,
            "/api/v1/calendar/calendars/sync-all?wait=20",
            json!({}),
        )
        .await;
    assert_eq!(
        (done.status, &done.body["stats"]["total"]),
        (200, &json!(7))
    );
    let stats = world.get(&ada, "/api/v1/calendar/calendars/stats").await;
    assert_eq!(
        (&stats.body["totalEvents"], &stats.body["providers"]["ICS"]),
        (&json!(7), &json!(2))
    );
    let wrong = world
        .post(
            &ada,
            "/api/v1/calendar/calendars/sync-all?wait=99",
            json!({}),
        )
        .await;
    assert_eq!(
        (wrong.status, &wrong.body["errors"][0]["field"]),
        (422, &json!("wait"))
    );
}
