//! Fetching feeds: conditional requests, limits, and failures that must not change stored events.

use std::io::Write;

use chrono::TimeDelta;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::account::synced;
use crate::harness::feeds::{FeedResponse, Stream, calendar, daily};
use crate::harness::{World, options_by_hand};

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_feed_writes_no_event() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set(
        "tagged.ics",
        FeedResponse {
            etag: Some("W/\"one\"".into()),
            ..FeedResponse::ics(daily(30, "2026-03-02", "a"))
        },
    );
    world
        .feeds
        .set_ics("plain.ics", daily(30, "2026-03-02", "b"));
    for path in ["tagged.ics", "plain.ics"] {
        let id = world.connect(&ada, path).await;
        let before = event_items(&world).await;
        world.stack.context.store.meter().take();
        let done = world.sync(&ada, &id).await;
        assert_eq!(
            (&done["stats"]["unchanged"], &done["stats"]["updated"]),
            (&json!(30), &json!(0)),
            "{path}"
        );
        let (_, write_units, _) = world.stack.context.store.meter().take();
        assert!(
            write_units < 20.0,
            "{path}: only the cursor and the trail are written, not {write_units} units"
        );
        assert_eq!(event_items(&world).await, before, "{path}");
    }
    assert_eq!(
        world.feeds.requests("tagged.ics").last().unwrap()["if-none-match"],
        "W/\"one\""
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_stamps_and_shuffles_anew_changes_nothing() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let event = |number: u32, stamp: u32| {
        format!(
            "UID:{number}\nDTSTAMP:202601{stamp:02}T000000Z\nLAST-MODIFIED:202601{stamp:02}T000000Z\nDTSTART:2026030{number}T090000Z\nSUMMARY:{number}"
        )
    };
    let first: Vec<String> = (1..6).map(|number| event(number, 1)).collect();
    let mut second: Vec<String> = (1..6)
        .map(|number| {
            event(number, 2)
                .lines()
                .rev()
                .collect::<Vec<_>>()
                .join("\n")
        })
        .collect();
    second.reverse();
    let text = |events: &[String]| calendar(&events.iter().map(String::as_str).collect::<Vec<_>>());
    world.feeds.set_ics("f.ics", text(&first));
    let id = world.connect(&ada, "f.ics").await;
    let before = event_items(&world).await;
    world.feeds.set_ics("f.ics", text(&second));
    let done = world.sync(&ada, &id).await;
    assert_eq!(
        done["stats"],
        json!({ "total": 5, "created": 0, "updated": 0, "deleted": 0, "unchanged": 5 })
    );
    assert_eq!(event_items(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_survives_every_bad_answer() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let good = daily(30, "2026-03-02", "a");
    world.feeds.set_ics("f.ics", good.clone());
    let id = world.connect(&ada, "f.ics").await;
    let html = FeedResponse {
        headers: vec![("content-type".into(), "text/html".into())],
        ..FeedResponse::ics("<html>expired</html>")
    };
    let failures = [
        html,
        FeedResponse::ics(""),
        FeedResponse::status(404),
        FeedResponse::status(401),
        FeedResponse::status(500),
        FeedResponse::redirect("http://192.168.0.1/"),
    ];
    for feed in failures {
        let shown = format!("{feed:?}");
        world.feeds.set("f.ics", feed);
        let done = world.sync(&ada, &id).await;
        assert_eq!(
            (&done["syncStatus"], done["lastError"].is_string()),
            (&json!("FAILED"), true),
            "{shown}"
        );
        assert_eq!(
            world.events(&ada, "2026-03-01", "2026-05-01").await.len(),
            30,
            "{shown}"
        );
    }
    let cut_off = good[..good.len() / 2].to_owned();
    world.feeds.set_ics("f.ics", cut_off);
    let done = world.sync(&ada, &id).await;
    assert_eq!(
        (&done["syncStatus"], &done["stats"]["deleted"]),
        (&json!("SYNCED"), &json!(0))
    );
    assert!(
        done["warnings"].to_string().contains("ends before"),
        "{done}"
    );
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-05-01").await.len(),
        30
    );

    world.feeds.set_ics("f.ics", calendar(&[]));
    let doubted = world.sync(&ada, &id).await;
    assert_eq!(doubted["stats"]["deleted"], 0);
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-05-01").await.len(),
        30,
        "a sudden emptiness is not believed at once"
    );
    world.feeds.set_ics("f.ics", daily(4, "2026-03-02", "a"));
    assert_eq!(
        world.sync(&ada, &id).await["stats"]["deleted"],
        0,
        "another sudden loss is another doubt"
    );
    assert_eq!(
        world.sync(&ada, &id).await["stats"]["deleted"],
        26,
        "the same answer a second time is believed"
    );
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-05-01").await.len(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_ends_is_believed_the_second_time() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let whole = daily(6, "2026-03-02", "a");
    let without_end = |text: &str| text.replace("END:VCALENDAR\r\n", "");
    let without_ends = |text: &str| {
        let lines = text.split_inclusive("\r\n");
        lines
            .filter(|line| !line.starts_with("END:"))
            .collect::<String>()
    };
    world.feeds.set_ics("f.ics", whole.clone());
    let id = world.connect(&ada, "f.ics").await;
    let count = async || world.events(&ada, "2026-03-01", "2026-05-01").await.len();
    let fewer = |count| daily(count, "2026-03-02", "a");
    for (file, before, after) in [
        (without_end(&fewer(5)), 6, 5),
        (without_ends(&fewer(4)), 5, 4),
    ] {
        world.feeds.set_ics("f.ics", file);
        let done = world.sync(&ada, &id).await;
        assert!(
            done["warnings"].to_string().contains("lacks its END"),
            "{done}"
        );
        assert_eq!(count().await, before, "once is not enough");
        world.sync(&ada, &id).await;
        assert_eq!(count().await, after);
    }
    // One that breaks off in the middle of an event is not believed, however often it comes.
    let cut = fewer(3);
    world
        .feeds
        .set_ics("f.ics", cut[..cut.len() - 40].to_owned());
    for _ in 0..3 {
        world.sync(&ada, &id).await;
        assert_eq!(count().await, 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_habits_of_their_own() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let good = daily(3, "2026-03-02", "a");
    let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
    compressed.write_all(good.as_bytes()).unwrap();
    let mut odd = FeedResponse::ics(compressed.finish().unwrap());
    odd.headers
        .push(("content-encoding".into(), "x-gzip".into()));
    world.feeds.set("x-gzip", odd);
    world.feeds.set_ics("webcal-target", good.clone());
    let webcal = world
        .feeds
        .url("webcal-target")
        .replace("http://", "webcal://");
    world.feeds.set("webcal", FeedResponse::redirect(&webcal));
    world.feeds.set_ics("kalender/%C3%A4.ics", good.clone());
    world
        .feeds
        .set("raw", FeedResponse::redirect("/kalender/ä.ics"));
    world.feeds.set_ics("welcome", good.clone());
    let mut door = FeedResponse::redirect("/welcome");
    door.headers
        .push(("set-cookie".into(), "session=1; Path=/; HttpOnly".into()));
    world.feeds.set("door", door);
    for path in ["x-gzip", "webcal", "raw", "door"] {
        let seen = world
            .post(
                &ada,
                "/api/v1/calendar/ics/validate",
                json!({ "url": world.feeds.url(path) }),
            )
            .await;
        assert_eq!(seen.status, 200, "{path}: {}", seen.body);
    }
    assert_eq!(world.feeds.requests("welcome")[0]["cookie"], "session=1");
    assert!(!world.feeds.requests("raw")[0].contains_key("cookie"));

    // A date is not sent beside an ETag, and once a day neither.
    let mut tagged = FeedResponse::ics(good);
    tagged.headers.extend([
        ("etag".into(), "\"1\"".into()),
        (
            "last-modified".into(),
            "Sun, 01 Mar 2026 00:00:00 GMT".into(),
        ),
    ]);
    world.feeds.set("tagged", tagged);
    let made = world
        .post(
            &ada,
            "/api/v1/calendar/ics/connect",
            json!({ "url": world.feeds.url("tagged") }),
        )
        .await;
    let id = made.body["id"].as_str().unwrap().to_owned();
    world.stack.work().await;
    world.feeds.set("tagged", FeedResponse::status(304));
    clock.advance(TimeDelta::minutes(10));
    let state = synced(&world, &ada, &id).await;
    let asked = world.feeds.requests("tagged").pop().unwrap();
    assert_eq!(asked["if-none-match"], "\"1\"");
    assert!(!asked.contains_key("if-modified-since"));
    assert_eq!(state["syncStatus"], "SYNCED");
    clock.advance(TimeDelta::hours(25));
    let ada = world.sign_in(&ada).await;
    let state = synced(&world, &ada, &id).await;
    let asked = world.feeds.requests("tagged").pop().unwrap();
    assert!(!asked.contains_key("if-none-match"));
    let word = "the server says that the feed has not changed, but was asked for all of it";
    assert_eq!(state["lastError"], word);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_has_no_end_is_given_up() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..200 {
        bomb.write_all(&vec![b'A'; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let mut packed = FeedResponse::ics(bomb);
    packed
        .headers
        .push(("content-encoding".into(), "gzip".into()));
    world.feeds.set("bomb", packed);
    world.feeds.set(
        "endless",
        FeedResponse {
            stream: Some(Stream::Endless),
            ..FeedResponse::ics("")
        },
    );
    for path in ["bomb", "endless"] {
        let looked = world
            .post(
                &ada,
                "/api/v1/calendar/ics/validate",
                json!({ "url": world.feeds.url(path) }),
            )
            .await;
        assert_eq!(
            looked.body["error"], "the feed is larger than 10 MiB",
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_of_one_byte_a_second_is_given_up() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set(
        "slow",
        FeedResponse {
            stream: Some(Stream::BytePerSecond),
            ..FeedResponse::ics("")
        },
    );
    let looked = world
        .post(
            &ada,
            "/api/v1/calendar/ics/validate",
            json!({ "url": world.feeds.url("slow") }),
        )
        .await;
    assert_eq!(looked.body["error"], "the server took too long to answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_in_plain_text() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world
        .feeds
        .set_ics("private-5ecre7/basic.ics", daily(3, "2026-03-02", "a"));
    world.connect(&ada, "private-5ecre7/basic.ics").await;
    let dump = world.dump().await;
    for secret in [
        "private-5ecre7",
        ada.token.as_str(),
        ada.refresh.as_str(),
        crate::harness::PASSWORD,
    ] {
        assert!(!dump.contains(secret), "a table holds {secret}");
    }
    assert!(dump.contains("v1:"), "the address is sealed");
}

async fn event_items(world: &World) -> Vec<String> {
    let dump = world.dump().await;
    let mut items: Vec<String> = dump
        .lines()
        .filter(|line| line.contains("agendaPk"))
        .map(|line| {
            // The debug output of a map has no fixed order.
            let mut parts: Vec<char> = line.chars().collect();
            parts.sort_unstable();
            parts.into_iter().collect()
        })
        .collect();
    items.sort_unstable();
    items
}

#[tokio::test(flavor = "multi_thread")]
async fn uids_that_are_new_at_each_fetch_double_nothing() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let feed =
        |number: u32| daily(30, "2026-03-02", "a").replace("UID:", &format!("UID:{number}-"));
    world.feeds.set_ics("f.ics", feed(0));
    let id = world.connect(&ada, "f.ics").await;
    let ids = async || {
        let events = world.events(&ada, "2026-03-01", "2026-05-01").await;
        let ids = events.iter().map(|event| event["id"].to_string());
        ids.collect::<Vec<_>>()
    };
    let first = ids().await;
    assert_eq!(first.len(), 30);
    for number in 1..6 {
        world.feeds.set_ics("f.ics", feed(number));
        let stats = world.sync(&ada, &id).await["stats"].clone();
        assert_eq!(
            (&stats["total"], &stats["unchanged"]),
            (&json!(30), &json!(30))
        );
        assert_eq!(ids().await, first, "under their old ids");
    }
}
