//! Push channels and their notifications.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::json;

use super::{insert, timed};
use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, titles};
use crate::harness::google::GoogleHarness;

#[tokio::test(flavor = "multi_thread")]
async fn webhook_matched_to_the_wrong_user() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    world
        .until("a channel", async || {
            (google.report().await["channels"] == 1).then_some(())
        })
        .await;
    let dump = world.dump().await;
    let channel = dump
        .split("CHANNEL#")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    insert(&google, timed("First", "2027-01-04", 9)).await;
    world
        .until("a push", async || {
            (titles(&world, &ada).await == ["First"]).then_some(())
        })
        .await;
    world
        .until("rest", async || {
            (world
                .get(&ada, &format!("/api/v1/calendar/calendars/{calendar}"))
                .await
                .body["syncStatus"]
                == "SYNCED")
                .then_some(())
        })
        .await;
    let before = google.calls("changes").await;
    for (id, token) in [
        (channel.as_str(), ""),
        (channel.as_str(), "guessed"),
        ("unknown", "guessed"),
        ("", ""),
    ] {
        let headers = [
            ("x-goog-channel-id", id.to_owned()),
            ("x-goog-channel-token", token.to_owned()),
            ("x-goog-resource-id", "any".to_owned()),
            ("x-goog-resource-state", "exists".to_owned()),
        ];
        for path in [
            "/api/v1/calendar/webhooks/google",
            "/api/v1/webhooks/google-calendar",
        ] {
            assert_eq!(
                world
                    .send("POST", path, &headers, Some(String::new()))
                    .await
                    .status,
                204
            );
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(
        google.calls("changes").await,
        before,
        "a forged notification changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_or_duplicate_google_channels() {
    let (world, google, ada, calendar, clock) = by_hand::<GoogleHarness>().await;
    assert_eq!(google.report().await["channels"], 1);
    let before = google.calls("changes").await;
    let id = insert(&google, timed("Busy", "2027-01-04", 9)).await;
    for number in 0..20 {
        google
            .call(
                Method::PATCH,
                &format!("calendars/primary/events/{id}"),
                None,
                Some(json!({ "summary": format!("Busy {number}") })),
            )
            .await;
    }
    // The pushes arrive in the background, so wait for the last one.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    world.stack.work().await;
    let pulls = google.calls("changes").await - before;
    assert!(
        (1..=2).contains(&pulls),
        "21 notifications made {pulls} pulls"
    );
    assert_eq!(titles(&world, &ada).await, ["Busy 19"]);
    // Renewed before it expires: the new channel is opened before the old one is closed.
    clock.advance(TimeDelta::days(6));
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 1);
    world.stack.work().await;
    assert_eq!(google.report().await["channels"], 1);
    assert_eq!(google.calls("watch").await, 2);
    assert_eq!(google.calls("stop").await, 1);
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 0);
    drop((ada, calendar));
}

#[tokio::test(flavor = "multi_thread")]
async fn push_body_trusted() {
    let (world, google, ada, calendar) = connected::<GoogleHarness>().await;
    let headers = [
        ("x-goog-channel-id", "x".repeat(65)),
        ("x-goog-channel-token", "t".to_owned()),
        ("x-goog-resource-id", "r".to_owned()),
        ("x-goog-resource-state", "exists".to_owned()),
    ];
    let body = json!({ "items": [{ "id": "forged", "summary": "Forged", "status": "confirmed" }] })
        .to_string();
    assert_eq!(
        world
            .send(
                "POST",
                "/api/v1/calendar/webhooks/google",
                &headers,
                Some(body)
            )
            .await
            .status,
        204
    );
    world.sync_calendar(&ada, &calendar).await;
    assert_eq!(titles(&world, &ada).await, Vec::<String>::new());
    drop(google);
}
