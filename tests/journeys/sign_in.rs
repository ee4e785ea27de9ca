//! Attempts to sign in, and refresh tokens that are used more than once.

use chrono::TimeDelta;
use serde_json::json;
use shared::store::counters::{FROM_ONE_NETWORK, SignInAttempt};

use crate::harness::{PASSWORD, Person, World, options_by_hand};

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_family() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let refresh = async |token: &str| {
        world
            .call(
                "POST",
                "/api/v1/auth/refresh",
                None,
                Some(json!({ "refreshToken": token })),
            )
            .await
    };
    let first = refresh(&ada.refresh).await;
    assert_eq!(first.status, 200);
    let next = Person::from(&ada.email, &first.body);
    assert_ne!(next.refresh, ada.refresh);
    assert_eq!(world.get(&next, "/api/v1/auth/me").await.status, 200);

    // Another tab of the same browser was as quick: it is refused, and the session goes on.
    assert_eq!(refresh(&ada.refresh).await.status, 401);
    assert_eq!(world.get(&ada, "/api/v1/auth/me").await.status, 200);
    clock.advance(TimeDelta::seconds(11));
    assert_eq!(refresh(&ada.refresh).await.status, 401);
    assert_eq!(
        refresh(&next.refresh).await.status,
        401,
        "the family has ended"
    );
    assert_eq!(world.get(&next, "/api/v1/auth/me").await.status, 401);

    let other = world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": ada.email, "password": PASSWORD })),
        )
        .await;
    assert_eq!(other.status, 200, "other sign-ins are not concerned");
    for forged in ["", "x", &ada.token, &"A".repeat(107)] {
        assert_eq!(refresh(forged).await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lockout_ends_and_is_of_one_network() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    let attempt = async |password: &str| {
        let body = json!({ "email": ada.email, "password": password });
        world
            .call("POST", "/api/v1/auth/login", None, Some(body))
            .await
    };
    // Right passwords that are under way at once are no failures.
    let right = futures::future::join_all((0..12).map(|_| attempt(PASSWORD))).await;
    assert!(right.iter().all(|answer| answer.status == 200));
    // Each failure beyond the fifth doubles the delay.
    for delay in [0, 0, 0, 0, 60, 120, 240] {
        assert_eq!(attempt("wrong password").await.status, 401);
        if delay > 0 {
            let refused = attempt(PASSWORD).await;
            assert_eq!(refused.status, 423);
            assert_eq!(refused.headers["retry-after"], delay.to_string());
            clock.advance(TimeDelta::seconds(delay));
        }
    }
    let store = &world.stack.context.store;
    let elsewhere = store
        .begin_attempt("digest#203.0.113.0/24", FROM_ONE_NETWORK)
        .await
        .unwrap();
    assert_eq!(elsewhere, SignInAttempt::Allowed);
    assert_eq!(attempt(PASSWORD).await.status, 200);
    let trail = world.dump().await;
    assert_eq!(
        trail.matches("wrong e-mail or password").count(),
        7,
        "the owner's trail"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn five_failures_lock_an_address_whether_or_not_anybody_has_it() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let mut answers = Vec::new();
    for email in [ada.email.as_str(), "nobody@example.org"] {
        let mut statuses = Vec::new();
        for attempt in 0..6 {
            let password = if attempt == 5 {
                PASSWORD
            } else {
                "wrong password"
            };
            let answer = world
                .call(
                    "POST",
                    "/api/v1/auth/login",
                    None,
                    Some(json!({ "email": email, "password": password })),
                )
                .await;
            statuses.push((
                answer.status,
                answer.body["type"].clone(),
                answer.headers.contains_key("retry-after"),
            ));
        }
        answers.push(statuses);
    }
    assert_eq!(
        answers[0], answers[1],
        "nobody can tell which of the two has an account"
    );
    assert_eq!(
        (answers[0][4].0, answers[0][5].0, answers[0][5].2),
        (401, 423, true)
    );
}
