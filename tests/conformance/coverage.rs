//! Coverage: what is known of a window, and what is read of it on request.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::calendar::SyncStatus;

use crate::harness::account::{by_hand, insert, synced, titles, work_on};
use crate::harness::{EventChange, InjectedFault, Person, ProviderHarness, World};

with_each_provider!(
    what_has_not_been_read_is_not_shown_as_free,
    what_is_earlier_is_read_on_request,
    a_calendar_that_was_never_read_is_not_empty,
    a_connected_calendar_that_is_selected_again_does_not_change,
    an_outage_leaves_no_gap_in_what_counts_as_read,
    pages_that_differ_in_what_has_been_read_are_not_complete,
    the_far_edge_is_asked_for_once,
    a_stretch_that_cannot_be_read_costs_nothing_else,
);

/// Returns the starts of a window's events, and the coverage of the only calendar.
async fn window(world: &World, ada: &Person, start: &str, end: &str) -> (Vec<String>, Value) {
    let path = format!("/api/v1/calendar/events?start={start}&end={end}");
    let answer = world.get(ada, &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.body["events"].as_array().unwrap();
    let start = |event: &Value| event["startTime"].as_str().unwrap()[..16].to_owned();
    let coverage = answer.body["coverage"].as_array().unwrap();
    assert_eq!(coverage.len(), 1);
    (events.iter().map(start).collect(), coverage[0].clone())
}

fn is(coverage: &Value, is_complete: bool, is_being_read: bool) {
    let found = (&coverage["isComplete"], &coverage["isBeingRead"]);
    assert_eq!(
        found,
        (&json!(is_complete), &json!(is_being_read)),
        "{coverage}"
    );
}

async fn what_has_not_been_read_is_not_shown_as_free<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let (start, end) = ("2027-01-04T09:00:00", "2027-01-04T10:00:00");
    let series = side.insert("Weekly", start, end, Some("FREQ=WEEKLY")).await;
    // Far ahead, an occurrence is moved, and another one cancelled.
    let moved = S::occurrence(&series, "2028-06-05T09:00:00");
    let times = EventChange::Times("2028-06-06T14:00:00", "2028-06-06T15:00:00");
    assert!(side.change(&moved, times).await.is_success());
    let cancelled = S::occurrence(&series, "2028-06-12T09:00:00");
    assert!(side.remove(&cancelled).await.is_success());
    synced(&world, &ada, &calendar).await;
    let (starts, coverage) = window(&world, &ada, "2027-06-01", "2027-07-01").await;
    assert_eq!(starts.len(), 4);
    is(&coverage, true, false);

    // Beyond the window, the series ends with what is known, and more is read.
    let (starts, coverage) = window(&world, &ada, "2027-12-20", "2028-01-15").await;
    assert_eq!(starts, ["2027-12-20T09:00", "2027-12-27T09:00"]);
    is(&coverage, false, true);
    let (starts, coverage) = window(&world, &ada, "2028-06-01", "2028-07-01").await;
    assert_eq!(starts, Vec::<String>::new());
    is(&coverage, false, true);
    let pages = side.calls("changes").await;
    world.stack.work().await;
    let read = side.calls("changes").await;
    assert!(read > pages);
    let expected = ["2028-06-06T14:00", "2028-06-19T09:00", "2028-06-26T09:00"];
    for _ in 0..2 {
        let (starts, coverage) = window(&world, &ada, "2028-06-01", "2028-07-01").await;
        assert_eq!(starts, expected);
        is(&coverage, true, false);
        world.stack.work().await;
        assert_eq!(side.calls("changes").await, read, "it is read once");
    }

    // A change there arrives like any other.
    let times = EventChange::Times("2028-06-20T09:00:00", "2028-06-20T10:00:00");
    let moved = S::occurrence(&series, "2028-06-19T09:00:00");
    assert!(side.change(&moved, times).await.is_success());
    synced(&world, &ada, &calendar).await;
    let (starts, _) = window(&world, &ada, "2028-06-01", "2028-07-01").await;
    assert_eq!(starts[1], "2028-06-20T09:00");

    // What is too far away is not read, and not shown as if it were.
    let (starts, coverage) = window(&world, &ada, "2040-01-01", "2040-02-01").await;
    assert_eq!(starts, Vec::<String>::new());
    is(&coverage, false, false);

    // Later the window is the regular one again.
    clock.advance(TimeDelta::days(31));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    let (_, coverage) = window(&world, &ada, "2027-02-01", "2027-03-01").await;
    assert_eq!(&coverage["to"].as_str().unwrap()[..10], "2028-02-01");
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn what_is_earlier_is_read_on_request<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    let (start, end) = ("2026-03-02T09:00:00", "2026-03-02T10:00:00");
    side.insert("Old", start, end, None).await;
    let rule = Some("FREQ=WEEKLY;COUNT=3");
    side.insert("Weekly", start, end, rule).await;
    synced(&world, &ada, &calendar).await;
    let (starts, coverage) = window(&world, &ada, "2026-03-01", "2026-04-01").await;
    assert_eq!(starts, Vec::<String>::new());
    is(&coverage, false, true);
    world.stack.work().await;
    let (starts, coverage) = window(&world, &ada, "2026-03-01", "2026-04-01").await;
    let days = ["2026-03-02", "2026-03-02", "2026-03-09", "2026-03-16"];
    assert_eq!(starts, days.map(|day| format!("{day}T09:00")));
    is(&coverage, true, false);

    // It is kept as history once the window has moved on.
    let mut ada = ada;
    for _ in 0..4 {
        clock.advance(TimeDelta::days(8));
        ada = world.sign_in(&ada).await;
        synced(&world, &ada, &calendar).await;
    }
    let (starts, coverage) = window(&world, &ada, "2026-03-01", "2026-04-01").await;
    assert_eq!(starts.len(), 4);
    is(&coverage, true, false);
}

