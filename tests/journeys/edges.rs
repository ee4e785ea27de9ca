//! What every endpoint shares: problems, headers, limits, idempotency, the trail, the schedules.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use local::stack::Options;
use serde_json::json;
use shared::clock::Clock;

use crate::harness::feeds::{FeedResponse, daily};
use crate::harness::{PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_headers() {
    let variables = BTreeMap::from([(
        "CORS_ORIGINS".to_owned(),
        "https://app.example.org".to_owned(),
    )]);
    let world = World::with(Options {
        rate_limits: true,
        variables,
        ..Options::default()
    })
    .await;
    let answer = world
        .send(
            "GET",
            "/api/v1/calendar/calendars",
            &[("origin", "https://app.example.org".into())],
            None,
        )
        .await;
    assert_eq!(answer.status, 401);
    for header in [
        "x-request-id",
        "ratelimit",
        "ratelimit-policy",
        "content-security-policy",
        "strict-transport-security",
    ] {
        assert!(answer.headers.contains_key(header), "{header}");
    }
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.org"
    );
    assert_eq!(
        answer.body["instance"],
        answer.headers["x-request-id"].to_str().unwrap()
    );
    let preflight = [
        ("origin", "https://app.example.org".to_owned()),
        ("access-control-request-method", "PATCH".to_owned()),
    ];
    let allowed = world
        .send("OPTIONS", "/api/v1/auth/me", &preflight, None)
        .await;
    assert_eq!(
        (
            allowed.status,
            &allowed.headers["access-control-allow-origin"]
        ),
        (200, &"https://app.example.org".parse().unwrap())
    );
    let stranger = world
        .send(
            "GET",
            "/health",
            &[("origin", "https://evil.example".into())],
            None,
        )
        .await;
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_say_when_to_come_again() {
    let clock = Clock::manual("2026-03-01T00:00:00Z".parse().unwrap());
    let world = World::with(Options {
        rate_limits: true,
        clock: clock.clone(),
        background: false,
        ..Options::default()
    })
    .await;
    let ada = world.sign_up("ada").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = world
            .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
            .await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(
                (&answer.body["type"], &answer.headers["retry-after"]),
                (&json!("rate-limited"), &"60".parse().unwrap())
            );
            assert!(
                answer.headers["ratelimit"]
                    .to_str()
                    .unwrap()
                    .starts_with("\"sync\";r=0")
            );
        }
    }
    assert_eq!(statuses, [202, 202, 202, 202, 202, 429]);
    clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
            .await
            .status,
        202
    );

    clock.advance(TimeDelta::seconds(60));
    world.stack.context.store.meter().take();
    let mut refused = 0;
    for _ in 0..110 {
        refused += u32::from(world.call("GET", "/docs", None, None).await.status == 429);
    }
    assert_eq!(refused, 10);
    let (_, writes, _) = world.stack.context.store.meter().take();
    assert!(writes <= 11.0, "one write for ten requests, not {writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_twice_is_carried_out_once() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(1, "2026-03-02", "a"));
    let headers = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("idempotency-key", "one".to_owned()),
    ];
    let body = json!({ "url": world.feeds.url("f.ics") }).to_string();
    let connect = "/api/v1/calendar/ics/connect";
    let first = world
        .send("POST", connect, &headers, Some(body.clone()))
        .await;
    let second = world
        .send("POST", connect, &headers, Some(body.clone()))
        .await;
    assert_eq!(
        (
            first.status,
            second.status,
            &second.headers["idempotency-replayed"]
        ),
        (201, 201, &"true".parse().unwrap())
    );
    assert_eq!(first.body, second.body);
    let other = world
        .send(
            "POST",
            connect,
            &headers,
            Some(json!({ "url": "x" }).to_string()),
        )
        .await;
    assert_eq!(
        (other.status, &other.body["type"]),
        (409, &json!("idempotency-conflict"))
    );
    let without = world.send("POST", connect, &headers[..1], Some(body)).await;
    assert_eq!(
        (without.status, &without.body["type"]),
        (409, &json!("conflict"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_who_did_what() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(1, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": ada.email, "password": "wrong password" })),
        )
        .await;
    world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": ada.email, "password": PASSWORD })),
        )
        .await;
    world
        .call(
            "DELETE",
            &format!("/api/v1/calendar/ics/{id}"),
            Some(&ada.token),
            None,
        )
        .await;
    let dump = world.dump().await;
    let trail: Vec<&str> = dump
        .lines()
        .filter(|line| line.starts_with("AUDIT_TABLE"))
        .collect();
    for action in [
        "SIGNUP_SUCCESS",
        "LOGIN_FAILURE",
        "LOGIN_SUCCESS",
        "CALENDAR_CONNECT",
        "CALENDAR_SYNC",
        "CALENDAR_DISCONNECT",
    ] {
        assert!(
            trail
                .iter()
                .any(|line| line.contains(action) && line.contains("127.0.0.1")),
            "{action}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_feeds_that_are_due_are_refreshed() {
    let clock = Clock::manual("2026-03-01T00:00:00Z".parse().unwrap());
    let world = World::with(Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    })
    .await;
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
        let asked = refresh_feeds::run(world.stack.jobs()).await.unwrap();
        let messages = visible_jobs(&world).await;
        for job in messages {
            sync_worker::handle(app.clone(), job).await.unwrap();
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

/// The jobs of all messages, whatever their delay.
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
async fn a_data_folder_belongs_to_one_backend() {
    let folder = std::env::temp_dir().join(format!("calweave-test-lock-{}", std::process::id()));
    let options = |reset| Options {
        data: Some(folder.clone()),
        reset,
        ..Options::default()
    };
    let world = World::with(options(false)).await;
    let second = local::stack::Stack::start(
        &local::template::Template::bundled().unwrap(),
        options(true),
    )
    .await;
    assert!(
        second
            .err()
            .unwrap()
            .to_string()
            .contains("another calweave is using it")
    );
    assert_eq!(
        world
            .call("GET", "/api/v1/health/ready", None, None)
            .await
            .status,
        200
    );
    world.stack.stop().await;
    std::fs::remove_file(folder.join("keys.json")).unwrap();
    let keyless = local::stack::Stack::start(
        &local::template::Template::bundled().unwrap(),
        options(false),
    )
    .await;
    assert!(
        keyless
            .err()
            .unwrap()
            .to_string()
            .contains("keys.json is gone")
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing() {
    let variables = BTreeMap::from([
        ("KMS_KEY_ID".to_owned(), "no-such-key".to_owned()),
        (
            "SYNC_QUEUE_URL".to_owned(),
            "http://127.0.0.1/000000000000/none".to_owned(),
        ),
    ]);
    let world = World::with(Options {
        variables,
        background: false,
        ..Options::default()
    })
    .await;
    let answer = world.call("GET", "/api/v1/health/ready", None, None).await;
    assert_eq!(
        (answer.status, &answer.body["checks"]),
        (
            503,
            &json!({ "dynamodb": "ok", "kms": "unavailable", "queue": "unavailable" })
        )
    );
    for path in [
        "/health",
        "/api/v1/health",
        "/api/v1/health/health",
        "/api/v1/health/live",
    ] {
        assert_eq!(
            world.call("GET", path, None, None).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(world.call("GET", "/nowhere", None, None).await.status, 404);
    let page = world.call("GET", "/docs", None, None).await;
    assert!(page.body.as_str().unwrap().contains("/docs/docs.js"));
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("script-src 'self'")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_there_after_a_restart() {
    let folder = std::env::temp_dir().join(format!("calweave-test-{}", std::process::id()));
    let options = || Options {
        data: Some(folder.clone()),
        ..Options::default()
    };
    let world = World::with(options()).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(2, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    let feeds = world.feeds.clone();
    world.stack.stop().await;
    let mut world = World::with(options()).await;
    world.feeds = feeds;
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-04-01").await.len(),
        2,
        "the token still stands, too"
    );
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    assert_eq!(
        world.sync(&ada, &id).await["stats"]["created"],
        1,
        "the address still opens"
    );
    world.stack.stop().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_feed_that_has_not_changed_costs_eight_write_units() {
    let clock = Clock::manual("2026-03-01T00:00:00Z".parse().unwrap());
    let world = World::with(Options {
        clock: clock.clone(),
        background: false,
        ..Options::default()
    })
    .await;
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
    assert_eq!(refresh_feeds::run(world.stack.jobs()).await.unwrap(), 1);
    let (_, asked, _) = app.store.meter().take();
    let jobs = visible_jobs(&world).await;
    app.store.meter().take();
    for job in jobs {
        sync_worker::handle(app.clone(), job).await.unwrap();
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
