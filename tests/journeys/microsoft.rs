//! What is Microsoft's own: see `conformance.rs` for what every provider has to be good for.

use std::time::Duration;

use chrono::TimeDelta;
use local::stack::Options;
use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::domain::calendar::ProviderKind;
use shared::domain::ids::UserId;

use crate::harness::account::{by_hand, connected, create, put, synced, titles};
use crate::harness::microsoft::{BERLIN, EMAIL, MicrosoftHarness, time};
use crate::harness::{EventChange, InjectedFault, ProviderHarness};
use crate::harness::{Person, World};

const NOTIFY: &str = "/api/v1/calendar/webhooks/microsoft";

/// The one subscription of the only account: what its notifications show.
async fn subscription(
    world: &World,
    person: &Person,
) -> (String, shared::domain::connection::Connection) {
    let user: UserId = person.id.parse().unwrap();
    let connection = world
        .stack
        .context
        .store
        .connections(user)
        .await
        .unwrap()
        .remove(0);
    (
        connection
            .channel
            .as_ref()
            .unwrap()
            .resource_id
            .clone()
            .unwrap(),
        connection,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_validation_handshake_times_out() {
    // No table, no key, no queue: the answer needs none of them. The sandbox shakes hands for real in every other journey.
    let world = World::with(Options {
        background: false,
        ..Options::default()
    })
    .await;
    let token = "Validation: <b>bold</b> +ä";
    for path in [NOTIFY.to_owned(), format!("{NOTIFY}/lifecycle")] {
        let mut url = reqwest::Url::parse(&format!("{}{path}", world.stack.url)).unwrap();
        url.query_pairs_mut().append_pair("validationToken", token);
        world.stack.context.store.meter().take();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(url)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.text().await.unwrap(),
            token,
            "as it was before it was escaped, and nothing else"
        );
        let (reads, writes, _) = world.stack.context.store.meter().take();
        assert!(reads + writes == 0.0, "{reads} reads and {writes} writes");
        let long = world
            .call(
                "POST",
                &format!("{path}?validationToken={}", "x".repeat(2_000)),
                None,
                None,
            )
            .await;
        assert_eq!(long.status, 422);
    }
    // One that fails is tried again: until then the calendar is polled.
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    side.faults("watch", InjectedFault::Broken).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 0);
    clock.advance(TimeDelta::minutes(16));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
    // So is one whose handshake was in vain.
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let in_vain = "Subscription validation request failed.";
    side.control(
        "faults",
        json!([{ "method": "subscriptions.create", "status": 400, "reason": in_vain }]),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 0);
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_subscription_expires_silently() {
    let (world, mut side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let (first, connection) = subscription(&world, &ada).await;
    let life = connection.channel.as_ref().unwrap().expires_at - clock.now();
    assert_eq!(
        life.num_minutes(),
        (6 * 24 + 20) * 60,
        "a little less than seven days"
    );
    // By four fifths of its life it is renewed, in place.
    clock.advance(TimeDelta::days(5));
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 1);
    clock.advance(TimeDelta::hours(13));
    world.stack.work().await;
    assert_eq!(
        (
            side.calls("subscriptions.update").await,
            side.calls("watch").await
        ),
        (1, 1)
    );
    assert_eq!(subscription(&world, &ada).await.0, first);
    // Microsoft wants it authorised anew.
    let ada = world.sign_in(&ada).await;
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "reauthorizationRequired" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(side.calls("subscriptions.update").await, 2);
    // Notifications were lost: what has changed is looked for.
    side.sign_in().await;
    side.control("mute", json!({})).await;
    side.insert("Missed", "2027-01-12T09:00:00", "2027-01-12T10:00:00", None)
        .await;
    side.control("lifecycle", json!({ "email": EMAIL, "event": "missed" }))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Missed"]);
    // It was removed: another takes its place, and what has happened meanwhile is read.
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    side.insert(
        "Meanwhile",
        "2027-01-13T09:00:00",
        "2027-01-13T10:00:00",
        None,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Missed", "Meanwhile"]);
    assert_ne!(subscription(&world, &ada).await.0, first);
    assert_eq!(side.report().await["channels"], 1);
    // Nobody has said anything, and it is gone: the renewal finds out.
    let (second, _) = subscription(&world, &ada).await;
    let (status, _) = side
        .call(
            Method::DELETE,
            format!("{}/v1.0/subscriptions/{second}", side.url)
                .parse()
                .unwrap(),
            None,
        )
        .await;
    assert_eq!(status, 204);
    clock.advance(TimeDelta::days(6));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_allows_three_days_only_is_watched_all_the_same() {
    let (world, side) = World::beside::<MicrosoftHarness>(Options::default()).await;
    side.control("longest", json!(4_230)).await;
    let ada = world.sign_up("ada").await;
    world
        .connect_account(&side, &ada, EMAIL, &[&side.primary()])
        .await;
    let (_, connection) = subscription(&world, &ada).await;
    let life = connection.channel.unwrap().expires_at - connection.granted_at;
    assert!((4_198..=4_201).contains(&life.num_minutes()), "{life}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_prove_themselves_one_by_one() {
    let (world, side, ada, _) = connected::<MicrosoftHarness>().await;
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
    let (id, connection) = subscription(&world, &ada).await;
    let channel = connection.channel.unwrap().id.unwrap();
    world
        .until("rest", async || {
            world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"][0]["syncStatus"]
                .as_str()
                .filter(|status| *status == "SYNCED")
                .map(drop)
        })
        .await;
    let before = side.calls("changes").await;
    let guessed = "g".repeat(43);
    for (state, subscription) in [
        (format!("{channel}.{guessed}"), id.as_str()),
        (format!("{guessed}.{guessed}"), &id),
        (format!("{channel}."), &id),
        (channel.clone(), &id),
        ("unknown.secret".to_owned(), &id),
        ("x".repeat(200), &id),
        (String::new(), ""),
    ] {
        let body = json!({ "value": [{ "subscriptionId": subscription, "clientState": state, "changeType": "updated", "resource": "r" }, 7] });
        for path in [NOTIFY.to_owned(), format!("{NOTIFY}/lifecycle")] {
            assert_eq!(
                world
                    .call("POST", &path, None, Some(body.clone()))
                    .await
                    .status,
                202
            );
        }
    }
    let nonsense = world
        .send("POST", NOTIFY, &[], Some("<xml/>".to_owned()))
        .await;
    assert_eq!(
        nonsense.status, 202,
        "nobody learns anything, and nobody sends it again"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        side.calls("changes").await,
        before,
        "a forged notification changes nothing"
    );
}

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
    // Both have other ids from now on, and one is changed here before anybody knows: it stays one event, and keeps its id.
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
    // By their new names they are found again.
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
    assert!(
        !world.dump().await.contains("#ALIASES#"),
        "nothing is left of their other names"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_came_under_its_new_name_first_is_no_second_one() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert("One", "2027-01-04T09:00:00", "2027-01-04T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // Everything is read anew: the old name is not told of at all, the new one is.
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
    // Longer by an hour: Microsoft has dropped its exceptions, and so does everybody.
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
    // Nothing says so again.
    synced(&world, &ada, &calendar).await;
    let before = side.calls("changes").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 3);
    synced(&world, &ada, &calendar).await;
    assert!(side.calls("changes").await > before);
    // Not more than once a day, whatever else is said.
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
    // Beyond the window, so that no list of changes shows it before it is sent again. It is made, and the answer is lost.
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
    // The series is found by its name: that says nothing of what was removed since.
    let taken = json!([{ "method": "events.create", "status": 409, "reason": "ErrorDuplicate", "after": true }]);
    side.control("faults", taken).await;
    clock.advance(TimeDelta::minutes(16));
    synced(&world, &ada, &calendar).await;
    let id = side.all().await[0].id.clone();
    assert_eq!(there(&id, "2029").await, ["01-05", "01-12", "01-26"]);
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");

    // Drawn anew within the window, a series forgets its exceptions, and the run ends before they are written again.
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
    // To be moved, which Microsoft does not take just now; then it stays where it was after all, but is longer.
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

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_creation_has_made_is_brought_up_to_date() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    // Far beyond the window, so that no list of changes shows it before it is sent again.
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
    // Created, and answered as if it were taken: found by the name that it was given.
    let taken = json!([{ "method": "events.create", "status": 409, "reason": "ErrorDuplicate", "after": true }]);
    side.control("faults", taken).await;
    let body = json!({ "calendarId": calendar, "title": "Third", "startTime": "2029-02-05T09:00:00", "endTime": "2029-02-05T10:00:00" });
    world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Second", "Third"]);
    // Gone is gone, whichever number says so.
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
async fn an_account_that_comes_back_is_watched_anew() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
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
    world
        .until("none", async || {
            (side.report().await["channels"] == 0).then_some(())
        })
        .await;
    world
        .until("no grant", async || {
            (!world.dump().await.contains("#grant")).then_some(())
        })
        .await;
    let again = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary()])
        .await;
    assert_eq!(again, [calendar], "under its old id");
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_the_window_is_not_deleted() {
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let id = side
        .insert("Moves", "2027-01-04T09:00:00", "2027-01-04T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // Far beyond the end of the window: the list of changes says that it was deleted.
    assert!(
        side.change(
            &id,
            EventChange::Times("2029-06-04T09:00:00", "2029-06-04T10:00:00")
        )
        .await
        .is_success()
    );
    // So it does of what never was in the window.
    side.insert(
        "Never seen",
        "2029-07-01T09:00:00",
        "2029-07-01T10:00:00",
        None,
    )
    .await;
    let stats = synced(&world, &ada, &calendar).await;
    assert_eq!(stats["syncStatus"], "SYNCED");
    let far = world.events(&ada, "2029-06-01", "2029-08-01").await;
    assert_eq!((far.len(), &far[0]["title"]), (1, &json!("Moves")));
    // The window moves along weekly, and loses nothing on the way.
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
        world.events(&ada, "2029-06-01", "2029-08-01").await.len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_kept_to_across_all_workers() {
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    };
    let (world, side) = World::beside::<MicrosoftHarness>(options).await;
    let ada = world.sign_up("ada").await;
    let mut calendars = vec![side.primary()];
    for name in ["B", "C", "D", "E", "F", "G"] {
        calendars.push(side.add_calendar(name).await);
    }
    let calendars: Vec<&str> = calendars.iter().map(String::as_str).collect();
    let ids = world.choose(&side, &ada, EMAIL, &calendars).await;
    side.control("latency", json!(150)).await;
    let user: UserId = ada.id.parse().unwrap();
    // Seven workers at once, each a Lambda of its own as far as the tables can tell.
    let app = &world.stack.context;
    let all = || {
        futures::future::join_all(
            ids.iter()
                .map(|id| shared::sync::sync_calendar(app, user, id.parse().unwrap())),
        )
    };
    for outcome in all().await {
        outcome.unwrap();
    }
    assert_eq!(
        side.report().await["mostInFlight"],
        3,
        "of the four that Microsoft allows, one is left for others"
    );
    // Whoever had to wait is asked for again, and no failure of anything.
    let done = async || {
        let states = world.stack.context.store.calendars(user).await.unwrap();
        states
            .iter()
            .all(|state| {
                state.cursor.completed >= state.cursor.requested
                    && state.cursor.last_synced_at.is_some()
            })
            .then_some(())
    };
    world
        .until("all calendars", async || {
            world.stack.work().await;
            done().await
        })
        .await;
    assert_eq!(side.report().await["mostInFlight"], 3);
    let failed = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| !one["lastError"].is_null())
        .count();
    assert_eq!(failed, 0);
    // What Microsoft asks one worker to wait for, all of them do.
    side.control("latency", json!(0)).await;
    let fault = json!([{ "method": "calendarView.delta", "status": 429, "reason": "ApplicationThrottled", "retryAfter": 120 }]);
    side.control("faults", fault).await;
    drop(
        shared::sync::sync_calendar(app, user, ids[0].parse().unwrap())
            .await
            .unwrap(),
    );
    let before = side.calls("changes").await;
    for outcome in all().await {
        outcome.unwrap();
    }
    assert_eq!(side.calls("changes").await, before, "nobody calls");
    clock.advance(TimeDelta::seconds(121));
    all().await;
    assert!(side.calls("changes").await >= before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_calendars_are_polled_and_the_others_pushed() {
    let (world, side) = World::beside::<MicrosoftHarness>(Options::default()).await;
    side.add_person("bob@contoso.test").await;
    let shared = json!({ "owner": "bob@contoso.test", "summary": "Bob's", "sharedWith": EMAIL, "canEdit": false });
    let shared = side.control("calendars", shared).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ada = world.sign_up("ada").await;
    let ids = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary(), &shared])
        .await;
    let all = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"].clone();
    let of = |id: &str| {
        all.as_array()
            .unwrap()
            .iter()
            .find(|calendar| calendar["id"] == id)
            .unwrap()
            .clone()
    };
    let (own, bobs) = if of(&ids[0])["name"] == "Bob's" {
        (of(&ids[1]), of(&ids[0]))
    } else {
        (of(&ids[0]), of(&ids[1]))
    };
    assert_eq!(
        (&bobs["isReadOnly"], &own["isReadOnly"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&bobs["hasWebhook"], &own["hasWebhook"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        side.report().await["channels"],
        1,
        "one for the whole mailbox"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_consent_for_everybody_and_secrets_expire() {
    let (world, side) = World::beside::<MicrosoftHarness>(Options::default()).await;
    let ada = world.sign_up("ada").await;
    let bob = json!({ "email": "bob@contoso.test", "name": "Bob", "timeZone": BERLIN, "needsAdmin": true });
    side.control("people", bob).await;
    let page = world
        .link(&side, &ada, "bob@contoso.test", "allow", &[])
        .await;
    assert!(
        page.query().unwrap().contains("error=consent_required"),
        "{page}"
    );
    let login = world
        .get(
            &ada,
            "/api/v1/calendar/oauth/microsoft/login?adminConsent=true",
        )
        .await;
    let url = login.body["authUrl"].as_str().unwrap();
    assert!(
        url.contains("/organizations/v2.0/adminconsent?client_id="),
        "{url}"
    );
    let cookie = login.headers["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let back = side.client.get(url).send().await.unwrap().headers()["location"]
        .to_str()
        .unwrap()
        .to_owned();
    let page = world.come_back(&back, &cookie).await;
    assert!(
        page.query().unwrap().contains("adminConsent=granted"),
        "{page}"
    );
    let page = world
        .link(&side, &ada, "bob@contoso.test", "allow", &[])
        .await;
    assert!(page.query().unwrap().contains("session="), "{page}");
    let none = World::with_google().await;
    let eve = none.0.sign_up("eve").await;
    assert_eq!(
        none.0
            .get(
                &eve,
                "/api/v1/calendar/oauth/google/login?adminConsent=true"
            )
            .await
            .status,
        422
    );
    assert_eq!(
        none.0
            .get(&eve, "/api/v1/calendar/oauth/microsoft/login")
            .await
            .status,
        503,
        "not known there"
    );
    assert_eq!(
        none.0
            .get(&eve, "/api/v1/calendar/oauth/yahoo/login")
            .await
            .status,
        404
    );

    // The operator's trouble is nobody else's.
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    side.control("secret", json!(true)).await;
    clock.advance(TimeDelta::hours(2));
    let ada = world.sign_in(&ada).await;
    let failed = synced(&world, &ada, &calendar).await;
    assert!(
        failed["lastError"]
            .as_str()
            .unwrap()
            .contains("AADSTS7000222"),
        "{failed}"
    );
    let linked = world
        .get(&ada, "/api/v1/calendar/oauth/connections")
        .await
        .body["connections"][0]
        .clone();
    assert_eq!(linked["status"], "ACTIVE");
    side.control("secret", json!(false)).await;
    assert_eq!(
        synced(&world, &ada, &calendar).await["syncStatus"],
        "SYNCED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_accounts_are_told_apart_by_tenant_and_object() {
    let (world, side) = World::beside::<MicrosoftHarness>(Options::default()).await;
    let ada = world.sign_up("ada").await;
    let person = json!({ "email": "grace@outlook.test", "name": "Grace", "timeZone": "India Standard Time", "isPersonal": true });
    let calendar = side.control("people", person).await["primary"]
        .as_str()
        .unwrap()
        .to_owned();
    world
        .connect_account(&side, &ada, "grace@outlook.test", &[&calendar])
        .await;
    let user: UserId = ada.id.parse().unwrap();
    let connection = world
        .stack
        .context
        .store
        .connections(user)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(connection.provider, ProviderKind::Microsoft);
    assert_eq!(
        connection.account_id,
        "9188040d-6c67-4c5b-b112-36a304b66dad.00000000-0000-4000-a000-000000000001"
    );
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
    // Nor is anybody told who was invited since the event was read here.
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
    // What nobody else sees may change in silence.
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
    // What Microsoft has no word for is refused by name.
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
        "nobody lost the way to join"
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
    // A zone that Windows has another name for stays what its maker has called it.
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

/// As the other provider has it, so here, so with Microsoft, so here again.
#[tokio::test(flavor = "multi_thread")]
async fn recurrences_survive_the_way_through_both_providers() {
    let mut options = Options::default();
    let (google, microsoft) = (
        crate::harness::google::GoogleHarness::at(Clock::System).await,
        MicrosoftHarness::at(Clock::System).await,
    );
    google.attach(&mut options);
    microsoft.attach(&mut options);
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let from = world
        .connect_account(
            &google,
            &ada,
            crate::harness::google::EMAIL,
            &[&google.primary()],
        )
        .await
        .remove(0);
    let to = world
        .connect_account(&microsoft, &ada, EMAIL, &[&microsoft.primary()])
        .await
        .remove(0);
    let rules = [
        "FREQ=DAILY;COUNT=9",
        "FREQ=DAILY;INTERVAL=3;UNTIL=20270420T120000Z",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;COUNT=30",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU;COUNT=12",
        "FREQ=WEEKLY",
        "FREQ=MONTHLY;BYMONTHDAY=1;COUNT=5",
        "FREQ=MONTHLY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1;COUNT=6",
        "FREQ=YEARLY;COUNT=3",
        "FREQ=YEARLY;BYMONTH=2;BYDAY=1MO",
    ];
    for (number, rule) in rules.iter().enumerate() {
        let title = format!("r{number}");
        google
            .insert(
                &title,
                "2027-02-01T09:00:00",
                "2027-02-01T09:30:00",
                Some(*rule),
            )
            .await;
    }
    world.sync_calendar(&ada, &from).await;
    let occurrences = async |calendar: &str| {
        let path = format!(
            "/api/v1/calendar/events?start=2027-01-01&end=2027-12-31&limit=1000&calendarIds={calendar}"
        );
        let events = world.get(&ada, &path).await.body["events"]
            .as_array()
            .unwrap()
            .clone();
        let mut found: Vec<(String, String)> = events
            .iter()
            .map(|event| {
                (
                    event["title"].as_str().unwrap().to_owned(),
                    event["startTime"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        found.sort();
        (found, events)
    };
    let (expected, events) = occurrences(&from).await;
    assert!(expected.len() > 140, "{}", expected.len());
    for number in 0..rules.len() {
        let title = format!("r{number}");
        let event = events
            .iter()
            .find(|event| event["title"] == title.as_str())
            .unwrap();
        let series = world
            .get(
                &ada,
                &format!(
                    "/api/v1/calendar/events/{}",
                    event["seriesId"].as_str().unwrap()
                ),
            )
            .await
            .body;
        let copy = json!({
            "calendarId": to, "title": title, "startTime": series["startTime"], "endTime": series["endTime"],
            "timezone": series["timezone"], "recurrenceRule": series["recurrenceRule"]
        });
        create(&world, &ada, copy).await;
    }
    assert_eq!(occurrences(&to).await.0, expected, "as they were written");
    world.post(&ada, "/api/v1/sync/reset", json!({})).await;
    world.sync_calendar(&ada, &to).await;
    assert_eq!(occurrences(&to).await.0, expected, "as Microsoft has them");
    let there = microsoft.in_january().await;
    assert_eq!(there, 0);
    assert_eq!(microsoft.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agenda_over_all_providers() {
    let mut options = Options::default();
    let (google, microsoft) = (
        crate::harness::google::GoogleHarness::at(Clock::System).await,
        MicrosoftHarness::at(Clock::System).await,
    );
    google.attach(&mut options);
    microsoft.attach(&mut options);
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let g = world
        .connect_account(
            &google,
            &ada,
            crate::harness::google::EMAIL,
            &[&google.primary()],
        )
        .await
        .remove(0);
    let m = world
        .connect_account(&microsoft, &ada, EMAIL, &[&microsoft.primary()])
        .await
        .remove(0);
    // The same week, in which the clocks of Berlin change: 28 March 2027.
    google
        .insert(
            "Google",
            "2027-03-22T09:00:00",
            "2027-03-22T10:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    microsoft
        .insert(
            "Microsoft",
            "2027-03-22T11:00:00",
            "2027-03-22T12:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    microsoft
        .insert("Holiday", "2027-03-28", "2027-03-30", None)
        .await;
    world.feeds.set_ics(
        "team.ics",
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t//EN\r\nBEGIN:VEVENT\r\nUID:f@x\r\nDTSTAMP:20270101T000000Z\r\n\
         DTSTART;TZID=Europe/Berlin:20270322T130000\r\nDTEND;TZID=Europe/Berlin:20270322T140000\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\n\
         SUMMARY:Feed\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    world.connect(&ada, "team.ics").await;
    world.sync_calendar(&ada, &g).await;
    world.sync_calendar(&ada, &m).await;
    let made = async |calendar: &str, title: &str, hour: u32| {
        let body = json!({
            "calendarId": calendar, "title": title, "startTime": format!("2027-03-29T{hour}:00:00"), "endTime": format!("2027-03-29T{hour}:30:00")
        });
        create(&world, &ada, body).await;
    };
    made(&g, "Made at Google", 15).await;
    made(&m, "Made at Microsoft", 16).await;
    let agenda = world.events(&ada, "2027-03-22", "2027-04-10").await;
    let shown: Vec<String> = agenda
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["startTime"].as_str().unwrap(),
                event["title"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2027-03-22T09:00:00+01:00 Google",
            "2027-03-22T11:00:00+01:00 Microsoft",
            "2027-03-22T13:00:00+01:00 Feed",
            "2027-03-28 Holiday",
            "2027-03-29T09:00:00+02:00 Google",
            "2027-03-29T11:00:00+02:00 Microsoft",
            "2027-03-29T13:00:00+02:00 Feed",
            "2027-03-29T15:00:00+02:00 Made at Google",
            "2027-03-29T16:00:00+02:00 Made at Microsoft",
            "2027-04-05T09:00:00+02:00 Google",
            "2027-04-05T11:00:00+02:00 Microsoft",
            "2027-04-05T13:00:00+02:00 Feed",
        ]
    );
    let stats = world
        .get(&ada, "/api/v1/calendar/calendars/stats")
        .await
        .body;
    let providers = &stats["providers"];
    assert_eq!(
        (
            &providers["GOOGLE"],
            &providers["MICROSOFT"],
            &providers["ICS"]
        ),
        (&json!(1), &json!(1), &json!(1)),
        "{stats}"
    );
    assert_eq!(
        (
            google.report().await["mails"].clone(),
            microsoft.report().await["mails"].clone()
        ),
        (json!([]), json!([]))
    );
    assert_eq!(
        (google.violations().await, microsoft.violations().await),
        (vec![], vec![])
    );
}
