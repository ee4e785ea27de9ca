//! Queries of a time window: their results and their cost.

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use shared::domain::ids::EventId;
use shared::store::keys::event;

use crate::harness::feeds::{calendar, daily};
use crate::harness::{Person, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_window_costs_what_it_shows_and_not_what_is_stored() {
    let mut units = Vec::new();
    for outside in [100, 1_000] {
        let world = World::new().await;
        let ada = world.sign_up("ada").await;
        world.feeds.set_ics("in.ics", daily(28, "2026-02-01", "in"));
        world
            .feeds
            .set_ics("before.ics", daily(outside, "2020-01-01", "before"));
        world
            .feeds
            .set_ics("after.ics", daily(outside, "2027-01-01", "after"));
        for path in ["in.ics", "before.ics", "after.ics"] {
            world.connect(&ada, path).await;
        }
        world.stack.context.store.meter().take();
        assert_eq!(
            world.events(&ada, "2026-02-01", "2026-03-01").await.len(),
            28
        );
        units.push(world.stack.context.store.meter().take());
    }
    assert_eq!(units[0], units[1], "(read units, write units, calls)");
    assert!(units[0].0 < 20.0, "{units:?}");
    assert_eq!(
        units[0].2, 5,
        "session with profile, calendars, and three spans"
    );
}

/// Data are read while the session is checked; they are returned only if it is valid.
#[tokio::test(flavor = "multi_thread")]
async fn reads_beside_the_session_check_show_nothing_once_it_has_ended() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let calendar = calendar(&["UID:a\nDTSTART:20260214T230000Z\nSUMMARY:secret"]);
    world.feeds.set_ics("f.ics", calendar);
    world.connect(&ada, "f.ics").await;
    let logout = world.post(&ada, "/api/v1/auth/logout", json!({}));
    assert_eq!(logout.await.status, 204);
    for path in [
        "/api/v1/auth/me",
        "/api/v1/calendar/calendars",
        "/api/v1/calendar/calendars/stats",
        "/api/v1/calendar/events?start=2026-02-01&end=2026-03-01",
        "/api/v1/calendar/events?start=2026-02-01&end=2026-03-01&calendarIds=cal_00000000000000000000000000",
        "/api/v1/calendar/events/upcoming",
    ] {
        let answer = world.get(&ada, path).await;
        assert_eq!(answer.status, 401, "{path}");
        assert!(!answer.body.to_string().contains("secret"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_events_are_seen_wherever_they_reach() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let event = |uid: &str, start: &str, end: &str| {
        format!("UID:{uid}\nDTSTART;VALUE=DATE:{start}\nDTEND;VALUE=DATE:{end}\nSUMMARY:{uid}")
    };
    let events = [
        event("weeks", "20260201", "20260220"),
        event("year", "20250101", "20270101"),
        event("over", "20250101", "20260210"),
        event("later", "20260301", "20270101"),
        "UID:night\nDTSTART;TZID=Europe/Berlin:20260214T230000\nDTEND;TZID=Europe/Berlin:20260215T010000\nSUMMARY:night".to_owned(),
        "UID:moment\nDTSTART:20260215T110000Z\nSUMMARY:moment".to_owned(),
        "UID:long-series\nDTSTART;VALUE=DATE:20200101\nDTEND;VALUE=DATE:20200111\nRRULE:FREQ=MONTHLY\nSUMMARY:long-series".to_owned(),
    ];
    world.feeds.set_ics(
        "f.ics",
        calendar(&events.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    world.connect(&ada, "f.ics").await;
    let titles = async |start: &str, end: &str| {
        let events = world.events(&ada, start, end).await;
        let mut titles: Vec<String> = events
            .iter()
            .map(|event| event["title"].as_str().unwrap().to_owned())
            .collect();
        titles.sort();
        titles
    };
    assert_eq!(
        titles("2026-02-15", "2026-02-16").await,
        ["moment", "night", "weeks", "year"]
    );
    assert_eq!(titles("2026-02-20", "2026-02-21").await, ["year"]);
    assert_eq!(
        titles("2026-02-10", "2026-02-11").await,
        ["long-series", "weeks", "year"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_insert_while_paging() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let series = |uid: &str, rule: &str| {
        format!(
            "UID:{uid}\nDTSTART;TZID=America/New_York:20260101T090000\nRRULE:{rule}\nSUMMARY:{uid}"
        )
    };
    let mut events: Vec<String> = vec![
        series("daily", "FREQ=DAILY"),
        series("twice", "FREQ=DAILY;BYHOUR=9,15"),
    ];
    for day in 1..28 {
        events.push(format!(
            "UID:d{day}\nDTSTART;VALUE=DATE:202602{day:02}\nSUMMARY:d{day}"
        ));
        events.push(format!("UID:t{day}\nDTSTART:202602{day:02}T140000Z\nDTEND:202602{day:02}T150000Z\nSUMMARY:t{day}"));
    }
    events.push(
        "UID:span\nDTSTART;VALUE=DATE:20260120\nDTEND;VALUE=DATE:20260210\nSUMMARY:span".into(),
    );
    world.feeds.set_ics(
        "f.ics",
        calendar(&events.iter().map(String::as_str).collect::<Vec<_>>()),
    );
    let id = world.connect(&ada, "f.ics").await;
    let whole = ids(&world.events(&ada, "2026-02-01", "2026-03-01").await);
    assert_eq!(whole.len(), 28 + 56 + 27 + 27 + 1);
    for limit in [1, 2, 7, 50, 139] {
        let (paged, _) = pages(&world, &ada, limit, async |_| {}).await;
        assert_eq!(paged, whole, "limit {limit}");
    }
    let more = events.iter().map(String::as_str).chain([
        "UID:new1\nDTSTART:20260202T140000Z\nSUMMARY:n",
        "UID:new2\nDTSTART:20260220T140000Z\nSUMMARY:n",
    ]);
    let more = calendar(&more.collect::<Vec<_>>());
    let (paged, added) = pages(&world, &ada, 40, async |page| {
        if page == 1 {
            world.feeds.set_ics("f.ics", more.clone());
            world.sync(&ada, &id).await;
        }
    })
    .await;
    assert!(added > 1);
    let mut unique = paged.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), paged.len(), "nothing is repeated");
    assert!(
        whole.iter().all(|id| paged.contains(id)),
        "nothing is omitted"
    );
}

async fn pages(
    world: &World,
    ada: &Person,
    limit: u32,
    mut between: impl AsyncFnMut(u32),
) -> (Vec<String>, u32) {
    let (mut all, mut cursor, mut page) = (Vec::new(), String::new(), 0);
    loop {
        let path = format!(
            "/api/v1/calendar/events?start=2026-02-01&end=2026-03-01&limit={limit}{cursor}"
        );
        let answer = world.get(ada, &path).await;
        let events = answer.body["events"].as_array().unwrap();
        assert!(events.len() <= limit as usize);
        all.extend(ids(events));
        page += 1;
        between(page).await;
        match answer.body["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (all, page),
        }
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events
        .iter()
        .map(|event| event["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_cannot_be_read_names_the_parameter() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    for (query, field) in [
        ("start=2026-01-01", "end"),
        ("end=2026-01-01", "start"),
        ("start=x&end=2026-01-01", "start"),
        ("start=2026-01-02&end=2026-01-01", "end"),
        ("start=2026-01-01&end=2026-01-01", "end"),
        ("start=2026-01-01&end=2027-01-03", "end"),
        ("start=2026-01-01&end=2026-01-02&limit=0", "limit"),
        ("start=2026-01-01&end=2026-01-02&limit=2501", "limit"),
        ("start=2026-01-01&end=2026-01-02&limit=many", "limit"),
        ("start=2026-01-01&end=2026-01-02&timezone=X", "timezone"),
        ("start=2026-01-01&end=2026-01-02&cursor=x", "cursor"),
        (
            "start=2026-01-01&end=2026-01-02&calendarIds=,",
            "calendarIds",
        ),
    ] {
        let answer = world
            .get(&ada, &format!("/api/v1/calendar/events?{query}"))
            .await;
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["field"]),
            (422, &json!(field)),
            "{query}: {answer:?}"
        );
    }
    for query in [
        "start=2026-01-01T00:00:00%2B01:00&end=2026-01-02T00:00:00+01:00",
        "start=2026-01-01&end=2027-01-02",
    ] {
        assert_eq!(
            world
                .get(&ada, &format!("/api/v1/calendar/events?{query}"))
                .await
                .status,
            200,
            "{query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_has_not_changed_is_not_sent_again() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    let path = "/api/v1/calendar/events?start=2026-03-01&end=2026-04-01";
    let first = world.get(&ada, path).await;
    let headers = [
        ("authorization", format!("Bearer {}", ada.token)),
        (
            "if-none-match",
            first.headers["etag"].to_str().unwrap().to_owned(),
        ),
    ];
    assert_eq!(world.send("GET", path, &headers, None).await.status, 304);
    world.feeds.set_ics("f.ics", daily(4, "2026-03-02", "a"));
    world.sync(&ada, &id).await;
    assert_eq!(world.send("GET", path, &headers, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_event_that_cannot_be_read_costs_itself_alone() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("a.ics", daily(3, "2026-12-20", "a"));
    world.connect(&ada, "a.ics").await;
    let events = world.events(&ada, "2026-12-01", "2027-01-01").await;
    assert_eq!(events.len(), 3);
    let id: EventId = events[1]["id"].as_str().unwrap().parse().unwrap();
    let update = world.stack.services.dynamodb.update_item();
    update
        .table_name(&world.stack.services.variables["CALENDAR_TABLE"])
        .set_key(Some(event(ada.id.parse().unwrap(), &id).attributes()))
        .update_expression("SET body = :body")
        .expression_attribute_values(":body", AttributeValue::S("{".to_owned()))
        .send()
        .await
        .unwrap();
    let left = world.events(&ada, "2026-12-01", "2027-01-01").await;
    let ids = |events: &[Value]| {
        events
            .iter()
            .map(|event| event["id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ids(&left),
        [events[0]["id"].clone(), events[2]["id"].clone()]
    );
}
