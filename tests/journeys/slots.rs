//! Slots, and the sync status of calendars.

use serde_json::{Value, json};

use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, insert, synced, titles};
use crate::harness::google::GoogleHarness;
use crate::harness::{Person, World};

async fn slots(world: &World, person: &Person) -> Vec<Value> {
    world.get(person, "/api/v1/slots").await.body["slots"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn double_booking_race() {
    let world = World::new().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    let body = json!({ "title": "Mine", "startTime": "2027-01-08T09:00:00+01:00", "endTime": "2027-01-08T10:00:00+01:00" });
    let many =
        futures::future::join_all((0..10).map(|_| world.post(&ada, "/api/v1/slots", body.clone())))
            .await;
    let statuses: Vec<u16> = many.iter().map(|answer| answer.status).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(
        statuses.iter().filter(|status| **status == 409).count(),
        9,
        "{statuses:?}"
    );
    assert_eq!(slots(&world, &ada).await.len(), 1);
    assert_eq!(
        world.post(&bob, "/api/v1/slots", body).await.status,
        201,
        "somebody else's time is theirs"
    );
    let weekly = json!({ "title": "Class", "dayOfWeek": "friday", "startTime": "09:30", "endTime": "11:00", "timezone": "Europe/Berlin" });
    assert_eq!(
        world
            .post(&ada, "/api/v1/slots", weekly.clone())
            .await
            .status,
        409,
        "the eighth is a Friday"
    );
    let later = json!({ "title": "Class", "dayOfWeek": "FR", "startTime": "10:00", "endTime": "11:00", "timezone": "Europe/Berlin" });
    let made = world.post(&ada, "/api/v1/slots", later).await;
    assert_eq!(
        (made.status, &made.body["dayOfWeek"]),
        (201, &json!("FRIDAY")),
        "{made:?}"
    );
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("/api/v1/slots/{id}"),
                Some(&ada.token),
                Some(weekly)
            )
            .await
            .status,
        409
    );
    let backwards =
        json!({ "title": "No", "dayOfWeek": "MONDAY", "startTime": "10:00", "endTime": "10:00" });
    let refused = world.post(&ada, "/api/v1/slots", backwards).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["field"]),
        (422, &json!("endTime"))
    );
    assert_eq!(
        world.get(&bob, &format!("/api/v1/slots/{id}")).await.status,
        404
    );
    assert_eq!(
        world
            .call(
                "DELETE",
                &format!("/api/v1/slots/{id}"),
                Some(&ada.token),
                None
            )
            .await
            .status,
        204
    );
    assert_eq!(slots(&world, &ada).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_a_calendar_shows_is_where_its_event_is() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    let body = json!({
        "title": "Focus", "dayOfWeek": "MONDAY", "startTime": "09:00", "endTime": "10:30", "timezone": "Europe/Berlin", "calendarId": calendar
    });
    let made = world.post(&ada, "/api/v1/slots", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = format!("/api/v1/slots/{}", made.body["id"].as_str().unwrap());
    world
        .until("Google", async || {
            (google.titles().await == ["Focus"]).then_some(())
        })
        .await;
    let remote = google.get("calendars/primary/events").await["items"][0].clone();
    assert_eq!(remote["recurrence"], json!(["RRULE:FREQ=WEEKLY;BYDAY=MO"]));
    world
        .until("sync", async || {
            (slots(&world, &ada).await[0]["syncStatus"] == "SYNCED").then_some(())
        })
        .await;
    // A rename at Google changes the slot; a move of the slot changes the event.
    let id = remote["id"].as_str().unwrap();
    google
        .call(
            reqwest::Method::PATCH,
            &format!("calendars/primary/events/{id}"),
            None,
            Some(json!({ "summary": "Deep work" })),
        )
        .await;
    world
        .until("the name", async || {
            (slots(&world, &ada).await[0]["title"] == "Deep work").then_some(())
        })
        .await;
    let moved = json!({ "dayOfWeek": "TU", "startTime": "08:00", "endTime": "09:00", "timezone": "Europe/Berlin" });
    let changed = world
        .call("PUT", &path, Some(&ada.token), Some(moved))
        .await;
    assert_eq!(
        (
            changed.status,
            &changed.body["dayOfWeek"],
            &changed.body["title"]
        ),
        (200, &json!("TUESDAY"), &json!("Deep work"))
    );
    let rule =
        async || google.get("calendars/primary/events").await["items"][0]["recurrence"].clone();
    world
        .until("the move", async || {
            (rule().await == json!(["RRULE:FREQ=WEEKLY;BYDAY=TU"])).then_some(())
        })
        .await;
    google
        .call(
            reqwest::Method::DELETE,
            &format!("calendars/primary/events/{id}"),
            None,
            None,
        )
        .await;
    world
        .until("the end", async || {
            slots(&world, &ada).await.is_empty().then_some(())
        })
        .await;
    assert_eq!(google.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_waits_for_its_calendar_to_be_read_again() {
    let (world, google, ada, calendar, _) = by_hand::<GoogleHarness>().await;
    let body = json!({
        "title": "Focus", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00", "timezone": "Europe/Berlin", "calendarId": calendar
    });
    assert_eq!(world.post(&ada, "/api/v1/slots", body).await.status, 201);
    world.stack.work().await;
    assert_eq!(google.titles().await, ["Focus"]);
    assert_eq!(
        world
            .call(
                "DELETE",
                &format!("/api/v1/calendar/calendars/{calendar}"),
                Some(&ada.token),
                None
            )
            .await
            .status,
        204
    );
    world.stack.work().await;
    // The calendar is connected again but not synced yet: the event does not count as deleted.
    world
        .choose(&google, &ada, GoogleHarness::EMAIL, &[&google.primary()])
        .await;
    assert_eq!(slots(&world, &ada).await.len(), 1);
    synced(&world, &ada, &calendar).await;
    let slot = slots(&world, &ada).await.remove(0);
    assert_eq!(
        (&slot["title"], &slot["syncStatus"], &slot["calendarId"]),
        (&json!("Focus"), &json!("SYNCED"), &json!(calendar))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_beyond_the_window_outlives_a_reconnect() {
    let (world, google, ada, calendar, _) = by_hand::<GoogleHarness>().await;
    let slot = |day: &str| {
        json!({
            "title": "Focus", "startTime": format!("{day}T09:00:00"), "endTime": format!("{day}T10:00:00"),
            "timezone": "Europe/Berlin", "calendarId": calendar
        })
    };
    for day in ["2027-01-05", "2040-01-05"] {
        let made = world.post(&ada, "/api/v1/slots", slot(day)).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    world.stack.work().await;
    assert_eq!(google.titles().await, ["Focus", "Focus"]);
    // An event that has been there since the slot was created is missed wherever it is.
    let made = world.post(&ada, "/api/v1/slots", slot("2041-01-05")).await;
    let event = made.body["eventId"].as_str().unwrap();
    let event = format!("/api/v1/calendar/events/{event}?wait=0");
    world.call("DELETE", &event, Some(&ada.token), None).await;
    world.stack.work().await;
    assert_eq!(slots(&world, &ada).await.len(), 2);
    let path = format!("/api/v1/calendar/calendars/{calendar}");
    let gone = world.call("DELETE", &path, Some(&ada.token), None).await;
    assert_eq!(gone.status, 204);
    world.stack.work().await;
    world
        .choose(&google, &ada, GoogleHarness::EMAIL, &[&google.primary()])
        .await;
    synced(&world, &ada, &calendar).await;
    let starts = async || {
        let slots = slots(&world, &ada).await.into_iter();
        let start = |slot: Value| slot["startTime"].as_str().unwrap()[..10].to_owned();
        slots.map(start).collect::<Vec<String>>()
    };
    assert_eq!(starts().await, ["2027-01-05", "2040-01-05"]);

    // The event of the other is deleted there: its time is free again, and reading removes nothing.
    let events = google.all().await;
    let near = events.iter().find(|event| event.start.starts_with("2027"));
    assert!(google.remove(&near.unwrap().id).await.is_success());
    synced(&world, &ada, &calendar).await;
    let stored = world.dump().await.matches("slt_").count();
    assert_eq!(starts().await, ["2040-01-05"]);
    assert_eq!(world.dump().await.matches("slt_").count(), stored);
    let again = world.post(&ada, "/api/v1/slots", slot("2027-01-05")).await;
    assert_eq!(again.status, 201, "{again:?}");
    let taken = world.post(&ada, "/api/v1/slots", slot("2040-01-05")).await;
    assert_eq!(taken.status, 409, "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn how_calendars_stand_and_what_can_be_done() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    world
        .until("a channel", async || {
            (google.report().await["channels"] == 1).then_some(())
        })
        .await;
    world.sync_calendar(&ada, &calendar).await;
    let status = world.get(&ada, "/api/v1/sync/status").await.body["calendars"][0].clone();
    assert_eq!(
        (&status["isIncremental"], &status["pendingEdits"]),
        (&json!(true), &json!(0)),
        "{status}"
    );
    assert!(status["webhook"]["expiresAt"].is_string(), "{status}");
    // The owner can close the push channel and open it again.
    let path = format!("/api/v1/calendar/calendars/{calendar}");
    let closed = world
        .call(
            "DELETE",
            &format!("{path}/webhook?wait=20"),
            Some(&ada.token),
            None,
        )
        .await;
    assert_eq!(closed.status, 200, "{closed:?}");
    assert_eq!(
        (
            google.report().await["channels"].clone(),
            world.get(&ada, &path).await.body["hasWebhook"].clone()
        ),
        (json!(0), json!(false))
    );
    assert_eq!(
        world
            .post(&ada, &format!("{path}/webhook?wait=20"), json!({}))
            .await
            .status,
        200
    );
    assert_eq!(
        (
            google.report().await["channels"].clone(),
            world.get(&ada, &path).await.body["hasWebhook"].clone()
        ),
        (json!(1), json!(true))
    );
    assert_eq!(
        world
            .post(&ada, "/api/v1/webhooks/setup", json!({}))
            .await
            .body["calendarCount"],
        1
    );
    // push-all retries failed writes at once; reset starts a full sync.
    let fault = json!([{ "method": "events.insert", "status": 400, "reason": "invalid" }]);
    google.control("faults", fault).await;
    let body = json!({ "calendarId": calendar, "title": "Refused", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let refused = world.post(&ada, "/api/v1/calendar/events", body).await;
    assert_eq!(
        (refused.status, &refused.body["syncStatus"]),
        (202, &json!("FAILED")),
        "{refused:?}"
    );
    let again = world.post(&ada, "/api/v1/sync/push-all", json!({})).await;
    assert_eq!(
        (again.status, &again.body["retried"]),
        (202, &json!(1)),
        "{again:?}"
    );
    world
        .until("the push", async || {
            (google.titles().await == ["Refused"]).then_some(())
        })
        .await;
    assert_eq!(
        world
            .post(&ada, "/api/v1/sync/trigger?wait=20", json!({}))
            .await
            .body["finishedCount"],
        1
    );
    // Removed without being listed as a change: only a full sync finds that out.
    let id = google.all().await.remove(0).id;
    insert(&google, "Other", 6).await;
    let silently = json!({ "calendarId": google.primary(), "eventId": id });
    google.control("silence", silently).await;
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, ["Refused", "Other"]);
    assert_eq!(
        world
            .post(&ada, "/api/v1/sync/reset", json!({}))
            .await
            .status,
        202
    );
    world
        .until("a full sync", async || {
            (titles(&world, &ada).await == ["Other"]).then_some(())
        })
        .await;
    assert_eq!(google.violations().await, Vec::<Value>::new());
}
