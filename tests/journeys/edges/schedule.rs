//! Schedules, and the cost of sync requests.

use aws_sdk_sqs::types::QueueAttributeName;
use chrono::TimeDelta;
use local::stack::Options;
use serde_json::json;
use shared::clock::Deadline;

use crate::harness::feeds::{FeedResponse, daily};
use crate::harness::{PASSWORD, World, options_by_hand};
use crate::simulations::killed_after;

#[tokio::test(flavor = "multi_thread")]
async fn only_feeds_that_are_due_are_refreshed() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let app = &world.stack.context;
    let ada = world.sign_up("ada").await;
    let interval = |interval: &str| {
        daily(1, "2026-03-02", "a").replace(
            "X-WR-CALNAME:Test",
            &format!("REFRESH-INTERVAL;VALUE=DURATION:{interval}"),
        )
    };
    for (path, every) in [
        ("minute.ics", "PT1M"),
        ("hours.ics", "PT6H"),
        ("month.ics", "P30D"),
    ] {
        world.feeds.set_ics(path, interval(every));
        assert_eq!(
            world
                .post(
                    &ada,
                    "/api/v1/calendar/ics/connect",
                    json!({ "url": world.feeds.url(path) })
                )
                .await
                .status,
            201
        );
    }
    world.stack.work().await;
    let fetched = |path: &str| world.feeds.requests(path).len();
    assert_eq!(
        [
            fetched("minute.ics"),
            fetched("hours.ics"),
            fetched("month.ics")
        ],
        [2, 2, 2],
        "once to look, once to sync"
    );
    let run = async |after: TimeDelta| {
        clock.advance(after);
        let asked = refresh_feeds::run(world.stack.schedule()).await.unwrap();
        let messages = visible_jobs(&world).await;
        for job in messages {
            Box::pin(sync_worker::handle(app.clone(), job, Deadline::Never))
                .await
                .unwrap();
        }
        asked
    };
    assert_eq!(run(TimeDelta::minutes(10)).await, 0);
    assert_eq!(
        run(TimeDelta::minutes(10)).await,
        1,
        "not more often than every quarter of an hour"
    );
    assert_eq!(run(TimeDelta::hours(7)).await, 2);
    assert_eq!(
        run(TimeDelta::hours(1)).await,
        1,
        "an unchanged answer changes nothing about when to ask"
    );
    assert_eq!(
        run(TimeDelta::hours(20)).await,
        3,
        "nor more seldom than once a day"
    );
}

/// Returns a job for each calendar with a requested sync that is not completed.
async fn visible_jobs(world: &World) -> Vec<shared::queue::Job> {
    let mut jobs = Vec::new();
    for state in all_calendars(world).await {
        let cursor = &state.cursor;
        if cursor.requested > cursor.completed {
            jobs.push(shared::queue::Job::SyncCalendar {
                user_id: state.calendar.user_id,
                calendar_id: state.calendar.id,
            });
        }
    }
    jobs
}

