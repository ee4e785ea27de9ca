//! Changed occurrences and the zones of series, as real mailboxes were seen to tell them (docs/microsoft.md).

use reqwest::Method;
use serde_json::{Value, json};

use super::{starts, weekly};
use crate::harness::account::{by_hand, connected, create, delete, put, synced};
use crate::harness::microsoft::MicrosoftHarness;
use crate::harness::{EventChange, ProviderHarness};

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_occurrence_stands_for_its_original() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    let id = weekly(&side).await;
    let moved = EventChange::Times("2027-01-13T15:00:00", "2027-01-13T16:00:00");
    let occurrence = MicrosoftHarness::occurrence(&id, "2027-01-11T09:00:00");
    assert!(side.change(&occurrence, moved).await.is_success());
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        starts(&world, &ada).await,
        ["04T09:00", "13T15:00", "18T09:00", "25T09:00"]
    );
    // Changed and deleted here, it is changed and deleted there.
    let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
    let own = events[1]["id"].as_str().unwrap().to_owned();
    let change = json!({ "title": "Special" });
    let path = format!("/api/v1/calendar/events/{own}?wait=0");
    let answer = world
        .call("PUT", &path, Some(&ada.token), Some(change))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.event(&occurrence).await["subject"], "Special");
    assert_eq!(
        side.event(&occurrence).await["start"]["dateTime"],
        "2027-01-13T15:00:00.0000000"
    );
    let answer = world.call("DELETE", &path, Some(&ada.token), None).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.in_january().await, 3);
    assert_eq!(
        starts(&world, &ada).await,
        ["04T09:00", "18T09:00", "25T09:00"]
    );
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_repeats_in_the_zone_of_its_recurrence() {
    let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
    // Made in New York, repeated in Berlin: the clocks of the two change three weeks apart.
    let zone = "Eastern Standard Time";
    let event = json!({
        "subject": "Weekly",
        "start": { "dateTime": "2027-03-01T03:00:00", "timeZone": zone },
        "end": { "dateTime": "2027-03-01T04:00:00", "timeZone": zone },
        "recurrence": {
            "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday" },
            "range": { "type": "numbered", "startDate": "2027-03-01", "numberOfOccurrences": 5,
                       "recurrenceTimeZone": "W. Europe Standard Time" }
        }
    });
    let id = side.create(event).await["id"].as_str().unwrap().to_owned();
    let moved = EventChange::Times("2027-03-23T15:00:00", "2027-03-23T16:00:00");
    let occurrence = MicrosoftHarness::occurrence(&id, "2027-03-22T09:00:00");
    assert!(side.change(&occurrence, moved).await.is_success());
    synced(&world, &ada, &calendar).await;
    let events = world.events(&ada, "2027-03-01", "2027-04-01").await;
    let start = |event: &Value| event["startTime"].as_str().unwrap()[8..16].to_owned();
    let starts: Vec<String> = events.iter().map(start).collect();
    assert_eq!(
        starts,
        ["01T09:00", "08T09:00", "15T09:00", "23T15:00", "29T09:00"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_occurrences_of_days_are_placed_in_every_zone() {
    for zone in [
        "Dateline Standard Time",
        "Hawaiian Standard Time",
        "UTC",
        "W. Europe Standard Time",
        "India Standard Time",
        "New Zealand Standard Time",
        "Line Islands Standard Time",
    ] {
        for has_id in [true, false] {
            let (world, side, ada, calendar, _) = by_hand::<MicrosoftHarness>().await;
            side.control("days", json!({ "hasOccurrenceId": has_id }))
                .await;
            let at =
                |text: &str| json!({ "dateTime": format!("{text}T00:00:00"), "timeZone": zone });
            let event = json!({
                "subject": "Days", "isAllDay": true, "start": at("2027-01-04"), "end": at("2027-01-05"),
                "recurrence": {
                    "pattern": { "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday" },
                    "range": { "type": "numbered", "startDate": "2027-01-04", "numberOfOccurrences": 3, "recurrenceTimeZone": zone }
                }
            });
            let id = side.create(event).await["id"].as_str().unwrap().to_owned();
            let occurrence = MicrosoftHarness::occurrence(&id, "2027-01-11T00:00:00");
            let moved = json!({ "start": at("2027-01-13"), "end": at("2027-01-14") });
            let path = side.path(&["events", &occurrence]);
            let (status, answer) = side.call(Method::PATCH, path, Some(moved)).await;
            assert_eq!(status, 200, "{answer}");
            synced(&world, &ada, &calendar).await;
            let events = world.events(&ada, "2027-01-01", "2027-02-01").await;
            let start = |event: &Value| event["startTime"].as_str().unwrap().to_owned();
            let starts: Vec<String> = events.iter().map(start).collect();
            assert_eq!(
                starts,
                ["2027-01-04", "2027-01-13", "2027-01-18"],
                "{zone}, {has_id}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_series_here_reaches_the_mailbox() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    let body = json!({ "calendarId": calendar, "title": "Weekly", "startTime": "2027-01-04T12:00:00", "endTime": "2027-01-04T13:00:00", "recurrenceRule": "FREQ=WEEKLY;COUNT=4" });
    let made = create(&world, &ada, body).await;
    let id = made["id"].as_str().unwrap();
    put(&world, &ada, id, json!({ "title": "Renamed" })).await;
    assert_eq!(side.titles().await, ["Renamed"]);
    delete(&world, &ada, &format!("{id}_20270111T110000Z")).await;
    assert_eq!(side.in_january().await, 3);
    delete(&world, &ada, id).await;
    assert_eq!(side.in_january().await, 0);
}
