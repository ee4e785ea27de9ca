//! Reading a calendar: full and incremental syncs, and when they run.

use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::domain::ids::UserId;
use shared::store::cursors::SyncReport;
use shared::store::keys::DueKind;

use crate::harness::account::{by_hand, connected, create, insert, put, synced, titles};
use crate::harness::{EventChange, InjectedFault, ProviderHarness};

with_each_provider!(
    all_day_event_shifts_by_a_day,
    sync_token_invalid_swallowed,
    empty_or_failed_fetch_wipes_the_calendar,
    delete_and_recreate_on_each_run,
    a_burst_of_notifications_makes_one_pull,
    stale_data_after_a_webhook_dies,
    same_token_used_for_differently_filtered_lists,
    a_full_read_in_short_pages_forgets_nothing,
    updates_silently_stop,
);

async fn all_day_event_shifts_by_a_day<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let body = json!({ "calendarId": calendar, "title": "Over the change", "startTime": "2027-03-27", "endTime": "2027-03-30", "isAllDay": true });
    let made = create(&world, &ada, body).await;
    assert_eq!(
        (&made["startTime"], &made["endTime"]),
        (&json!("2027-03-27"), &json!("2027-03-30"))
    );
    let there = side.all().await.remove(0);
    assert_eq!(there.start, "2027-03-27");
    // From all-day to timed and back: no field of the other kind remains.
    let times = json!({ "startTime": "2027-03-28T01:30:00", "endTime": "2027-03-28T03:30:00", "isAllDay": false });
    let timed = put(&world, &ada, made["id"].as_str().unwrap(), times).await;
    assert_eq!(
        (&timed["startTime"], &timed["endTime"]),
        (
            &json!("2027-03-28T01:30:00+01:00"),
            &json!("2027-03-28T03:30:00+02:00")
        )
    );
    assert_eq!(side.read(&there.id).await.start, "2027-03-28T01:30:00");
    let whole = put(
        &world,
        &ada,
        made["id"].as_str().unwrap(),
        json!({ "isAllDay": true }),
    )
    .await;
    assert_eq!(
        (&whole["startTime"], &whole["endTime"]),
        (&json!("2027-03-28"), &json!("2027-03-29")),
        "the days that it touches"
    );
    assert!(
        side.change(&there.id, EventChange::Times("2027-03-28", "2027-03-29"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-28", "2027-03-29").await;
    assert_eq!(
        (
            &seen[0]["startTime"],
            &seen[0]["endTime"],
            &seen[0]["isAllDay"]
        ),
        (&json!("2027-03-28"), &json!("2027-03-29"), &json!(true))
    );
    // A series with an occurrence that is cancelled at the provider.
    let daily = side
        .insert(
            "Daily",
            "2027-03-26",
            "2027-03-27",
            Some("FREQ=DAILY;COUNT=5"),
        )
        .await;
    assert!(
        side.remove(&S::occurrence(&daily, "2027-03-28"))
            .await
            .is_success()
    );
    world.sync_calendar(&ada, &calendar).await;
    let seen = world.events(&ada, "2027-03-20", "2027-04-10").await;
    let days: Vec<_> = seen
        .iter()
        .filter(|event| event["title"] == "Daily")
        .map(|event| event["startTime"].as_str().unwrap())
        .collect();
    assert_eq!(
        days,
        ["2027-03-26", "2027-03-27", "2027-03-29", "2027-03-30"]
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

async fn sync_token_invalid_swallowed<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let mut ids = Vec::new();
    for day in 4..8 {
        ids.push(insert(&side, &format!("Day {day}"), day).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    // Deleted without being listed as a change, and the sync token has expired.
    side.control(
        "silence",
        json!({ "calendarId": side.primary(), "eventId": ids[1] }),
    )
    .await;
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    let stats = world.sync_calendar(&ada, &calendar).await["stats"].clone();
    assert_eq!(
        (&stats["deleted"], &stats["unchanged"], &stats["created"]),
        (&json!(1), &json!(3), &json!(0)),
        "{stats}"
    );
    assert_eq!(titles(&world, &ada).await, ["Day 4", "Day 6", "Day 7"]);
    assert_eq!(
        world.sync_calendar(&ada, &calendar).await["stats"]["deleted"],
        0
    );
}

async fn empty_or_failed_fetch_wipes_the_calendar<S: ProviderHarness>() {
    let (world, side, ada, calendar) = connected::<S>().await;
    let mut ids = Vec::new();
    for day in 1..=25 {
        ids.push(insert(&side, &format!("{day}"), day).await);
    }
    world.sync_calendar(&ada, &calendar).await;
    side.faults("changes", InjectedFault::Broken).await;
    assert_eq!(
        world.sync_calendar(&ada, &calendar).await["syncStatus"],
        "FAILED"
    );
    assert_eq!(titles(&world, &ada).await.len(), 25);
    // A full sync that lacks most events only removes them once a second one confirms it.
    for id in &ids[..20] {
        side.control(
            "silence",
            json!({ "calendarId": side.primary(), "eventId": id }),
        )
        .await;
    }
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    let first = world.sync_calendar(&ada, &calendar).await;
    assert!(
        first["warnings"][0]
            .as_str()
            .unwrap()
            .contains("kept until it says so a second time"),
        "{first}"
    );
    assert_eq!(titles(&world, &ada).await.len(), 25);
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await.len(), 5);
}

async fn delete_and_recreate_on_each_run<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    for day in 4..8 {
        insert(&side, &format!("Day {day}"), day).await;
    }
    side.insert(
        "Series",
        "2027-01-04T12:00:00",
        "2027-01-04T13:00:00",
        Some("FREQ=WEEKLY;COUNT=9"),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    let (user, id): (UserId, _) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let app = &world.stack.context;
    let (calls, meter) = (side.report().await["calls"].clone(), app.store.meter());
    meter.take();
    let shared::sync::SyncOutcome::Completed(cursor) =
        shared::sync::sync_calendar(app, user, id).await.unwrap()
    else {
        panic!("synced")
    };
    let (reads, writes, _) = meter.take();
    assert_eq!(
        (
            cursor.stats.created,
            cursor.stats.updated,
            cursor.stats.deleted
        ),
        (0, 0, 0)
    );
    // Writes: the lease, the cursor with both its index entries, and a permit where the provider caps concurrent syncs.
    let permit = f64::from(u8::from(
        side.session().capabilities().max_concurrent_syncs.is_some(),
    ));
    assert!(
        writes <= 6.0 + 2.0 * permit && reads <= 5.0 + permit,
        "{writes} write and {reads} read units"
    );
    let after = side.report().await["calls"].clone();
    let made: u64 = after
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, count)| count.as_u64().unwrap() - calls[name].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(made, S::CALLS_AT_REST as u64, "{calls} {after}");
}

async fn a_burst_of_notifications_makes_one_pull<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    assert_eq!(side.report().await["channels"], 1);
    let before = side.calls("changes").await;
    let id = insert(&side, "Busy", 4).await;
    for number in 0..20 {
        side.change(&id, EventChange::Title(&format!("Busy {number}")))
            .await;
    }
    // The pushes arrive in the background, so wait for the last one.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.stack.work().await;
    let pages = side.calls("changes").await - before;
    // A pull may begin with an empty page.
    assert!(
        (1..=3).contains(&pages),
        "21 notifications made {pages} calls"
    );
    assert_eq!(titles(&world, &ada).await, ["Busy 19"]);
    drop(calendar);
}

async fn stale_data_after_a_webhook_dies<S: ProviderHarness>() {
    let (world, side, ada, calendar, clock) = by_hand::<S>().await;
    side.control("mute", json!({})).await;
    insert(&side, "Unannounced", 4).await;
    clock.advance(TimeDelta::minutes(70));
    let ada = world.sign_in(&ada).await;
    let stale = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        stale["lastSyncedAt"], "2027-01-01T00:00:00Z",
        "every answer says how fresh it is"
    );
    assert_eq!(reconcile::run(world.stack.schedule()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Unannounced"]);
    let fresh = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(fresh["lastSyncedAt"], "2027-01-01T01:10:00Z");
}

async fn same_token_used_for_differently_filtered_lists<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    insert(&side, "Kept", 4).await;
    synced(&world, &ada, &calendar).await;
    // A sync state of another query, as an earlier version may have stored it: its token is not used.
    let (user, id) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let store = &world.stack.context.store;
    let lease = store.acquire_lease(user, id).await.unwrap().unwrap();
    let sync_state = lease.cursor().sync_state.clone().unwrap();
    let other = shared::domain::sync_state::SyncState {
        query: "instances".to_owned(),
        token: "not even a token".to_owned(),
        ..sync_state
    };
    let success = shared::store::cursors::SyncSuccess {
        sync_state: Some(other),
        ..Default::default()
    };
    let next = "2027-02-01T00:00:00Z".parse().unwrap();
    let ending = SyncReport {
        success: Some(success),
        next_sync_at: next,
        ..SyncReport::postponed(next, TimeDelta::zero())
    };
    store.finish_sync(lease, &ending).await.unwrap();
    assert_eq!(
        synced(&world, &ada, &calendar).await["syncStatus"],
        "SYNCED"
    );
    assert_eq!(titles(&world, &ada).await, ["Kept"]);
    assert_eq!(side.violations().await, Vec::<Value>::new());
    let due = store.due(DueKind::Feed, 0, next, 10).await.unwrap();
    assert!(due.is_empty(), "accounts are not in the feeds' index");
}

async fn a_full_read_in_short_pages_forgets_nothing<S: ProviderHarness>() {
    let (world, side, ada, calendar, _) = by_hand::<S>().await;
    let series = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=4"),
        )
        .await;
    insert(&side, "Between", 5).await;
    assert!(
        side.remove(&S::occurrence(&series, "2027-01-11T09:00:00"))
            .await
            .is_success()
    );
    let moved = EventChange::Times("2027-01-19T09:00:00", "2027-01-19T10:00:00");
    assert!(
        side.change(&S::occurrence(&series, "2027-01-18T09:00:00"), moved)
            .await
            .is_success()
    );
    // Created here beyond the end of the sync window: a full sync does not list it, but must not remove it.
    let far = json!({ "calendarId": calendar, "title": "Far", "startTime": "2028-08-01T09:00:00", "endTime": "2028-08-01T10:00:00" });
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/events?wait=0", far)
            .await
            .status,
        202
    );
    for limit in [1, 2, 3] {
        side.control("pages", json!(limit)).await;
        assert_eq!(
            world
                .post(&ada, "/api/v1/sync/reset", json!({}))
                .await
                .status,
            202
        );
        synced(&world, &ada, &calendar).await;
        let seen = world.events(&ada, "2027-01-01", "2027-02-01").await;
        let starts: Vec<_> = seen
            .iter()
            .map(|event| &event["startTime"].as_str().unwrap()[..10])
            .collect();
        assert_eq!(
            starts,
            ["2027-01-04", "2027-01-05", "2027-01-19", "2027-01-25"],
            "pages of {limit}"
        );
        assert_eq!(
            world.events(&ada, "2028-07-01", "2028-09-01").await.len(),
            1,
            "pages of {limit}"
        );
    }
}

