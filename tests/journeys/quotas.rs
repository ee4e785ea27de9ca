//! What one user may use.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use local::stack::Options;
use serde_json::{Value, json};

use crate::harness::feeds::{calendar, daily};
use crate::harness::{Person, World, options, options_by_hand};

fn with(options: Options, quotas: &[(&str, &str)]) -> Options {
    let quotas = quotas
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let variables: BTreeMap<String, String> = quotas.collect();
    Options {
        variables,
        ..options
    }
}

async fn connect(world: &World, person: &Person, path: &str) -> (u16, Value) {
    let body = json!({ "url": world.feeds.url(path) });
    let answer = world
        .post(person, "/api/v1/calendar/ics/connect", body)
        .await;
    (answer.status, answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_connects_calendars_without_end() {
    let quotas = [("CALENDARS_QUOTA", "3"), ("FEED_CONNECTS_QUOTA", "5")];
    let world = World::with(with(options(), &quotas)).await;
    let ada = world.sign_up("ada").await;
    let grace = world.sign_up("grace").await;
    for number in 0..6 {
        world.feeds.set_ics(&format!("{number}.ics"), calendar(&[]));
    }
    let mut first = String::new();
    for number in 0..3 {
        let (status, made) = connect(&world, &ada, &format!("{number}.ics")).await;
        assert_eq!(status, 201, "{made}");
        first = made["id"].as_str().unwrap().to_owned();
    }
    let (status, refused) = connect(&world, &ada, "3.ics").await;
    assert_eq!((status, &refused["type"]), (403, &json!("quota-exceeded")));
    assert!(
        world.feeds.requests("3.ics").is_empty(),
        "what is refused is not fetched"
    );
    assert_eq!(
        connect(&world, &grace, "0.ics").await.0,
        201,
        "each user has a quota"
    );
    // Connecting and disconnecting in turn has a quota of its own.
    let path = format!("/api/v1/calendar/calendars/{first}");
    world.call("DELETE", &path, Some(&ada.token), None).await;
    let (status, made) = connect(&world, &ada, "3.ics").await;
    assert_eq!(status, 201);
    let path = format!(
        "/api/v1/calendar/calendars/{}",
        made["id"].as_str().unwrap()
    );
    world.call("DELETE", &path, Some(&ada.token), None).await;
    assert_eq!(connect(&world, &ada, "4.ics").await.0, 201);
    let usage = world.get(&ada, "/api/v1/auth/me").await.body["usage"].clone();
    assert_eq!(usage["calendars"], json!({ "used": 3, "limit": 3 }));
    assert_eq!(usage["feedConnects"], json!({ "used": 5, "limit": 5 }));
    let path = format!(
        "/api/v1/calendar/calendars/{}",
        made["id"].as_str().unwrap()
    );
    world.call("DELETE", &path, Some(&ada.token), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stores_enough_connects_no_more() {
    let quotas = [("EVENTS_QUOTA", "10"), ("FEED_CONNECTS_QUOTA", "2")];
    let world = World::with(with(options(), &quotas)).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("a.ics", daily(12, "2026-03-02", "a"));
    world.feeds.set_ics("b.ics", daily(1, "2026-03-02", "b"));
    let id = world.connect(&ada, "a.ics").await;
    let (status, refused) = connect(&world, &ada, "b.ics").await;
    assert_eq!((status, &refused["type"]), (403, &json!("quota-exceeded")));
    assert!(
        refused["detail"].as_str().unwrap().contains("10 events"),
        "{refused}"
    );
    let usage = world.get(&ada, "/api/v1/auth/me").await.body["usage"].clone();
    assert_eq!(usage["events"], json!({ "used": 12, "limit": 10 }));
    let path = format!("/api/v1/calendar/calendars/{id}");
    world.call("DELETE", &path, Some(&ada.token), None).await;
    assert_eq!(connect(&world, &ada, "b.ics").await.0, 201);
    // Two have been connected today.
    let (status, refused) = connect(&world, &ada, "c.ics").await;
    assert_eq!(status, 403);
    assert!(
        refused["detail"].as_str().unwrap().contains("in a day"),
        "{refused}"
    );
}

/// A feed whose events are all new at each fetch is read less often, and what it brings is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_that_changes_without_end_is_synced_less_often() {
    let (options, clock) = options_by_hand("2026-03-01T08:00:00Z");
    let world = World::with(with(options, &[("CHANGES_QUOTA", "25")])).await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(10, "2026-03-02", "a"));
    let (_, made) = connect(&world, &ada, "f.ics").await;
    let id = made["id"].as_str().unwrap().to_owned();
    let sync = format!("/api/v1/calendar/calendars/{id}/sync");
    world.stack.work().await;
    let fetched = || world.feeds.requests("f.ics").len();
    for (title, is_fetched) in [("b", true), ("c", true), ("d", false)] {
        clock.advance(TimeDelta::minutes(10));
        world.feeds.set_ics(
            "f.ics",
            daily(10, "2026-03-02", "a").replace("SUMMARY:a", &format!("SUMMARY:{title}")),
        );
        let before = fetched();
        let ada = world.sign_in(&ada).await;
        assert_eq!(world.post(&ada, &sync, json!({})).await.status, 202);
        world.stack.work().await;
        assert_eq!(fetched() > before, is_fetched, "{title}");
    }
    // The next day the count begins anew.
    clock.advance(TimeDelta::hours(24));
    let ada = world.sign_in(&ada).await;
    world.post(&ada, &sync, json!({})).await;
    world.stack.work().await;
    let events = world.events(&ada, "2026-03-02", "2026-03-03").await;
    assert!(
        events[0]["title"].as_str().unwrap().starts_with('d'),
        "{events:?}"
    );
}
