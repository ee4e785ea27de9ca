//! Series whose exceptions Graph resets.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, create, put, synced, titles};
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{EventChange, InjectedFault, Person};

#[tokio::test(flavor = "multi_thread")]
async fn a_series_that_is_drawn_anew_forgets_what_was_different() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    assert!(
        side.remove(&MicrosoftHarness::occurrence(&id, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    let moved = EventChange::Times("2027-01-18T15:00:00", "2027-01-18T16:00:00");
    assert!(
        side.change(
            &MicrosoftHarness::occurrence(&id, "2027-01-18T09:00:00"),
            moved
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    let starts = async || {
        let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
        events
            .iter()
            .map(|event| event["startTime"].as_str().unwrap()[..16].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        starts().await,
        ["2027-01-04T09:00", "2027-01-18T15:00", "2027-01-25T09:00"]
    );
    // Made longer by an hour: Graph drops the exceptions, and so does the copy here.
    assert!(
        side.change(
            &id,
            EventChange::Times("2027-01-04T09:00:00", "2027-01-04T11:00:00")
        )
        .await
        .is_success()
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        starts().await,
        [
            "2027-01-04T09:00",
            "2027-01-11T09:00",
            "2027-01-18T09:00",
            "2027-01-25T09:00"
        ]
    );
    assert_eq!(side.in_january().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_of_a_rule_are_occurrences_that_do_not_take_place() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let body = |dates: Value| {
        json!({
            "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
            "recurrence": { "frequency": "WEEKLY", "byDay": ["MO"], "endType": "COUNT", "count": 4, "exceptionDates": dates }
        })
    };
    let starts = async || {
        let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
        events
            .iter()
            .map(|event| event["startTime"].as_str().unwrap()[8..10].to_owned())
            .collect::<Vec<_>>()
    };
    let made = create(&world, &ada, body(json!(["2027-01-11"]))).await;
    assert_eq!(
        (starts().await, side.in_january().await),
        (["04", "18", "25"].map(str::to_owned).to_vec(), 3)
    );
    put(
        &world,
        &ada,
        made["id"].as_str().unwrap(),
        json!({ "recurrence": body(json!(["2027-01-11", "2027-01-25"]))["recurrence"] }),
    )
    .await;
    for _ in 0..2 {
        assert_eq!(
            (starts().await, side.in_january().await),
            (["04", "18"].map(str::to_owned).to_vec(), 2)
        );
        world.sync_calendar(&ada, &calendar).await;
    }
    let stats = world.sync_calendar(&ada, &calendar).await["stats"].clone();
    assert_eq!(
        (&stats["created"], &stats["updated"], &stats["deleted"]),
        (&json!(0), &json!(0), &json!(0)),
        "at rest: {stats}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_that_an_interrupted_run_has_not_written_are_written_by_the_next() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    // Beyond the sync window, so that no delta lists it before the retry. It is created, but the response is lost.
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2029-01-05T09:00:00", "endTime": "2029-01-05T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=4"
    });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await
        .body;
    world.stack.work().await;
    let path = format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap());
    let there = async |id: &str, year: &str| {
        let mut url = side.path(&["events", id, "instances"]);
        url.query_pairs_mut()
            .append_pair("startDateTime", &format!("{year}-01-01T00:00:00Z"))
            .append_pair("endDateTime", &format!("{year}-03-01T00:00:00Z"));
        let (_, found) = side.call(Method::GET, url, None).await;
        let starts = found["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["start"]["dateTime"].as_str().unwrap()[5..10].to_owned());
        starts.collect::<Vec<_>>()
    };
    let gone = world
        .call(
            "DELETE",
            &format!("{path}_20290119T080000Z?wait=0"),
            Some(&ada.token),
            None,
        )
        .await;
    assert_eq!(gone.status, 202, "{gone:?}");
    // The retry finds the series by the id stored in it. The occurrence that was cancelled since must still be written.
    let taken = json!([{ "method": "events.create", "status": 409, "reason": "ErrorDuplicate", "after": true }]);
    side.control("faults", taken).await;
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    let id = side.all().await[0].id.clone();
    assert_eq!(there(&id, "2029").await, ["01-05", "01-12", "01-26"]);
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");

    // A new rule resets the exceptions of a series in the window, and the sync fails before it has written them again.
    let body = |interval: u32| {
        json!({
            "calendarId": calendar, "title": "Other", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
            "recurrence": { "frequency": "WEEKLY", "interval": interval, "byDay": ["MO"], "endType": "COUNT", "count": 4,
                            "exceptionDates": ["2027-01-18"] }
        })
    };
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body(1))
        .await
        .body;
    synced(&world, &ada, &calendar).await;
    let id = side
        .all()
        .await
        .iter()
        .find(|event| event.title == "Other")
        .unwrap()
        .id
        .clone();
    assert_eq!(there(&id, "2027").await, ["01-04", "01-11", "01-25"]);
    side.faults("delete", InjectedFault::Broken).await;
    let before = side.calls("delete").await;
    let path = format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap());
    let answer = world
        .call(
            "PUT",
            &format!("{path}?wait=0"),
            Some(&ada.token),
            Some(json!({ "recurrence": body(2)["recurrence"] })),
        )
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    clock.advance(TimeDelta::minutes(16));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(there(&id, "2027").await, ["01-04", "02-01", "02-15"]);
    assert_eq!(
        side.calls("delete").await,
        before + 2,
        "the first got no answer"
    );
    let now = world.get(&ada, &path).await.body;
    assert_eq!(
        (&now["syncStatus"], &now["keptEdit"]),
        (&json!("SYNCED"), &Value::Null),
        "{now}"
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_meeting_that_is_drawn_anew_keeps_its_changed_occurrences() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let body = json!({
        "calendarId": calendar, "title": "Meeting", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrenceRule": "FREQ=WEEKLY;COUNT=4", "attendees": [{ "email": "bob@contoso.test" }], "sendUpdates": "all"
    });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await
        .body;
    synced(&world, &ada, &calendar).await;
    let path = |id: &str| format!("/api/v1/calendar/events/{id}?wait=0");
    let put = async |ada: &Person, id: &str, body: Value| {
        let answer = world
            .call("PUT", &path(id), Some(&ada.token), Some(body))
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    let id = made["id"].as_str().unwrap();
    put(
        &ada,
        &format!("{id}_20270111T080000Z"),
        json!({ "title": "Special", "sendUpdates": "all" }),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    put(
        &ada,
        id,
        json!({ "endTime": "2027-01-04T11:00:00", "sendUpdates": "all" }),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Meeting", "Special"]);
    assert_eq!(
        titles(&world, &ada).await,
        ["Meeting", "Special", "Meeting", "Meeting"]
    );
    // A move fails at Graph; then the series is moved back here before the retry, and made longer.
    side.faults("update", InjectedFault::Broken).await;
    put(
        &ada,
        id,
        json!({ "startTime": "2027-01-04T15:00:00", "sendUpdates": "all" }),
    )
    .await;
    world.stack.work().await;
    put(&ada, id, json!({ "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T12:00:00", "sendUpdates": "all" })).await;
    assert_eq!(
        titles(&world, &ada).await,
        ["Meeting", "Special", "Meeting", "Meeting"]
    );
    clock.advance(TimeDelta::minutes(16));
    let ada = world.sign_in(&ada).await;
    for _ in 0..2 {
        synced(&world, &ada, &calendar).await;
        assert_eq!(
            (side.titles().await, side.in_january().await),
            (vec!["Meeting".to_owned(), "Special".to_owned()], 4)
        );
        assert_eq!(
            titles(&world, &ada).await,
            ["Meeting", "Special", "Meeting", "Meeting"]
        );
    }
    let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
    assert!(
        seen.iter().all(|event| event["syncStatus"] == "SYNCED"),
        "{seen:?}"
    );
}
