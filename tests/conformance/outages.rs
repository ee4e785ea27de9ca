//! Outages: what is held, postponed, repeated and renewed while a provider fails.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::sync::sync_calendar;

use crate::harness::account::{by_hand, insert, titles, work_on};
use crate::harness::{InjectedFault, Person, ProviderHarness, World};

with_each_provider!(
    backoff_holds_whatever_is_requested,
    a_postponed_sync_is_no_failure,
    a_request_during_a_sync_is_carried_out_right_after_it,
    a_token_that_is_rejected_during_a_push_is_renewed,
    one_write_that_fails_holds_up_no_other,
);

/// Creates an event here that is still to be written.
async fn make(world: &World, ada: &Person, calendar: &str, day: u32) {
    let time = |hour| format!("2027-01-{day:02}T{hour:02}:00:00");
    let body = json!({ "calendarId": calendar, "title": "Made", "startTime": time(9), "endTime": time(10) });
    let made = world
        .post(ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    assert_eq!(made.status, 202, "{made:?}");
}

async fn backoff_holds_whatever_is_requested<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    // As many workers as there are messages: whoever requests a sync, and whichever message is received.
    let worked = async || {
        let before = side.calls("changes").await;
        work_on(&world, &ada, &calendar).await;
        side.calls("changes").await > before
    };
    for failures in 0_u32..9 {
        side.faults("changes", InjectedFault::Broken).await;
        assert!(worked().await, "after {failures} failures");
        side.control("forgive", json!({})).await;
        if failures == 0 {
            // After one failure a request is carried out at once: the outage may be over.
            continue;
        }
        let hold = 1 << (failures + 1).min(6);
        assert!(!worked().await);
        clock.advance(TimeDelta::seconds(hold - 1));
        assert!(!worked().await);
        clock.advance(TimeDelta::seconds(1));
    }
    assert!(worked().await);
    let path = format!("/api/v1/calendar/calendars/{calendar}");
    let state = world.get(&ada, &path).await.body;
    assert_eq!(state["syncStatus"], "SYNCED", "{state}");
    assert!(worked().await, "nothing holds after a success");
}

async fn a_postponed_sync_is_no_failure<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    for _ in 0..2 {
        side.faults("changes", InjectedFault::Broken).await;
        work_on(&world, &ada, &calendar).await;
        side.control("forgive", json!({})).await;
    }
    let cursor = async || {
        let state = world.stack.context.store.calendar(user, id).await;
        state.unwrap().unwrap().cursor
    };
    let failed = cursor().await;
    work_on(&world, &ada, &calendar).await;
    let now = cursor().await;
    assert_eq!(
        (
            now.failures,
            now.last_error,
            now.next_sync_at,
            now.held_until
        ),
        (2, failed.last_error, failed.next_sync_at, failed.held_until)
    );
    assert!(now.requested > now.completed, "it is still requested");
    clock.advance(TimeDelta::seconds(5));
    work_on(&world, &ada, &calendar).await;
    let now = cursor().await;
    assert_eq!(
        (now.failures, now.last_error, now.held_until),
        (0, None, None)
    );
    assert_eq!(now.completed, now.requested);
}

async fn a_request_during_a_sync_is_carried_out_right_after_it<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let worker = world.stack.worker(clock.clone()).unwrap();
    side.control("hold", json!(0)).await;
    let slow = tokio::spawn(async move { Box::pin(sync_calendar(&worker, user, id)).await });
    while side.report().await["isHolding"] != true {
        tokio::task::yield_now().await;
    }
    // Its list of changes has been read before this event was made.
    insert(&side, "Late", 7).await;
    let path = format!("/api/v1/calendar/calendars/{calendar}/sync");
    world.post(&ada, &path, json!({})).await;
    // The message meets the lease of the running sync.
    world.stack.work().await;
    side.control("hold", Value::Null).await;
    slow.await.unwrap().unwrap();
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Late"]);
}

async fn a_token_that_is_rejected_during_a_push_is_renewed<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    make(&world, &ada, &calendar, 5).await;
    side.faults("insert", InjectedFault::Rejected).await;
    let tokens = side.calls("token").await;
    work_on(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await, ["Made"], "in the same run");
    assert_eq!(side.calls("token").await, tokens + 1);
}

async fn one_write_that_fails_holds_up_no_other<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    for day in 4..7 {
        make(&world, &ada, &calendar, day).await;
    }
    side.faults("insert", InjectedFault::Broken).await;
    work_on(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await.len(), 2);
    // A provider that asks for a pause is not called for the others either.
    side.faults("insert", InjectedFault::Throttled).await;
    let before = side.calls("insert").await;
    clock.advance(TimeDelta::minutes(5));
    work_on(&world, &ada, &calendar).await;
    assert_eq!(side.calls("insert").await, before + 1);
    clock.advance(TimeDelta::minutes(5));
    work_on(&world, &ada, &calendar).await;
    assert_eq!(side.titles().await.len(), 3);
}