async fn updates_silently_stop<S: ProviderHarness>() {
    let (world, side, mut ada, calendar, clock) = by_hand::<S>().await;
    insert(&side, "Last", 4).await;
    synced(&world, &ada, &calendar).await;
    for _ in 0..4 {
        let down: Vec<Value> = (0..16)
            .map(|_| S::fault("changes", InjectedFault::Broken))
            .collect();
        side.control("faults", json!(down)).await;
        clock.advance(TimeDelta::hours(2));
        reconcile::run(world.stack.schedule()).await.unwrap();
        world.stack.work().await;
    }
    ada = world.sign_in(&ada).await;
    let stale = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        (&stale["syncStatus"], &stale["lastSyncedAt"]),
        (&json!("FAILED"), &json!("2027-01-01T00:00:00Z"))
    );
    assert!(
        stale["lastError"].as_str().unwrap().contains("503"),
        "{stale}"
    );
    assert_eq!(
        titles(&world, &ada).await,
        ["Last"],
        "what is known is still shown, with how old it is"
    );
    side.control("forgive", json!({})).await;
    clock.advance(TimeDelta::hours(8));
    assert_eq!(
        reconcile::run(world.stack.schedule()).await.unwrap(),
        1,
        "it is still asked for"
    );
    world.stack.work().await;
    let ada = world.sign_in(&ada).await;
    assert_eq!(
        world
            .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
            .await
            .body["syncStatus"],
        "SYNCED"
    );
}
