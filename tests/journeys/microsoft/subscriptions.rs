//! Subscriptions and their notifications.

use std::time::Duration;

use chrono::TimeDelta;
use local::stack::Options;
use reqwest::Method;
use serde_json::{Value, json};

use super::{NOTIFY, subscription};
use crate::harness::ProviderHarness;
use crate::harness::account::{by_hand, connected, synced, titles};
use crate::harness::microsoft::{EMAIL, MicrosoftHarness, time};
use crate::harness::{InjectedFault, World, clock, options};

#[tokio::test(flavor = "multi_thread")]
async fn graph_validation_handshake_times_out() {
    // The validation response needs no table, key or queue. In all other journeys, the sandbox validates the URL
    // itself.
    let world = World::with(Options {
        background: false,
        ..Options::default()
    })
    .await;
    let token = "Validation: <b>bold</b> +ä";
    for path in [NOTIFY.to_owned(), format!("{NOTIFY}/lifecycle")] {
        let mut url = reqwest::Url::parse(&format!("{}{path}", world.stack.url)).unwrap();
        url.query_pairs_mut().append_pair("validationToken", token);
        world.stack.context.store.meter().take();
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .post(url)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(
            answer.text().await.unwrap(),
            token,
            "as it was before it was escaped, and nothing else"
        );
        let (reads, writes, _) = world.stack.context.store.meter().take();
        assert!(reads + writes == 0.0, "{reads} reads and {writes} writes");
        let long = world
            .call(
                "POST",
                &format!("{path}?validationToken={}", "x".repeat(2_000)),
                None,
                None,
            )
            .await;
        assert_eq!(long.status, 422);
    }
    // A subscription that cannot be created is retried; until then the calendar is polled.
    let (world, side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    side.faults("watch", InjectedFault::Broken).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 0);
    clock.advance(TimeDelta::minutes(16));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
    // The same when Graph's validation request fails.
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let in_vain = "Subscription validation request failed.";
    side.control(
        "faults",
        json!([{ "method": "subscriptions.create", "status": 400, "reason": in_vain }]),
    )
    .await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 0);
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_subscription_expires_silently() {
    let (world, mut side, ada, calendar, clock) = by_hand::<MicrosoftHarness>().await;
    let (first, channel) = subscription(&world, &ada).await;
    let life = channel.expires_at - clock.now();
    assert_eq!(
        life.num_minutes(),
        (6 * 24 + 20) * 60,
        "a little less than seven days"
    );
    // Renewed in place after four fifths of its lifetime.
    clock.advance(TimeDelta::days(5));
    assert_eq!(renew_channels::run(world.stack.jobs()).await.unwrap(), 1);
    clock.advance(TimeDelta::hours(13));
    world.stack.work().await;
    assert_eq!(
        (
            side.calls("subscriptions.update").await,
            side.calls("watch").await
        ),
        (1, 1)
    );
    assert_eq!(subscription(&world, &ada).await.0, first);
    // Microsoft requires reauthorisation.
    let ada = world.sign_in(&ada).await;
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "reauthorizationRequired" }),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(side.calls("subscriptions.update").await, 2);
    // Notifications were missed: the calendar is synced.
    side.sign_in().await;
    side.control("mute", json!({})).await;
    side.insert("Missed", "2027-01-12T09:00:00", "2027-01-12T10:00:00", None)
        .await;
    side.control("lifecycle", json!({ "email": EMAIL, "event": "missed" }))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Missed"]);
    // Removed by Microsoft: it is replaced, and the calendar is synced.
    side.control(
        "lifecycle",
        json!({ "email": EMAIL, "event": "subscriptionRemoved" }),
    )
    .await;
    side.insert(
        "Meanwhile",
        "2027-01-13T09:00:00",
        "2027-01-13T10:00:00",
        None,
    )
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    world.stack.work().await;
    assert_eq!(titles(&world, &ada).await, ["Missed", "Meanwhile"]);
    assert_ne!(subscription(&world, &ada).await.0, first);
    assert_eq!(side.report().await["channels"], 1);
    // Removed without a lifecycle notification: the renewal detects it.
    let (second, _) = subscription(&world, &ada).await;
    let (status, _) = side
        .call(
            Method::DELETE,
            format!("{}/v1.0/subscriptions/{second}", side.url)
                .parse()
                .unwrap(),
            None,
        )
        .await;
    assert_eq!(status, 204);
    clock.advance(TimeDelta::days(6));
    let ada = world.sign_in(&ada).await;
    synced(&world, &ada, &calendar).await;
    assert_eq!(side.report().await["channels"], 1);
    assert_eq!(side.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_allows_three_days_only_is_watched_all_the_same() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    side.control("longest", json!(4_230)).await;
    let ada = world.sign_up("ada").await;
    world
        .connect_account(&side, &ada, EMAIL, &[&side.primary()])
        .await;
    let (_, channel) = subscription(&world, &ada).await;
    let life = channel.expires_at - clock().now();
    assert!((4_198..=4_201).contains(&life.num_minutes()), "{life}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_prove_themselves_one_by_one() {
    let (world, side, ada, _) = connected::<MicrosoftHarness>().await;
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
    let (id, channel) = subscription(&world, &ada).await;
    let channel = channel.id.unwrap();
    world
        .until("rest", async || {
            world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"][0]["syncStatus"]
                .as_str()
                .filter(|status| *status == "SYNCED")
                .map(drop)
        })
        .await;
    let before = side.calls("changes").await;
    let guessed = "g".repeat(43);
    for (state, subscription) in [
        (format!("{channel}.{guessed}"), id.as_str()),
        (format!("{guessed}.{guessed}"), &id),
        (format!("{channel}."), &id),
        (channel.clone(), &id),
        ("unknown.secret".to_owned(), &id),
        ("x".repeat(200), &id),
        (String::new(), ""),
    ] {
        let body = json!({ "value": [{ "subscriptionId": subscription, "clientState": state, "changeType": "updated", "resource": "r" }, 7] });
        for path in [NOTIFY.to_owned(), format!("{NOTIFY}/lifecycle")] {
            assert_eq!(
                world
                    .call("POST", &path, None, Some(body.clone()))
                    .await
                    .status,
                202
            );
        }
    }
    let nonsense = world
        .send("POST", NOTIFY, &[], Some("<xml/>".to_owned()))
        .await;
    assert_eq!(
        nonsense.status, 202,
        "nobody learns anything, and nobody sends it again"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        side.calls("changes").await,
        before,
        "a forged notification changes nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_notification_costs_little() {
    let (world, _, _, _) = connected::<MicrosoftHarness>().await;
    let forged = |number: usize| {
        let state = format!("{number:043}.{}", "s".repeat(43));
        json!({ "subscriptionId": "s", "clientState": state, "changeType": "updated" })
    };
    let meter = world.stack.context.store.meter();
    let post = async |count: usize| {
        let body = json!({ "value": (0..count).map(forged).collect::<Vec<_>>() });
        world.call("POST", NOTIFY, None, Some(body)).await.status
    };
    meter.take();
    assert_eq!(post(400).await, 202);
    let (read_units, write_units, _) = meter.take();
    // Ten are looked up at once, and no others after that.
    assert!(
        read_units <= 10.0 && write_units < 1.0,
        "{read_units} {write_units}"
    );
    assert_eq!(post(900).await, 413, "larger than 64 KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_comes_back_is_watched_anew() {
    let (world, side, ada, calendar) = connected::<MicrosoftHarness>().await;
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
    assert_eq!(
        world
            .call(
                "DELETE",
                &format!("/api/v1/calendar/calendars/{calendar}"),
                Some(&ada.token),
                None
            )
            .await
            .status,
        204
    );
    world
        .until("none", async || {
            (side.report().await["channels"] == 0).then_some(())
        })
        .await;
    world
        .until("no grant", async || {
            (!world.dump().await.contains("#grant")).then_some(())
        })
        .await;
    let again = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary()])
        .await;
    assert_eq!(again, [calendar], "under its old id");
    world
        .until("a subscription", async || {
            (side.report().await["channels"] == 1).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_calendars_are_polled_and_the_others_pushed() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    side.add_person("bob@contoso.test").await;
    let shared = json!({ "owner": "bob@contoso.test", "summary": "Bob's", "sharedWith": EMAIL, "canEdit": false });
    let shared = side.control("calendars", shared).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ada = world.sign_up("ada").await;
    let ids = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary(), &shared])
        .await;
    let all = world.get(&ada, "/api/v1/calendar/calendars").await.body["calendars"].clone();
    let of = |id: &str| {
        all.as_array()
            .unwrap()
            .iter()
            .find(|calendar| calendar["id"] == id)
            .unwrap()
            .clone()
    };
    let (own, bobs) = if of(&ids[0])["name"] == "Bob's" {
        (of(&ids[1]), of(&ids[0]))
    } else {
        (of(&ids[0]), of(&ids[1]))
    };
    assert_eq!(
        (&bobs["isReadOnly"], &own["isReadOnly"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (&bobs["hasWebhook"], &own["hasWebhook"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(
        side.report().await["channels"],
        1,
        "none of the shared calendar"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_second_calendar_are_pushed() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    let ada = world.sign_up("ada").await;
    let second = side.add_calendar("Second").await;
    let ids = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary(), &second])
        .await;
    side.delivered().await;
    let mut url = reqwest::Url::parse(&format!("{}/v1.0/me/calendars", side.url)).unwrap();
    url.path_segments_mut()
        .unwrap()
        .extend([second.as_str(), "events"]);
    let event = json!({ "subject": "Pushed", "start": time("2027-01-05T09:00:00"), "end": time("2027-01-05T10:00:00") });
    let (status, made) = side.call(Method::POST, url, Some(event)).await;
    assert_eq!(status, 201, "{made}");
    world
        .until("the pushed event", async || {
            titles(&world, &ada)
                .await
                .contains(&"Pushed".to_owned())
                .then_some(())
        })
        .await;
    for id in &ids {
        let shown = world
            .get(&ada, &format!("/api/v1/calendar/calendars/{id}"))
            .await
            .body;
        assert_eq!(shown["hasWebhook"], true, "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_that_refuses_subscriptions_to_calendars_watches_the_default_one() {
    let (world, side) = World::beside::<MicrosoftHarness>(options()).await;
    side.control("watchable", json!(false)).await;
    let ada = world.sign_up("ada").await;
    let second = side.add_calendar("Second").await;
    let ids = world
        .connect_account(&side, &ada, EMAIL, &[&side.primary(), &second])
        .await;
    for id in &ids {
        let path = format!("/api/v1/calendar/calendars/{id}");
        let calendar = world.get(&ada, &path).await.body;
        assert_eq!(
            calendar["hasWebhook"],
            calendar["name"] == "Calendar",
            "{calendar}"
        );
    }
}