async fn a_calendar_that_was_never_read_is_not_empty<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let path = format!("/api/v1/calendar/calendars/{calendar}");
    let gone = world.call("DELETE", &path, Some(&ada.token), None).await;
    assert_eq!(gone.status, 204);
    world.stack.work().await;
    world
        .choose(&side, &ada, S::EMAIL, &[&side.primary()])
        .await;
    let (_, coverage) = window(&world, &ada, "2027-01-01", "2027-02-01").await;
    is(&coverage, false, true);
    assert_eq!(
        (&coverage["from"], &coverage["syncStatus"]),
        (&Value::Null, &json!("PENDING"))
    );
    synced(&world, &ada, &calendar).await;
    let (_, coverage) = window(&world, &ada, "2027-01-01", "2027-02-01").await;
    is(&coverage, true, false);
    let upcoming = world
        .get(&ada, "/api/v1/calendar/events/upcoming")
        .await
        .body;
    is(&upcoming["coverage"][0], true, false);
}

async fn an_outage_leaves_no_gap_in_what_counts_as_read<S: ProviderHarness>() {
    let (world, mut side, ada, calendar, clock) = by_hand::<S>().await;
    synced(&world, &ada, &calendar).await;
    // For nine months nothing is synced. What was made and passed meanwhile is not in the next window.
    clock.advance(TimeDelta::days(270));
    side.sign_in().await;
    let (start, end) = ("2027-03-02T09:00:00", "2027-03-02T10:00:00");
    side.insert("Meanwhile", start, end, None).await;
    let expired = json!({ "calendarId": side.primary() });
    side.control("expire", expired).await;
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    let (starts, coverage) = window(&world, &ada, "2027-03-01", "2027-04-01").await;
    assert_eq!(starts, Vec::<String>::new());
    is(&coverage, false, true);
    world.stack.work().await;
    let (starts, coverage) = window(&world, &ada, "2027-03-01", "2027-04-01").await;
    assert_eq!(starts, ["2027-03-02T09:00"]);
    is(&coverage, true, false);
}

async fn pages_that_differ_in_what_has_been_read_are_not_complete<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    for day in ["2027-12-30", "2027-12-31", "2028-01-03", "2028-01-04"] {
        let (start, end) = (format!("{day}T09:00:00"), format!("{day}T10:00:00"));
        side.insert("One", &start, &end, None).await;
    }
    synced(&world, &ada, &calendar).await;
    let list = "/api/v1/calendar/events?start=2027-12-01&end=2028-02-01&limit=1";
    let first = world.get(&ada, list).await.body;
    is(&first["coverage"][0], false, true);
    let next = first["nextCursor"].as_str().unwrap();
    world.stack.work().await;
    let second = world.get(&ada, &format!("{list}&cursor={next}")).await.body;
    is(&second["coverage"][0], false, false);
    let again = world.get(&ada, list).await.body;
    is(&again["coverage"][0], true, false);
    let next = again["nextCursor"].as_str().unwrap();
    let second = world.get(&ada, &format!("{list}&cursor={next}")).await.body;
    is(&second["coverage"][0], true, false);
}

async fn the_far_edge_is_asked_for_once<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    synced(&world, &ada, &calendar).await;
    let far = ("2029-12-01", "2030-02-01");
    window(&world, &ada, far.0, far.1).await;
    world.stack.work().await;
    let pages = side.calls("changes").await;
    for _ in 0..3 {
        clock.advance(TimeDelta::minutes(1));
        let (_, coverage) = window(&world, &ada, far.0, far.1).await;
        is(&coverage, false, false);
        world.stack.work().await;
        assert_eq!(side.calls("changes").await, pages);
    }
}

async fn a_stretch_that_cannot_be_read_costs_nothing_else<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    synced(&world, &ada, &calendar).await;
    // The list of changes is read, and then the full sync fails.
    let (_, coverage) = window(&world, &ada, "2028-06-01", "2028-07-01").await;
    is(&coverage, false, true);
    insert(&side, "There", 4).await;
    let body = json!({ "calendarId": calendar, "title": "Here", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    world
        .post(&ada, "/api/v1/calendar/events?wait=0", body)
        .await;
    let broken = S::fault("changes", InjectedFault::Broken);
    let mut first = broken.clone();
    first["skip"] = json!(1);
    let faults = json!([first, broken, broken, broken]);
    side.control("faults", faults).await;
    let cursor = work_on(&world, &ada, &calendar).await;
    assert_eq!(
        (cursor.status, cursor.last_error),
        (SyncStatus::Synced, None)
    );
    assert_eq!(titles(&world, &ada).await, ["There", "Here"]);
    assert!(side.titles().await.contains(&"Here".to_owned()));
}

async fn a_connected_calendar_that_is_selected_again_does_not_change<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    synced(&world, &ada, &calendar).await;
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let state = async || {
        let state = world.stack.context.store.calendar(user, id).await;
        let state = state.unwrap().unwrap();
        (state.calendar.connected_at, state.cursor.sync_state)
    };
    let before = state().await;
    assert!(before.1.is_some());
    let again = world
        .choose(&side, &ada, S::EMAIL, &[&side.primary()])
        .await;
    assert_eq!(again, [calendar]);
    assert_eq!(state().await, before);
    let (_, coverage) = window(&world, &ada, "2027-01-01", "2027-02-01").await;
    is(&coverage, true, false);
}
