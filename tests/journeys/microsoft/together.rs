//! One user with accounts of both providers.

use serde_json::{Value, json};

use crate::harness::ProviderHarness;
use crate::harness::World;
use crate::harness::account::create;
use crate::harness::microsoft::{EMAIL, MicrosoftHarness};
use crate::harness::options;

/// A rule has the same occurrences at Google, here, at Microsoft, and here again.
#[tokio::test(flavor = "multi_thread")]
async fn recurrences_survive_the_way_through_both_providers() {
    let mut options = options();
    let (google, microsoft) = (
        crate::harness::google::GoogleHarness::at(options.clock.clone()).await,
        MicrosoftHarness::at(options.clock.clone()).await,
    );
    google.attach(&mut options);
    microsoft.attach(&mut options);
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let from = world
        .connect_account(
            &google,
            &ada,
            crate::harness::google::EMAIL,
            &[&google.primary()],
        )
        .await
        .remove(0);
    let to = world
        .connect_account(&microsoft, &ada, EMAIL, &[&microsoft.primary()])
        .await
        .remove(0);
    let rules = [
        "FREQ=DAILY;COUNT=9",
        "FREQ=DAILY;INTERVAL=3;UNTIL=20270420T120000Z",
        "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;COUNT=30",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR;WKST=SU;COUNT=12",
        "FREQ=WEEKLY",
        "FREQ=MONTHLY;BYMONTHDAY=1;COUNT=5",
        "FREQ=MONTHLY;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1;COUNT=6",
        "FREQ=YEARLY;COUNT=3",
        "FREQ=YEARLY;BYMONTH=2;BYDAY=1MO",
    ];
    for (number, rule) in rules.iter().enumerate() {
        let title = format!("r{number}");
        google
            .insert(
                &title,
                "2027-02-01T09:00:00",
                "2027-02-01T09:30:00",
                Some(*rule),
            )
            .await;
    }
    world.sync_calendar(&ada, &from).await;
    let occurrences = async |calendar: &str| {
        let path = format!(
            "/api/v1/calendar/events?start=2027-01-01&end=2027-12-01&limit=1000&calendarIds={calendar}"
        );
        let events = world.get(&ada, &path).await.body["events"]
            .as_array()
            .unwrap()
            .clone();
        let mut found: Vec<(String, String)> = events
            .iter()
            .map(|event| {
                (
                    event["title"].as_str().unwrap().to_owned(),
                    event["startTime"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        found.sort();
        (found, events)
    };
    let (expected, events) = occurrences(&from).await;
    assert!(expected.len() > 140, "{}", expected.len());
    for number in 0..rules.len() {
        let title = format!("r{number}");
        let event = events
            .iter()
            .find(|event| event["title"] == title.as_str())
            .unwrap();
        let series = world
            .get(
                &ada,
                &format!(
                    "/api/v1/calendar/events/{}",
                    event["seriesId"].as_str().unwrap()
                ),
            )
            .await
            .body;
        let copy = json!({
            "calendarId": to, "title": title, "startTime": series["startTime"], "endTime": series["endTime"],
            "timezone": series["timezone"], "recurrenceRule": series["recurrenceRule"]
        });
        create(&world, &ada, copy).await;
    }
    assert_eq!(occurrences(&to).await.0, expected, "as they were written");
    world.post(&ada, "/api/v1/sync/reset", json!({})).await;
    world.sync_calendar(&ada, &to).await;
    assert_eq!(occurrences(&to).await.0, expected, "as Microsoft has them");
    let there = microsoft.in_january().await;
    assert_eq!(there, 0);
    assert_eq!(microsoft.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agenda_over_all_providers() {
    let mut options = options();
    let (google, microsoft) = (
        crate::harness::google::GoogleHarness::at(options.clock.clone()).await,
        MicrosoftHarness::at(options.clock.clone()).await,
    );
    google.attach(&mut options);
    microsoft.attach(&mut options);
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let g = world
        .connect_account(
            &google,
            &ada,
            crate::harness::google::EMAIL,
            &[&google.primary()],
        )
        .await
        .remove(0);
    let m = world
        .connect_account(&microsoft, &ada, EMAIL, &[&microsoft.primary()])
        .await
        .remove(0);
    // Both in the same week, in which daylight saving time begins in Berlin (28 March 2027).
    google
        .insert(
            "Google",
            "2027-03-22T09:00:00",
            "2027-03-22T10:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    microsoft
        .insert(
            "Microsoft",
            "2027-03-22T11:00:00",
            "2027-03-22T12:00:00",
            Some("FREQ=WEEKLY;COUNT=3"),
        )
        .await;
    microsoft
        .insert("Holiday", "2027-03-28", "2027-03-30", None)
        .await;
    world.feeds.set_ics(
        "team.ics",
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//t//t//EN\r\nBEGIN:VEVENT\r\nUID:f@x\r\nDTSTAMP:20270101T000000Z\r\n\
         DTSTART;TZID=Europe/Berlin:20270322T130000\r\nDTEND;TZID=Europe/Berlin:20270322T140000\r\nRRULE:FREQ=WEEKLY;COUNT=3\r\n\
         SUMMARY:Feed\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
    );
    world.connect(&ada, "team.ics").await;
    world.sync_calendar(&ada, &g).await;
    world.sync_calendar(&ada, &m).await;
    let made = async |calendar: &str, title: &str, hour: u32| {
        let body = json!({
            "calendarId": calendar, "title": title, "startTime": format!("2027-03-29T{hour}:00:00"), "endTime": format!("2027-03-29T{hour}:30:00")
        });
        create(&world, &ada, body).await;
    };
    made(&g, "Made at Google", 15).await;
    made(&m, "Made at Microsoft", 16).await;
    let agenda = world.events(&ada, "2027-03-22", "2027-04-10").await;
    let shown: Vec<String> = agenda
        .iter()
        .map(|event| {
            format!(
                "{} {}",
                event["startTime"].as_str().unwrap(),
                event["title"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2027-03-22T09:00:00+01:00 Google",
            "2027-03-22T11:00:00+01:00 Microsoft",
            "2027-03-22T13:00:00+01:00 Feed",
            "2027-03-28 Holiday",
            "2027-03-29T09:00:00+02:00 Google",
            "2027-03-29T11:00:00+02:00 Microsoft",
            "2027-03-29T13:00:00+02:00 Feed",
            "2027-03-29T15:00:00+02:00 Made at Google",
            "2027-03-29T16:00:00+02:00 Made at Microsoft",
            "2027-04-05T09:00:00+02:00 Google",
            "2027-04-05T11:00:00+02:00 Microsoft",
            "2027-04-05T13:00:00+02:00 Feed",
        ]
    );
    let stats = world
        .get(&ada, "/api/v1/calendar/calendars/stats")
        .await
        .body;
    let providers = &stats["providers"];
    assert_eq!(
        (
            &providers["GOOGLE"],
            &providers["MICROSOFT"],
            &providers["ICS"]
        ),
        (&json!(1), &json!(1), &json!(1)),
        "{stats}"
    );
    assert_eq!(
        (
            google.report().await["mails"].clone(),
            microsoft.report().await["mails"].clone()
        ),
        (json!([]), json!([]))
    );
    assert_eq!(
        (google.violations().await, microsoft.violations().await),
        (vec![], vec![])
    );
}
