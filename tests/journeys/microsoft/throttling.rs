//! Permits and throttling across workers.

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::ids::UserId;

use crate::harness::microsoft::{EMAIL, MicrosoftHarness};
use crate::harness::{ProviderHarness, World, options_by_hand};

#[tokio::test(flavor = "multi_thread")]
async fn throttling_is_kept_to_across_all_workers() {
    let (options, clock) = options_by_hand("2027-01-01T00:00:00Z");
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
    // Seven concurrent syncs, which the tables cannot tell from seven Lambda workers.
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
    // Syncs without a permit are requested again, and do not count as failures.
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
    // All workers honor the Retry-After that one of them received.
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
    assert_eq!(
        side.calls("changes").await,
        before,
        "no calls until Retry-After"
    );
    clock.advance(TimeDelta::seconds(121));
    all().await;
    assert!(side.calls("changes").await >= before + 3);
}
