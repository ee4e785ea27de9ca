//! Leases: a worker that has lost its lease changes nothing any more, however late it comes back.

use chrono::TimeDelta;
use serde_json::json;
use shared::clock::Clock;
use shared::domain::calendar::SyncStats;
use shared::domain::ids::{CalendarId, UserId};
use shared::domain::sync_state::FullSync;
use shared::store::WriteOutcome;
use shared::store::cursors::{SyncReport, SyncSuccess};
use shared::store::leases::Lease;
use shared::sync::{SyncError, sync_calendar};

use crate::harness::account::{titles, unsynced};
use crate::harness::feeds::calendar;
use crate::harness::google::GoogleHarness;
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{EventChange, ProviderHarness, World, options_by_hand};

/// A world whose clock is moved by hand, and a calendar of a feed.
async fn leased() -> (World, Clock, UserId, CalendarId) {
    let (options, clock) = options_by_hand("2027-01-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    world
        .feeds
        .set_ics("a.ics", calendar(&["UID:1\nDTSTART:20270104T090000Z"]));
    let body = json!({ "url": world.feeds.url("a.ics") });
    let connected = world.post(&ada, "/api/v1/calendar/ics/connect", body).await;
    let id = connected.body["id"].as_str().unwrap();
    (world, clock, ada.id.parse().unwrap(), id.parse().unwrap())
}

/// Two leases of one calendar: the first has expired, and the second was acquired after it.
async fn two(world: &World, clock: &Clock, user: UserId, calendar: CalendarId) -> (Lease, Lease) {
    let store = &world.stack.context.store;
    let lost = store.acquire_lease(user, calendar).await.unwrap().unwrap();
    clock.advance(TimeDelta::seconds(61));
    let held = store.acquire_lease(user, calendar).await.unwrap().unwrap();
    assert!(held.fencing() > lost.fencing());
    (lost, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_writes_no_cursor() {
    let (world, clock, user, id) = leased().await;
    let store = &world.stack.context.store;
    let cursor = async || {
        format!(
            "{:?}",
            store.calendar(user, id).await.unwrap().unwrap().cursor
        )
    };
    let report = |stats| SyncReport {
        success: Some(SyncSuccess {
            stats,
            ..SyncSuccess::default()
        }),
        error: None,
        next_sync_at: clock.now(),
        again_in: None,
        hold_until: None,
        interruptions: 0,
        written: None,
    };
    let progress = FullSync {
        generation: 1,
        query: String::new(),
        from: clock.now(),
        to: clock.now(),
        began_at: clock.now(),
        snapshots_until: None,
        records: 0,
        series_read: 0,
        next_page: None,
        token: None,
        is_read: false,
        is_removing: false,
        stats: SyncStats::default(),
    };
    for step in 0..7 {
        let (mut lost, held) = two(&world, &clock, user, id).await;
        let before = cursor().await;
        let is_refused = match step {
            0 => {
                // Due for a renewal: more than half of its lifetime is over.
                store.renew_lease(&mut lost).await.unwrap() == WriteOutcome::ConditionFailed
            }
            1 => {
                store.record_interruption(&mut lost).await.unwrap() == WriteOutcome::ConditionFailed
            }
            2 => store.begin_writes(&lost).await.unwrap() == WriteOutcome::ConditionFailed,
            3 => {
                let stored = store.checkpoint(&lost, Some(&progress), None).await;
                stored.unwrap() == WriteOutcome::ConditionFailed
            }
            4 => store.release_lease(lost).await.unwrap().is_none(),
            5 => store.finish_disconnected(lost).await.unwrap().is_none(),
            _ => {
                let finished = store.finish_sync(lost, &report(SyncStats::default())).await;
                finished.unwrap().is_none()
            }
        };
        assert!(is_refused, "step {step}");
        assert_eq!(cursor().await, before, "step {step}");
        // The holder is not hindered.
        let stats = SyncStats {
            total: 7,
            ..SyncStats::default()
        };
        let finished = store.finish_sync(held, &report(stats)).await.unwrap();
        assert_eq!(finished.unwrap().event_count, 7, "step {step}");
    }
}

/// A worker that receives the response of any of its calls after another worker has taken over its calendar.
async fn comes_back_late<S: ProviderHarness>() {
    let mut calls = 0;
    while Box::pin(is_late_after::<S>(calls)).await {
        calls += 1;
    }
    assert!(calls > 1, "it makes several calls");
}

/// As [`comes_back_late`], with the response to the call after `calls` others. Returns whether the worker makes that call.
async fn is_late_after<S: ProviderHarness>(calls: u64) -> bool {
    let (world, side, ada, calendar, clock) = unsynced::<S>().await;
    let once = side
        .insert("Old", "2027-01-05T12:00:00", "2027-01-05T13:00:00", None)
        .await;
    let (user, id): (UserId, CalendarId) = (ada.id.parse().unwrap(), calendar.parse().unwrap());
    let first = world.stack.worker(clock.clone()).unwrap();
    side.control("hold", json!(calls)).await;
    let slow = tokio::spawn(async move { sync_calendar(&first, user, id).await });
    while side.report().await["isHolding"] != true {
        if slow.is_finished() {
            return false;
        }
    }
    // The second worker's clock is a minute ahead, so that it takes the lease at once.
    let second = world
        .stack
        .worker(clock.ahead(TimeDelta::seconds(61)))
        .unwrap();
    assert!(
        side.change(&once, EventChange::Title("New"))
            .await
            .is_success()
    );
    sync_calendar(&second, user, id).await.unwrap();
    assert_eq!(titles(&world, &ada).await, ["New"]);
    let cursor = async || {
        let state = second.store.calendar(user, id).await.unwrap().unwrap();
        format!("{:?}", state.cursor)
    };
    let before = cursor().await;
    clock.advance(TimeDelta::seconds(31));
    side.control("hold", json!(null)).await;
    let ended = slow.await.unwrap();
    assert!(matches!(ended, Err(SyncError::LeaseLost)), "{ended:?}");
    assert_eq!(titles(&world, &ada).await, ["New"]);
    assert_eq!(cursor().await, before);
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_overwrites_nothing_with_google() {
    comes_back_late::<GoogleHarness>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_overwrites_nothing_with_microsoft() {
    comes_back_late::<MicrosoftHarness>().await;
}
