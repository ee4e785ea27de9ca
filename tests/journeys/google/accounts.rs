//! Accounts, grants, and the calendar list.

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::ProviderHarness;
use crate::harness::World;
use crate::harness::account::{by_hand, connected, create, synced};
use crate::harness::google::{EMAIL, GoogleHarness};

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_ends_gives_its_grants_back() {
    let (world, google, ada, _) = connected::<GoogleHarness>().await;
    assert_eq!(google.report().await["grants"], 1);
    let body = json!({ "password": crate::harness::PASSWORD });
    assert_eq!(
        world
            .call(
                "DELETE",
                "/api/v1/auth/account",
                Some(&ada.token),
                Some(body)
            )
            .await
            .status,
        204
    );
    assert_eq!(google.report().await["grants"], 0);
    let left = |dump: String| {
        dump.lines().any(|line| {
            (line.starts_with("CAL") || line.starts_with("VAULT")) && line.contains(&ada.id)
        })
    };
    world
        .until("the end", async || {
            (!left(world.dump().await)).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_testing_projects_tokens_die_after_seven_days() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    clock.advance(TimeDelta::days(7));
    google.control("revoke", json!({ "email": EMAIL })).await;
    let ada = world.sign_in(&ada).await;
    let broken = synced(&world, &ada, &calendar).await;
    assert!(
        broken["lastError"]
            .as_str()
            .unwrap()
            .contains("\"Testing\" lose their grants after seven days"),
        "{broken}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_shared_by_two_users() {
    let (world, google) = World::with_google().await;
    let (ada, bob) = (world.sign_up("ada").await, world.sign_up("bob").await);
    google
        .control(
            "people",
            json!({ "email": "bob@example.org", "name": "Bob", "timeZone": "America/New_York" }),
        )
        .await;
    let team = json!({ "owner": EMAIL, "summary": "Team", "id": "team@group.calendar.google.com" });
    google.control("calendars", team).await;
    google
        .control(
            "calendars",
            json!({ "owner": "bob@example.org", "summary": "Team", "id": "team@group.calendar.google.com", "accessRole": "reader" }),
        )
        .await;
    let shared = "team@group.calendar.google.com";
    let hers = world
        .connect_account(&google, &ada, EMAIL, &[shared])
        .await
        .remove(0);
    let his = world
        .connect_account(&google, &bob, "bob@example.org", &[shared])
        .await
        .remove(0);
    let body = json!({ "calendarId": hers, "title": "Shared", "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00" });
    let made = create(&world, &ada, body).await;
    world.sync_calendar(&bob, &his).await;
    let seen = world.events(&bob, "2027-01-01", "2027-02-01").await;
    assert_eq!(
        (seen.len(), &seen[0]["title"], &seen[0]["icalUid"]),
        (1, &json!("Shared"), &made["icalUid"])
    );
    assert_ne!(seen[0]["id"], made["id"]);
    // Bob can only read it; a change is rejected.
    let path = format!(
        "/api/v1/calendar/events/{}",
        seen[0]["id"].as_str().unwrap()
    );
    let refused = world
        .call(
            "PUT",
            &path,
            Some(&bob.token),
            Some(json!({ "title": "Mine" })),
        )
        .await;
    assert_eq!(
        (refused.status, &refused.body["type"]),
        (403, &json!("read-only"))
    );
    assert_eq!(
        world
            .get(&bob, &format!("/api/v1/calendar/calendars/{his}"))
            .await
            .body["isReadOnly"],
        true
    );
    assert_eq!(
        world
            .get(
                &bob,
                &format!("/api/v1/calendar/events/{}", made["id"].as_str().unwrap())
            )
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_accounts_list_says_is_followed_daily() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    google
        .control(
            "calendars",
            json!({ "owner": EMAIL, "id": EMAIL, "summary": "Renamed", "accessRole": "reader" }),
        )
        .await;
    clock.advance(TimeDelta::hours(25));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    let now = world
        .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
        .await
        .body;
    assert_eq!(
        (&now["name"], &now["isReadOnly"], &now["accessRole"]),
        (&json!("Renamed"), &json!(true), &json!("READER"))
    );
    let lists = google.calls("calendar.calendarList.list").await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(
        google.calls("calendar.calendarList.list").await,
        lists,
        "once a day"
    );
}
