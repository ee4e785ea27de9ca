//! Delta rounds: such as real mailboxes were seen to answer (docs/microsoft.md).

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{starts, weekly};
use crate::harness::account::{by_hand, insert, synced, titles};
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{EventChange, InjectedFault, Person, ProviderHarness, World};

#[tokio::test(flavor = "multi_thread")]
async fn delta_rounds_that_never_end_are_given_up() {
    let (world, mut side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    side.control("pages", json!(20)).await;
    side.insert(
        "Daily",
        "2027-01-01T09:00:00",
        "2027-01-01T10:00:00",
        Some("FREQ=DAILY"),
    )
    .await;
    let once = side
        .insert("Once", "2027-01-05T12:00:00", "2027-01-05T13:00:00", None)
        .await;
    endless(&side, true).await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    let warnings = state["warnings"].to_string();
    assert!(warnings.contains("changes"), "{warnings}");
    assert_eq!(starts(&world, &ada).await.len(), 32);
    assert!(side.calls("changes").await < 10, "the round is given up");

    // Until the next try of a delta query each sync reads all that is there, and follows changes and removals.
    let calls = side.calls("changes").await;
    assert!(
        side.change(&once, EventChange::Title("Renamed"))
            .await
            .is_success()
    );
    synced(&world, &ada, &calendar).await;
    assert!(titles(&world, &ada).await.contains(&"Renamed".to_owned()));
    assert!(side.remove(&once).await.is_success());
    let made = create_by_hand(&world, &ada, &calendar).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(starts(&world, &ada).await.len(), 32, "one gone, one made");
    assert_eq!(side.calls("changes").await, calls);
    let shown = world
        .get(&ada, &format!("/api/v1/calendar/events/{made}"))
        .await;
    assert_eq!(shown.body["syncStatus"], "SYNCED", "{shown:?}");

    // The next day's try meets a calendar that has healed: the warning goes, and changes are read incrementally.
    endless(&side, false).await;
    clock.advance(TimeDelta::hours(25));
    side.sign_in().await;
    let ada = world.sign_in(&ada).await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["warnings"], json!([]), "{state}");
    let reads = side.calls("events.get").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.calls("events.get").await, reads);

    // An incremental round may be endless too.
    endless(&side, true).await;
    side.insert("Late", "2027-01-06T12:00:00", "2027-01-06T13:00:00", None)
        .await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert!(titles(&world, &ada).await.contains(&"Late".to_owned()));
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

/// Has the delta rounds of the primary calendar never end.
async fn endless(side: &MicrosoftHarness, is_endless: bool) {
    let body = json!({ "calendarId": side.primary(), "isEndless": is_endless });
    side.control("endless", body).await;
}

async fn create_by_hand(world: &World, ada: &Person, calendar: &str) -> String {
    let body = json!({ "calendarId": calendar, "title": "Made", "startTime": "2027-01-07T12:00:00", "endTime": "2027-01-07T13:00:00" });
    let made = world
        .post(ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    made.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_503_in_the_middle_of_a_round_is_no_failure() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    side.control("pages", json!(2)).await;
    for day in 4..10 {
        insert(&side, "One", day).await;
    }
    let before = side.calls("changes").await;
    let once = MicrosoftHarness::fault("changes", InjectedFault::Broken);
    side.control("faults", json!([once])).await;
    let state = synced(&world, &ada, &calendar).await;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert_eq!(state["lastError"], Value::Null);
    assert!(
        side.calls("changes").await > before + 3,
        "pages, and one again"
    );
    assert_eq!(titles(&world, &ada).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_deletions_cause_no_full_sync() {
    let (world, mut side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let mut ada = ada;
    let mut made = vec![];
    for day in 4..14 {
        let body = json!({ "calendarId": calendar, "title": "One", "startTime": format!("2027-01-{day:02}T09:00:00"), "endTime": format!("2027-01-{day:02}T10:00:00") });
        let answer = world
            .post(&ada, "/api/v1/calendar/events?wait=0", body)
            .await;
        made.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    let body = json!({ "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T12:00:00", "endTime": "2027-01-04T13:00:00", "recurrenceRule": "FREQ=WEEKLY;COUNT=4" });
    let answer = world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    made.push(answer.body["id"].as_str().unwrap().to_owned());
    // A series that is made and deleted at Microsoft.
    let theirs = weekly(&side).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 18);
    for id in &made {
        let path = format!("/api/v1/calendar/events/{id}?wait=0");
        let answer = world.call("DELETE", &path, Some(&ada.token), None).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    assert!(side.remove(&theirs).await.is_success());
    synced(&world, &ada, &calendar).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.all().await.len(), 0);
    for _ in 0..3 {
        clock.advance(TimeDelta::hours(25));
        side.sign_in().await;
        ada = world.sign_in(&ada).await;
        let (reads, calls) = (side.full_reads().await, side.calls("changes").await);
        synced(&world, &ada, &calendar).await;
        assert_eq!(side.full_reads().await, reads, "no full sync");
        assert!(side.calls("changes").await > calls);
    }
}
