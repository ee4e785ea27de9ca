//! Writes: creation, meetings, and properties that Graph does not support.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, create, put, synced};
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{EventChange, InjectedFault};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_creation_has_made_is_brought_up_to_date() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    // Far beyond the sync window, so that no delta lists it before the retry.
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({ "calendarId": calendar, "title": "First", "startTime": "2029-01-05T09:00:00", "endTime": "2029-01-05T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    world.stack.work().await;
    let path = format!(
        "/api/v1/calendar/events/{}",
        made.body["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(json!({ "title": "Second" }))
            )
            .await
            .status,
        202
    );
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        side.all()
            .await
            .iter()
            .map(|event| event.title.as_str())
            .collect::<Vec<_>>(),
        ["Second"]
    );
    let now = world.get(&ada, &path).await.body;
    assert_eq!(
        (&now["title"], &now["syncStatus"]),
        (&json!("Second"), &json!("SYNCED"))
    );
    // Created, but answered with 409: the event is found by the id that Calweave stores in it.
    let taken = json!([{ "method": "events.create", "status": 409, "reason": "ErrorDuplicate", "after": true }]);
    side.control("faults", taken).await;
    let body = json!({ "calendarId": calendar, "title": "Third", "startTime": "2029-02-05T09:00:00", "endTime": "2029-02-05T10:00:00" });
    world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Second", "Third"]);
    // 410 on a deletion counts as deleted, as 404 does.
    let gone = json!([{ "method": "events.delete", "status": 410, "reason": "ErrorItemNotFound", "after": true }]);
    side.control("faults", gone).await;
    assert_eq!(
        world
            .call("DELETE", &format!("{path}?wait=0"), Some(&ada.token), None)
            .await
            .status,
        202
    );
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(
        (state["syncStatus"].as_str(), side.titles().await),
        (Some("SYNCED"), vec!["Third".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_creation_has_made_is_moved_to_another_calendar() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let other = side.add_calendar("Other").await;
    side.faults("insert", InjectedFault::Lost).await;
    side.faults("insert", InjectedFault::Broken).await;
    side.faults("insert", InjectedFault::Broken).await;
    let body = json!({ "calendarId": calendar, "title": "Moved", "startTime": "2029-01-05T09:00:00", "endTime": "2029-01-05T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    world.stack.work().await;
    let made = made.body["id"].as_str().unwrap().to_owned();
    let id = side.all().await[0].id.clone();
    side.relocate(&id, &side.primary(), &other).await;
    // The removal is read, for nobody, before the creation is repeated.
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    clock.advance(TimeDelta::minutes(16));
    let ada = world.sign_in(&ada).await;
    let state = synced(&world, &ada, &calendar).await;
    // It is neither shown in the calendar that it has left, nor made there a second time.
    assert_eq!(state["syncStatus"], "SYNCED");
    let path = format!("/api/v1/calendar/events/{made}");
    assert_eq!(world.get(&ada, &path).await.status, 404);
    assert!(side.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn attendees_spammed() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let quiet = json!({
        "calendarId": calendar, "title": "Quiet", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00",
        "attendees": [{ "email": "bob@contoso.test", "isOptional": true }]
    });
    let fields = |answer: &crate::harness::Answer| {
        answer.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let refused = world
        .post(&ada, "/api/v1/calendar/events", quiet.clone())
        .await;
    assert_eq!(
        (refused.status, fields(&refused)),
        (422, vec!["sendUpdates".to_owned()]),
        "Microsoft would tell everybody"
    );
    assert_eq!(side.report().await["mails"], json!([]));
    let mut loud = quiet;
    loud["sendUpdates"] = "all".into();
    loud["description"] = "Agenda\r\nLunch\n".into();
    let made = create(&world, &ada, loud).await;
    assert_eq!(
        side.report().await["mails"],
        json!(["bob@contoso.test"]),
        "told once, because that was asked for"
    );
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/v1/calendar/events/{id}");
    for (method, body) in [
        ("PUT", Some(json!({ "title": "Louder" }))),
        ("DELETE", None),
    ] {
        let refused = world.call(method, &path, Some(&ada.token), body).await;
        assert_eq!(
            (refused.status, fields(&refused)),
            (422, vec!["sendUpdates".to_owned()]),
            "{method}"
        );
    }
    // This includes attendees who were added since the last sync.
    let alone = json!({ "calendarId": calendar, "title": "Alone", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let alone = create(&world, &ada, alone).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    side.control("mute", json!({})).await;
    let there = side
        .all()
        .await
        .into_iter()
        .find(|event| event.title == "Alone")
        .unwrap()
        .id;
    let invited = json!({ "attendees": [{ "type": "resource", "emailAddress": { "address": "room@contoso.test" } }] });
    assert_eq!(
        side.call(Method::PATCH, side.path(&["events", &there]), Some(invited))
            .await
            .0,
        200
    );
    let mails = side.report().await["mails"].as_array().unwrap().len();
    let put_quietly = world
        .call(
            "PUT",
            &format!("/api/v1/calendar/events/{alone}"),
            Some(&ada.token),
            Some(json!({ "title": "Changed" })),
        )
        .await;
    assert_eq!(put_quietly.body["syncStatus"], "FAILED", "{put_quietly:?}");
    assert!(
        put_quietly.body["syncError"]
            .as_str()
            .unwrap()
            .contains("sendUpdates"),
        "{put_quietly:?}"
    );
    assert_eq!(
        side.report().await["mails"].as_array().unwrap().len(),
        mails
    );
    let both = json!([{ "email": "room@contoso.test" }, { "email": "bob@contoso.test" }]);
    put(
        &world,
        &ada,
        &alone,
        json!({ "attendees": both, "sendUpdates": "all" }),
    )
    .await;
    assert_eq!(
        side.event(&there).await["attendees"][0]["type"],
        "resource",
        "a room stays a room"
    );
    let mails = side.report().await["mails"].as_array().unwrap().len();
    // Properties that attendees do not see can be changed without notifying them.
    put(&world, &ada, id, json!({ "reminders": [{ "method": "POPUP", "minutesBefore": 5 }], "transparency": "TRANSPARENT" })).await;
    assert_eq!(
        side.report().await["mails"].as_array().unwrap().len(),
        mails
    );
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=4", "attendees": [{ "email": "bob@contoso.test" }], "sendUpdates": "all"
    });
    let weekly = create(&world, &ada, weekly).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let there = side
        .all()
        .await
        .into_iter()
        .find(|event| event.title == "Weekly")
        .unwrap()
        .id;
    let moved = EventChange::Times("2027-01-11T11:00:00", "2027-01-11T12:00:00");
    assert!(
        side.change(
            &MicrosoftHarness::occurrence(&there, "2027-01-11T09:00:00"),
            moved
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let mails = side.report().await["mails"].as_array().unwrap().len();
    put(
        &world,
        &ada,
        &weekly,
        json!({ "reminders": [{ "method": "POPUP", "minutesBefore": 5 }] }),
    )
    .await;
    assert_eq!(
        side.report().await["mails"].as_array().unwrap().len(),
        mails
    );
    let gone = world
        .call(
            "DELETE",
            &format!("{path}?sendUpdates=all"),
            Some(&ada.token),
            None,
        )
        .await;
    assert_eq!(gone.status, 200, "{gone:?}");
    // Fields that Graph does not support are rejected by name.
    let odd = json!({
        "calendarId": calendar, "title": "Odd", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00", "colorId": "5",
        "url": "https://example.org", "reminders": [{ "method": "EMAIL", "minutesBefore": 5 }], "recurrenceRule": "FREQ=MONTHLY;BYMONTHDAY=5,15"
    });
    let refused = world.post(&ada, "/api/v1/calendar/events", odd).await;
    assert_eq!(
        (refused.status, fields(&refused)),
        (
            422,
            ["colorId", "url", "reminders", "recurrence"]
                .map(str::to_owned)
                .to_vec()
        )
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_repeated_so_is_refused_or_written_out() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let twice = |more: Value| {
        let mut body = json!({
            "calendarId": calendar, "title": "Twice a month", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00",
            "timezone": "Europe/Berlin", "recurrenceRule": "FREQ=MONTHLY;BYMONTHDAY=5,15;COUNT=6"
        });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let refused = world
        .post(&ada, "/api/v1/calendar/events", twice(json!({})))
        .await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["field"]),
        (422, &json!("recurrence"))
    );
    assert!(
        refused.body["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("EXPAND"),
        "{refused:?}"
    );
    let made = world
        .post(
            &ada,
            "/api/v1/calendar/events?wait=20",
            twice(json!({ "whenInexpressible": "EXPAND" })),
        )
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        (
            made.body["expandedInto"].as_array().unwrap().len(),
            &made.body["expandedInto"][0]
        ),
        (6, &made.body["id"])
    );
    let events = world.events(&ada, "2027-01-01", "2027-12-01").await;
    let starts: Vec<_> = events
        .iter()
        .map(|event| event["startTime"].as_str().unwrap())
        .collect();
    assert_eq!(
        (starts.len(), starts[1], starts[5]),
        (6, "2027-01-15T09:00:00+01:00", "2027-03-15T09:00:00+01:00")
    );
    assert_eq!(side.all().await.len(), 6);
    let endless = twice(
        json!({ "whenInexpressible": "EXPAND", "recurrenceRule": "FREQ=DAILY;BYMONTHDAY=1,2,3,4,5,6,7,8,9,10,11,12" }),
    );
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events", endless)
            .await
            .status,
        422,
        "too many"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_survives_a_change_of_what_stands_above_it() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let body = json!({
        "calendarId": calendar, "title": "Online", "description": "First <draft>", "startTime": "2027-01-05T09:00:00",
        "endTime": "2027-01-05T10:00:00", "createConference": true
    });
    let made = create(&world, &ada, body).await;
    let link = made["conferenceUrl"].as_str().unwrap().to_owned();
    assert!(link.starts_with("https://teams."), "{made}");
    assert_eq!(
        made["description"], "First <draft>",
        "what Teams writes is no description"
    );
    let changed = put(
        &world,
        &ada,
        made["id"].as_str().unwrap(),
        json!({ "description": "Second & last\nline" }),
    )
    .await;
    assert_eq!(
        (&changed["description"], &changed["conferenceUrl"]),
        (&json!("Second & last\nline"), &json!(link))
    );
    let raw = side.all().await.remove(0).raw;
    assert!(
        raw["body"]["content"].as_str().unwrap().contains(&link),
        "{raw}"
    );
    assert_eq!(
        side.violations().await,
        Vec::<Value>::new(),
        "no update removed the join link"
    );
}