async fn all_calendars(world: &World) -> Vec<shared::domain::calendar::CalendarState> {
    let ada = world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": "ada@example.org", "password": PASSWORD })),
        )
        .await;
    let id = ada.body["user"]["id"].as_str().unwrap().parse().unwrap();
    world.stack.context.store.calendars(id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_requests_make_one_pull() {
    let world = World::with(Options {
        background: false,
        ..Options::default()
    })
    .await;
    let ada = world.sign_up("ada").await;
    world
        .feeds
        .set("f.ics", FeedResponse::ics(daily(1, "2026-03-02", "a")));
    let id = world
        .post(
            &ada,
            "/api/v1/calendar/ics/connect",
            json!({ "url": world.feeds.url("f.ics") }),
        )
        .await
        .body["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for _ in 0..10 {
        assert_eq!(
            world
                .post(&ada, &format!("/api/v1/calendar/ics/{id}/sync"), json!({}))
                .await
                .status,
            202
        );
    }
    let before = world.feeds.requests("f.ics").len();
    world.stack.work().await;
    assert_eq!(world.feeds.requests("f.ics").len() - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_sync_is_answered_when_it_is_done() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    let path = format!("/api/v1/calendar/calendars/{id}/sync?wait=20");
    let answers =
        futures::future::join_all((0..20).map(|_| world.post(&ada, &path, json!({})))).await;
    assert!(
        answers.iter().all(|answer| answer.status == 200),
        "{answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_feed_that_has_not_changed_costs_eight_write_units() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let app = &world.stack.context;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("a.ics", daily(100, "2026-03-02", "a"));
    world
        .post(
            &ada,
            "/api/v1/calendar/ics/connect",
            json!({ "url": world.feeds.url("a.ics") }),
        )
        .await;
    world.stack.work().await;
    clock.advance(TimeDelta::hours(1));
    app.store.meter().take();
    assert_eq!(refresh_feeds::run(world.stack.schedule()).await.unwrap(), 1);
    let (_, asked, _) = app.store.meter().take();
    let jobs = visible_jobs(&world).await;
    app.store.meter().take();
    for job in jobs {
        Box::pin(sync_worker::handle(app.clone(), job, Deadline::Never))
            .await
            .unwrap();
    }
    let (reads, synced, _) = app.store.meter().take();
    assert_eq!(
        (asked, synced),
        (4.0, 4.0),
        "the request and its delay; the lease and the outcome"
    );
    assert!(
        reads <= 4.0,
        "calendar, cursor, secret and key, not {reads} read units"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_leaves_word_and_its_request_is_heard() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(1, "2026-03-02", "a"));
    let body = json!({ "url": world.feeds.url("f.ics") });
    let made = world.post(&ada, "/api/v1/calendar/ics/connect", body).await;
    let (user, id) = (
        ada.id.parse().unwrap(),
        made.body["id"].as_str().unwrap().parse().unwrap(),
    );
    world.stack.work().await;
    // A worker takes the lease and dies. The message that meets its lease comes again when that expires.
    let store = &world.stack.context.store;
    drop(store.acquire_lease(user, id).await.unwrap().unwrap());
    let path = format!("/api/v1/calendar/calendars/{id}/sync");
    assert_eq!(world.post(&ada, &path, json!({})).await.status, 202);
    world.stack.work().await;
    let cursor = async || store.calendar(user, id).await.unwrap().unwrap().cursor;
    let busy = cursor().await;
    assert!(busy.requested > busy.completed, "{busy:?}");
    let delayed = QueueAttributeName::ApproximateNumberOfMessagesDelayed;
    let queue = world
        .stack
        .services
        .sqs
        .get_queue_attributes()
        .queue_url(world.stack.services.queue_url())
        .attribute_names(delayed.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(queue.attributes.unwrap()[&delayed], "1");
    // The next run leaves word of the interruption at once, whatever becomes of itself; a success clears it.
    clock.advance(TimeDelta::seconds(62));
    killed_after(&world, user, id, 2).await;
    let status = cursor().await;
    assert!(status.last_error.unwrap().contains("interrupted"));
    assert_eq!(status.failures, 1);
    // Two runs in a row were killed: the calendar is set aside, whoever asks for it.
    clock.advance(TimeDelta::seconds(62));
    for job in visible_jobs(&world).await {
        let app = world.stack.context.clone();
        Box::pin(sync_worker::handle(app, job, Deadline::Never))
            .await
            .unwrap();
    }
    let aside = cursor().await;
    assert!(aside.last_error.unwrap().contains("takes too long"));
    assert_eq!(aside.held_until, Some(clock.now() + TimeDelta::hours(6)));
    let ada = world.sign_in(&ada).await;
    assert_eq!(world.post(&ada, &path, json!({})).await.status, 202);
    world.stack.work().await;
    assert!(cursor().await.last_error.is_some());
    clock.advance(TimeDelta::hours(6));
    let ada = world.sign_in(&ada).await;
    assert_eq!(world.post(&ada, &path, json!({})).await.status, 202);
    for job in visible_jobs(&world).await {
        let app = world.stack.context.clone();
        Box::pin(sync_worker::handle(app, job, Deadline::Never))
            .await
            .unwrap();
    }
    let done = cursor().await;
    assert_eq!((done.completed, done.last_error), (done.requested, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_was_moved_has_not_been_synced() {
    let options = Options {
        background: false,
        ..crate::harness::options()
    };
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("a.ics", daily(1, "2026-03-02", "a"));
    world.feeds.set_ics("b.ics", daily(1, "2026-03-02", "b"));
    let body = json!({ "url": world.feeds.url("a.ics") });
    let made = world.post(&ada, "/api/v1/calendar/ics/connect", body).await;
    let id = made.body["id"].as_str().unwrap();
    world.stack.work().await;
    let path = format!("/api/v1/calendar/calendars/{id}");
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
    let (feed, body) = (
        format!("/api/v1/calendar/ics/{id}"),
        json!({ "url": world.feeds.url("b.ics") }),
    );
    let moved = world.call("PUT", &feed, Some(&ada.token), Some(body)).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let shown = world.get(&ada, &path).await.body;
    assert_eq!(shown["syncStatus"], "PENDING", "{shown}");
    assert_eq!(shown["lastSyncedAt"], serde_json::Value::Null);
    world.stack.work().await;
    assert_eq!(world.get(&ada, &path).await.body["syncStatus"], "SYNCED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_requests_as_many_as_it_may_and_the_next_one_the_rest() {
    let (options, clock) = options_by_hand("2026-03-02T09:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    for path in ["a.ics", "b.ics", "c.ics"] {
        world.feeds.set_ics(path, daily(1, "2026-03-02", path));
        let body = json!({ "url": world.feeds.url(path) });
        world.post(&ada, "/api/v1/calendar/ics/connect", body).await;
    }
    world.stack.work().await;
    clock.advance(TimeDelta::hours(25));
    // The calendars of one person share a shard, of which there are eight.
    let mut schedule = world.stack.schedule();
    schedule.config.calendars_per_run = 16;
    let mut requested = vec![];
    for _ in 0..3 {
        requested.push(refresh_feeds::run(schedule.clone()).await.unwrap());
    }
    assert_eq!(requested, [2, 1, 0]);
}
