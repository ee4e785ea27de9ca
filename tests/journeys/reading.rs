//! Reading a part of the agenda: by words, status, people and changes; series as series; some fields only.

use serde_json::{Value, json};

use crate::harness::feeds::{calendar, daily};
use crate::harness::{Person, World};

const MARCH: &str = "/api/v1/calendar/events?start=2026-03-01&end=2026-04-01";

async fn titles(world: &World, person: &Person, path: &str) -> Vec<String> {
    let answer = world.get(person, path).await;
    assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
    let events = answer.body["events"].as_array().unwrap();
    let titles = events.iter().map(|event| event["title"].as_str().unwrap());
    titles.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_is_searched() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let events = [
        "UID:a\nDTSTART:20260302T090000Z\nSUMMARY:Budget review\nLOCATION:Room Ögedei\nATTENDEE;CN=Grace Hopper:mailto:Grace@example.org",
        "UID:b\nDTSTART:20260303T090000Z\nSUMMARY:Lunch\nDESCRIPTION:about the BUDGET\nSTATUS:TENTATIVE",
        "UID:c\nDTSTART:20260304T090000Z\nSUMMARY:Gone\nSTATUS:CANCELLED\nORGANIZER:mailto:grace@example.org",
    ];
    world.feeds.set_ics("f.ics", calendar(&events));
    world.feeds.set_ics(
        "g.ics",
        calendar(&["UID:d\nDTSTART:20260305T090000Z\nSUMMARY:Elsewhere"]),
    );
    let first = world.connect(&ada, "f.ics").await;
    world.connect(&ada, "g.ics").await;
    for (query, found) in [
        ("q=budget", vec!["Budget review", "Lunch"]),
        ("q=BUDGET%20grace", vec!["Budget review"]),
        ("q=%C3%B6gedei", vec!["Budget review"]),
        ("q=nothing", vec![]),
        ("q=", vec!["Budget review", "Lunch", "Gone", "Elsewhere"]),
        ("status=TENTATIVE,CANCELLED", vec!["Lunch", "Gone"]),
        ("attendee=GRACE@example.org", vec!["Budget review", "Gone"]),
        (
            "attendee=grace@example.org&status=CONFIRMED",
            vec!["Budget review"],
        ),
        (
            &format!("calendarIds={first}&q=e"),
            vec!["Budget review", "Lunch", "Gone"],
        ),
    ] {
        assert_eq!(
            titles(&world, &ada, &format!("{MARCH}&{query}")).await,
            found,
            "{query}"
        );
    }
    let of_one =
        format!("/api/v1/calendar/calendars/{first}/events?start=2026-03-01&end=2026-04-01");
    assert_eq!(
        titles(&world, &ada, &of_one).await,
        ["Budget review", "Lunch", "Gone"]
    );
    assert_eq!(
        titles(&world, &ada, &format!("{of_one}&q=lunch")).await,
        ["Lunch"]
    );
    let other = "/api/v1/calendar/calendars/cal_00000000000000000000000000/events?start=2026-03-01&end=2026-04-01";
    assert_eq!(world.get(&ada, other).await.status, 404);
    for (query, field) in [
        ("status=MAYBE", "status"),
        ("attendee=grace", "attendee"),
        ("updatedSince=yesterday", "updatedSince"),
        ("fields=title,colour", "fields"),
        ("fields=,", "fields"),
        ("expand=perhaps", "expand"),
        ("q=a%20b%20c%20d%20e%20f%20g%20h%20i%20j%20k", "q"),
    ] {
        let answer = world.get(&ada, &format!("{MARCH}&{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert_eq!(answer.body["errors"][0]["field"], field, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_has_changed_since_is_listed() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let two = [
        "UID:a\nDTSTART:20260302T090000Z\nSUMMARY:a",
        "UID:b\nDTSTART:20260303T090000Z\nSUMMARY:b",
    ];
    world.feeds.set_ics("f.ics", calendar(&two));
    let id = world.connect(&ada, "f.ics").await;
    let changed = "UID:b\nDTSTART:20260303T090000Z\nSUMMARY:c";
    world.feeds.set_ics("f.ics", calendar(&[two[0], changed]));
    world.sync(&ada, &id).await;
    let listed = world.get(&ada, MARCH).await.body;
    let since = |index: usize| {
        let at = listed["events"][index]["updatedAt"].as_str().unwrap();
        format!("{MARCH}&updatedSince={}", at.replace('+', "%2B"))
    };
    assert_eq!(titles(&world, &ada, &since(0)).await, ["a", "c"]);
    assert_eq!(titles(&world, &ada, &since(1)).await, ["c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_is_listed_as_a_series_with_its_exceptions() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let events = [
        "UID:s\nDTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T100000\nRRULE:FREQ=WEEKLY\nEXDATE;TZID=Europe/Berlin:20260309T090000\nSUMMARY:Weekly",
        "UID:s\nRECURRENCE-ID;TZID=Europe/Berlin:20260316T090000\nDTSTART;TZID=Europe/Berlin:20260317T110000\nDTEND;TZID=Europe/Berlin:20260317T120000\nSUMMARY:Moved",
        "UID:x\nDTSTART:20260303T090000Z\nSUMMARY:Single",
        "UID:over\nDTSTART:20260105T090000Z\nRRULE:FREQ=DAILY;COUNT=3\nSUMMARY:Over",
    ];
    world.feeds.set_ics("f.ics", calendar(&events));
    world.connect(&ada, "f.ics").await;
    let path = format!("{MARCH}&expand=false");
    assert_eq!(
        titles(&world, &ada, &path).await,
        ["Weekly", "Single", "Moved"]
    );
    let listed = world.get(&ada, &path).await.body;
    let (series, moved) = (&listed["events"][0], &listed["events"][2]);
    assert_eq!(series["startTime"], "2026-01-05T09:00:00+01:00");
    assert_eq!(
        series["recurrence"],
        json!(["RRULE:FREQ=WEEKLY", "EXDATE:20260309T080000Z"])
    );
    assert_eq!(
        series["overriddenStarts"],
        json!(["2026-03-16T09:00:00+01:00"])
    );
    assert_eq!(moved["seriesId"], series["id"]);
    assert_eq!(moved["originalStart"], "2026-03-16T09:00:00+01:00");
    assert_eq!(moved.get("recurrence"), None);
    // Page by page, the same.
    let mut paged = Vec::new();
    let mut next = format!("{path}&limit=1");
    loop {
        let page = world.get(&ada, &next).await.body;
        paged.extend(page["events"].as_array().unwrap().clone());
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        next = format!("{path}&limit=1&cursor={cursor}");
    }
    assert_eq!(Value::from(paged), listed["events"]);
    let id = series["id"].as_str().unwrap();
    let one = world
        .get(&ada, &format!("/api/v1/calendar/events/{id}"))
        .await;
    assert_eq!(one.body["recurrence"], series["recurrence"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn some_fields_are_enough() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics(
        "f.ics",
        calendar(&["UID:a\nDTSTART:20260302T090000Z\nSUMMARY:a"]),
    );
    world.connect(&ada, "f.ics").await;
    let answer = world
        .get(&ada, &format!("{MARCH}&fields=title,startTime"))
        .await;
    let event = answer.body["events"][0].as_object().unwrap();
    let mut names: Vec<&String> = event.keys().collect();
    names.sort();
    assert_eq!(names, ["id", "startTime", "title"]);
    assert!(answer.body["coverage"][0]["isComplete"].is_boolean());
}

/// A search that finds little in much ends its page early, and the pages together find everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_many_events_costs_no_more_than_a_page() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let mut events = String::new();
    for number in 0..12_000 {
        let (day, hour, minute) = (1 + number % 28, number / 28 % 24, number / 672 % 60);
        let title = if number % 4_000 == 7 { "needle" } else { "hay" };
        events.push_str(&format!("BEGIN:VEVENT\r\nUID:{number}\r\nDTSTART:202603{day:02}T{hour:02}{minute:02}00Z\r\nSUMMARY:{title}\r\nEND:VEVENT\r\n"));
    }
    let text =
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//EN\r\n{events}END:VCALENDAR\r\n");
    world.feeds.set_ics("f.ics", text);
    world
        .feeds
        .set_ics("g.ics", daily(3, "2026-03-05", "other"));
    world.connect(&ada, "f.ics").await;
    world.connect(&ada, "g.ics").await;
    let path = format!("{MARCH}&q=needle");
    let (mut found, mut pages, mut next) = (0, 0, path.clone());
    loop {
        world.stack.context.store.meter().take();
        let page = world.get(&ada, &next).await.body;
        let (read, _, _) = world.stack.context.store.meter().take();
        assert!(read < 800.0, "{read} units");
        found += page["events"].as_array().unwrap().len();
        pages += 1;
        let Some(cursor) = page["nextCursor"].as_str() else {
            break;
        };
        next = format!("{path}&cursor={cursor}");
    }
    assert_eq!((found, pages), (3, 3));
}
