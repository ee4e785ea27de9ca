//! Workers that are killed between any two calls, and two workers with the same message: the next sync converges.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use serde_json::json;
use shared::domain::ids::{CalendarId, UserId};
use shared::sync::{SyncOutcome, sync_calendar};

use super::{Dice, killed_after, seeds};
use crate::harness::feeds::calendar;
use crate::harness::{World, options_by_hand};

/// Returns a feed of a random subset of a hundred events with random titles, and the expected titles. The UIDs of a feed that
/// re-keys are new each time.
fn feed(dice: &mut Dice, re_keys: bool) -> (String, BTreeSet<String>) {
    let key = if re_keys { dice.below(1_000_000) } else { 0 };
    let mut events = Vec::new();
    let mut expected = BTreeSet::new();
    for number in 0..100 {
        if dice.below(10) > 1 {
            let title = format!("{number} v{}", dice.below(3));
            events.push(format!(
                "UID:{number}-{key}\nDTSTART:20260302T{:02}0000Z\nSUMMARY:{title}",
                number % 24
            ));
            expected.insert(title);
        }
    }
    (
        calendar(&events.iter().map(String::as_str).collect::<Vec<_>>()),
        expected,
    )
}

async fn stored(world: &World, person: &crate::harness::Person) -> BTreeSet<String> {
    let events = world.events(person, "2026-03-01", "2026-03-05").await;
    let title = |event: &serde_json::Value| event["title"].as_str().unwrap().to_owned();
    let seen: Vec<String> = events.iter().map(title).collect();
    let unique: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "an event is doubled");
    unique
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_loses_and_doubles_nothing() {
    Box::pin(killed(false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_doubles_no_feed_that_re_keys() {
    Box::pin(killed(true)).await;
}

async fn killed(re_keys: bool) {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    for seed in seeds() {
        let mut dice = Dice(seed);
        let path = format!("{seed}.ics");
        let person = world.sign_up(&format!("p{seed}")).await;
        world.feeds.set_ics(&path, feed(&mut dice, re_keys).0);
        let connected = world
            .post(
                &person,
                "/api/v1/calendar/ics/connect",
                json!({ "url": world.feeds.url(&path) }),
            )
            .await;
        let calendar: CalendarId = connected.body["id"].as_str().unwrap().parse().unwrap();
        let user: UserId = person.id.parse().unwrap();
        let mut expected = BTreeSet::new();
        for _ in 0..4 {
            let (text, events) = feed(&mut dice, re_keys);
            expected = events;
            world.feeds.set_ics(&path, text);
            for _ in 0..dice.below(3) {
                killed_after(&world, user, calendar, 1 + dice.below(12)).await;
                // The killed worker's lease expires before another worker can sync, and so does the time for which a calendar
                // is set aside.
                clock.advance(TimeDelta::hours(7));
            }
        }
        let store = &world.stack.context.store;
        let state = store.calendar(user, calendar).await.unwrap().unwrap();
        if state.cursor.interruptions >= 1 {
            // The run that only sets the calendar aside.
            drop(sync_calendar(&world.stack.context, user, calendar).await);
            clock.advance(TimeDelta::hours(7));
        }
        let (one, two) = tokio::join!(
            sync_calendar(&world.stack.context, user, calendar),
            sync_calendar(&world.stack.context, user, calendar)
        );
        assert!(
            matches!(one, Ok(SyncOutcome::Completed(_)))
                || matches!(two, Ok(SyncOutcome::Completed(_))),
            "seed {seed}: {one:?} {two:?}"
        );
        if re_keys {
            // It brings too many events at once to be believed: a second fetch confirms it.
            sync_calendar(&world.stack.context, user, calendar)
                .await
                .unwrap();
        }
        let person = world.sign_in(&person).await;
        assert_eq!(stored(&world, &person).await, expected, "seed {seed}");
        world.stack.context.store.meter().take();
        let Ok(SyncOutcome::Completed(cursor)) =
            sync_calendar(&world.stack.context, user, calendar).await
        else {
            panic!("seed {seed}")
        };
        assert_eq!(
            (
                cursor.stats.created,
                cursor.stats.updated,
                cursor.stats.deleted
            ),
            (0, 0, 0),
            "seed {seed}"
        );
        let (_, writes, _) = world.stack.context.store.meter().take();
        assert!(
            writes <= 6.0,
            "seed {seed}: a further sync writes only the cursor, not {writes} units"
        );
    }
}
