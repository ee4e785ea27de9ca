//! Writes to the provider, and conflicts between changes on both sides.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::account::{by_hand, connected, create, insert, synced, titles};
use crate::harness::{EventChange, InjectedFault, ProviderHarness};

with_each_provider!(
    both_sides_change_the_same_and_nothing_is_lost,
    of_many_writers_with_one_tag_one_succeeds,
    an_invitation_is_answered,
    a_second_edit_keeps_what_the_first_asked_for,
);

async fn both_sides_change_the_same_and_nothing_is_lost<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let id = insert(&side, "Plan", 4).await;
    synced(&world, &ada, &calendar).await;
    let seen = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let path = format!("/api/v1/calendar/events/{}", seen["id"].as_str().unwrap());
    let tag = seen["etag"].as_str().unwrap().to_owned();
    let body = json!({ "title": "Mine", "location": "Here" });
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(body.clone())
            )
            .await
            .status,
        202
    );
    let old = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("if-match", tag),
    ];
    let stale = world
        .send(
            "PUT",
            &format!("{path}?wait=0"),
            &old,
            Some(body.to_string()),
        )
        .await;
    assert_eq!(
        (stale.status, &stale.body["type"]),
        (412, &json!("precondition-failed"))
    );
    side.change(&id, EventChange::Title("Theirs")).await;
    side.change(&id, EventChange::Description("More")).await;
    synced(&world, &ada, &calendar).await;
    let merged = world.get(&ada, &path).await.body;
    assert_eq!(
        (
            &merged["title"],
            &merged["location"],
            &merged["description"]
        ),
        (&json!("Theirs"), &json!("Here"), &json!("More"))
    );
    assert_eq!(
        (&merged["keptEdit"]["fields"], &merged["keptEdit"]["title"]),
        (&json!(["title"]), &json!("Mine")),
        "{merged}"
    );
    let there = side.read(&id).await;
    assert_eq!(
        (there.title.as_str(), there.location.as_str()),
        ("Theirs", "Here")
    );
    // Deleted at the provider and changed here: kept as FAILED with instructions, and recreated by retry-sync.
    assert_eq!(
        world
            .call(
                "PUT",
                &format!("{path}?wait=0"),
                Some(&ada.token),
                Some(json!({ "title": "Again" }))
            )
            .await
            .status,
        202
    );
    assert!(side.remove(&id).await.is_success());
    synced(&world, &ada, &calendar).await;
    let kept = world.get(&ada, &path).await.body;
    assert_eq!(
        (&kept["syncStatus"], &kept["title"]),
        (&json!("FAILED"), &json!("Again"))
    );
    assert!(
        kept["syncError"]
            .as_str()
            .unwrap()
            .contains("Retry to create it anew"),
        "{kept}"
    );
    assert_eq!(
        world
            .post(&ada, &format!("{path}/retry-sync?wait=0"), json!({}))
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Again"]);
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    // A full sync may list the tombstone of the deleted event again; it does not affect the new one.
    assert_eq!(
        world
            .post(&ada, "/api/v1/sync/reset", json!({}))
            .await
            .status,
        202
    );
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Again"]);
}

async fn of_many_writers_with_one_tag_one_succeeds<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let weekly = json!({
        "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T09:00:00", "endTime": "2027-01-04T10:00:00",
        "recurrence": { "frequency": "WEEKLY", "byDay": ["MO"], "count": 3 }
    });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", weekly)
            .await
            .status,
        202
    );
    let seen = world.events(&ada, "2027-01-01", "2027-03-01").await;
    assert_eq!(seen.len(), 3, "a count is an end");
    // First the occurrence without an override, then its override.
    for (round, event) in [&seen[1], &seen[1]].into_iter().enumerate() {
        let path = format!("/api/v1/calendar/events/{}", event["id"].as_str().unwrap());
        let tag = world.get(&ada, &path).await.headers["etag"]
            .to_str()
            .unwrap()
            .to_owned();
        let headers = [
            ("authorization", format!("Bearer {}", ada.token)),
            ("if-match", tag),
        ];
        let write = |number: usize| {
            let body = json!({ "title": format!("Writer {number} of round {round}") }).to_string();
            let (world, path, headers) = (&world, format!("{path}?wait=0"), &headers);
            async move { world.send("PUT", &path, headers, Some(body)).await.status }
        };
        let mut statuses = futures::future::join_all((0..6).map(write)).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 412, 412, 412, 412, 412]);
    }
    drop(side);
}

async fn an_invitation_is_answered<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let invited = side
        .invite("Review", "2027-01-05T09:00:00", "2027-01-05T10:00:00")
        .await;
    world.sync_calendar(&ada, &calendar).await;
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let own = |event: &Value| {
        event["attendees"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["isSelf"] == true)
            .unwrap()["rsvpStatus"]
            .clone()
    };
    assert_eq!(own(&event), "NEEDS_ACTION");
    let path = format!(
        "/api/v1/calendar/events/{}/rsvp",
        event["id"].as_str().unwrap()
    );
    let quiet = json!({ "response": "tentative", "comment": "Perhaps", "notify": false });
    let answered = world.post(&ada, &path, quiet).await;
    assert_eq!(
        (
            answered.status,
            own(&answered.body),
            &answered.body["syncStatus"]
        ),
        (200, json!("TENTATIVE"), &json!("SYNCED")),
        "{answered:?}"
    );
    assert_eq!(
        side.report().await["mails"],
        json!([]),
        "nobody is told who should not be"
    );
    let answered = world
        .post(&ada, &path, json!({ "response": "accepted" }))
        .await;
    assert_eq!(
        (answered.status, own(&answered.body)),
        (200, json!("ACCEPTED")),
        "{answered:?}"
    );
    assert_eq!(side.answer(&invited).await, "accepted");
    assert_eq!(
        side.report().await["mails"].as_array().unwrap().len(),
        1,
        "the organizer is told"
    );
    for wrong in [json!("perhaps"), json!(null), json!(5)] {
        let refused = world.post(&ada, &path, json!({ "response": wrong })).await;
        assert_eq!(
            (refused.status, &refused.body["errors"][0]["field"]),
            (422, &json!("response")),
            "{wrong}"
        );
    }
    // Only attendees can respond to an event.
    let body = json!({ "calendarId": calendar, "title": "Own", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let own_event = create(&world, &ada, body).await;
    let refused = world
        .post(
            &ada,
            &format!(
                "/api/v1/calendar/events/{}/rsvp",
                own_event["id"].as_str().unwrap()
            ),
            json!({ "response": "accepted" }),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["field"]),
        (422, &json!("response"))
    );
    let declined = world
        .post(&ada, &path, json!({ "response": "declined" }))
        .await;
    assert_eq!(
        (declined.status, own(&declined.body)),
        (200, json!("DECLINED")),
        "{declined:?}"
    );
    let still = world.events(&ada, "2027-01-05", "2027-01-06").await;
    assert!(
        still.iter().all(|event| event["isBusy"] == false),
        "what is declined takes no time: {still:?}"
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn a_second_edit_keeps_what_the_first_asked_for<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.insert("First", "2027-01-05T09:00:00", "2027-01-05T10:00:00", None)
        .await;
    synced(&world, &ada, &calendar).await;
    // No push triggers a pull in between.
    side.control("mute", json!({})).await;
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        event["id"].as_str().unwrap()
    );
    let rename = async |title: &str| {
        let answer = world
            .call(
                "PUT",
                &path,
                Some(&ada.token),
                Some(json!({ "title": title })),
            )
            .await;
        assert_eq!(answer.status, 202, "{answer:?}");
    };
    // The first edit is written, but its response is lost; the second one may restore the former value.
    for second in ["Third", "Fourth", "Third"] {
        side.faults("update", InjectedFault::Lost).await;
        rename("Second").await;
        world.stack.work().await;
        assert_eq!(side.titles().await, ["Second"]);
        rename(second).await;
        clock.advance(TimeDelta::minutes(4));
        synced(&world, &ada, &calendar).await;
        assert_eq!(side.titles().await, [second]);
        assert_eq!(titles(&world, &ada).await, [second]);
    }
    let event = world
        .events(&ada, "2027-01-01", "2027-02-01")
        .await
        .remove(0);
    assert_eq!(
        (&event["syncStatus"], &event["keptEdit"]),
        (&json!("SYNCED"), &Value::Null),
        "{event}"
    );
    // The same with a deletion after a change, and after a creation.
    side.faults("update", InjectedFault::Lost).await;
    rename("Last").await;
    world.stack.work().await;
    assert_eq!(side.titles().await, ["Last"]);
    assert_eq!(
        world
            .call("DELETE", &path, Some(&ada.token), None)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        (side.titles().await, titles(&world, &ada).await),
        (vec![], vec![])
    );
    side.faults("insert", InjectedFault::Lost).await;
    let body = json!({ "calendarId": calendar, "title": "New", "startTime": "2027-01-06T09:00:00", "endTime": "2027-01-06T10:00:00" });
    let made = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await
        .body;
    world.stack.work().await;
    assert_eq!(side.titles().await, ["New"]);
    let path = format!(
        "/api/v1/calendar/events/{}?wait=0",
        made["id"].as_str().unwrap()
    );
    assert_eq!(
        world
            .call("DELETE", &path, Some(&ada.token), None)
            .await
            .status,
        202
    );
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        (side.titles().await, titles(&world, &ada).await),
        (vec![], vec![])
    );
}
