//! Properties of all responses: headers, limits, idempotency, audit, readiness.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use local::stack::Options;
use serde_json::json;
use shared::clock::Clock;

use crate::harness::feeds::{FeedResponse, Stream, daily};
use crate::harness::{PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_headers() {
    let variables = BTreeMap::from([(
        "CORS_ORIGINS".to_owned(),
        "https://app.example.org".to_owned(),
    )]);
    let world = World::with(Options {
        rate_limits: true,
        variables,
        ..Options::default()
    })
    .await;
    let answer = world
        .send(
            "GET",
            "/api/v1/calendar/calendars",
            &[("origin", "https://app.example.org".into())],
            None,
        )
        .await;
    assert_eq!(answer.status, 401);
    for header in [
        "x-request-id",
        "ratelimit",
        "ratelimit-policy",
        "content-security-policy",
        "strict-transport-security",
    ] {
        assert!(answer.headers.contains_key(header), "{header}");
    }
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        answer.headers["access-control-allow-origin"],
        "https://app.example.org"
    );
    assert_eq!(
        answer.body["instance"],
        answer.headers["x-request-id"].to_str().unwrap()
    );
    let preflight = [
        ("origin", "https://app.example.org".to_owned()),
        ("access-control-request-method", "PATCH".to_owned()),
    ];
    let allowed = world
        .send("OPTIONS", "/api/v1/auth/me", &preflight, None)
        .await;
    assert_eq!(
        (
            allowed.status,
            &allowed.headers["access-control-allow-origin"]
        ),
        (200, &"https://app.example.org".parse().unwrap())
    );
    let stranger = world
        .send(
            "GET",
            "/health",
            &[("origin", "https://evil.example".into())],
            None,
        )
        .await;
    assert!(!stranger.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_say_when_to_come_again() {
    let clock = Clock::manual("2026-03-01T00:00:00Z".parse().unwrap());
    let world = World::with(Options {
        rate_limits: true,
        clock: clock.clone(),
        background: false,
        ..Options::default()
    })
    .await;
    let ada = world.sign_up("ada").await;
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let answer = world
            .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
            .await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert_eq!(
                (&answer.body["type"], &answer.headers["retry-after"]),
                (&json!("rate-limited"), &"60".parse().unwrap())
            );
            assert!(
                answer.headers["ratelimit"]
                    .to_str()
                    .unwrap()
                    .starts_with("\"sync\";r=0")
            );
        }
    }
    assert_eq!(statuses, [202, 202, 202, 202, 202, 429]);
    clock.advance(TimeDelta::seconds(60));
    assert_eq!(
        world
            .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
            .await
            .status,
        202
    );

    clock.advance(TimeDelta::seconds(60));
    world.stack.context.store.meter().take();
    let mut refused = 0;
    for _ in 0..110 {
        refused += u32::from(world.call("GET", "/docs", None, None).await.status == 429);
    }
    assert_eq!(refused, 10);
    let (_, writes, _) = world.stack.context.store.meter().take();
    assert!(writes <= 11.0, "one write for ten requests, not {writes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_sent_twice_is_carried_out_once() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(1, "2026-03-02", "a"));
    let headers = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("idempotency-key", "one".to_owned()),
    ];
    let body = json!({ "url": world.feeds.url("f.ics") }).to_string();
    let connect = "/api/v1/calendar/ics/connect";
    let first = world
        .send("POST", connect, &headers, Some(body.clone()))
        .await;
    let second = world
        .send("POST", connect, &headers, Some(body.clone()))
        .await;
    assert_eq!(
        (
            first.status,
            second.status,
            &second.headers["idempotency-replayed"]
        ),
        (201, 201, &"true".parse().unwrap())
    );
    assert_eq!(first.body, second.body);
    let other = world
        .send(
            "POST",
            connect,
            &headers,
            Some(json!({ "url": "x" }).to_string()),
        )
        .await;
    assert_eq!(
        (other.status, &other.body["type"]),
        (409, &json!("idempotency-conflict"))
    );
    let without = world.send("POST", connect, &headers[..1], Some(body)).await;
    assert_eq!(
        (without.status, &without.body["type"]),
        (409, &json!("conflict"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_who_did_what() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    world.feeds.set_ics("f.ics", daily(1, "2026-03-02", "a"));
    let id = world.connect(&ada, "f.ics").await;
    world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": ada.email, "password": "wrong password" })),
        )
        .await;
    world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": ada.email, "password": PASSWORD })),
        )
        .await;
    world
        .call(
            "DELETE",
            &format!("/api/v1/calendar/ics/{id}"),
            Some(&ada.token),
            None,
        )
        .await;
    let dump = world.dump().await;
    let trail: Vec<&str> = dump
        .lines()
        .filter(|line| line.starts_with("AUDIT_TABLE"))
        .collect();
    for action in [
        "SIGNUP_SUCCESS",
        "LOGIN_FAILURE",
        "LOGIN_SUCCESS",
        "CALENDAR_CONNECT",
        "CALENDAR_SYNC",
        "CALENDAR_DISCONNECT",
    ] {
        assert!(
            trail
                .iter()
                .any(|line| line.contains(action) && line.contains("127.0.0.1")),
            "{action}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing() {
    let variables = BTreeMap::from([
        ("KMS_KEY_ID".to_owned(), "no-such-key".to_owned()),
        (
            "SYNC_QUEUE_URL".to_owned(),
            "http://127.0.0.1/000000000000/none".to_owned(),
        ),
    ]);
    let world = World::with(Options {
        variables,
        background: false,
        ..Options::default()
    })
    .await;
    let answer = world.call("GET", "/api/v1/health/ready", None, None).await;
    assert_eq!(
        (answer.status, &answer.body["checks"]),
        (
            503,
            &json!({ "dynamodb": "ok", "kms": "unavailable", "queue": "unavailable" })
        )
    );
    for path in [
        "/health",
        "/api/v1/health",
        "/api/v1/health/health",
        "/api/v1/health/live",
    ] {
        assert_eq!(
            world.call("GET", path, None, None).await.status,
            200,
            "{path}"
        );
    }
    assert_eq!(world.call("GET", "/nowhere", None, None).await.status, 404);
    let page = world.call("GET", "/docs", None, None).await;
    assert!(page.body.as_str().unwrap().contains("/docs/docs.js"));
    assert!(
        page.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("script-src 'self'")
    );
}

/// A handler stops before Lambda ends its invocation: there is a response, and the idempotency key is free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_before_its_invocation() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let slow = FeedResponse {
        stream: Some(Stream::BytePerSecond),
        ..FeedResponse::ics("")
    };
    world.feeds.set("slow.ics", slow);
    let path = "/api/v1/calendar/ics/connect";
    let event = json!({
        "version": "2.0", "routeKey": format!("POST {path}"), "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
        "headers": { "host": "localhost", "content-type": "application/json", "idempotency-key": "once", "authorization": format!("Bearer {}", ada.token) },
        "body": json!({ "url": world.feeds.url("slow.ics") }).to_string(),
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "localhost", "domainPrefix": "a", "requestId": "r", "routeKey": "r",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": { "method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test" }
        }
    });
    for _ in 0..2 {
        let ends_at = Clock::System.now().timestamp_millis() + 2_500;
        let function = &world.stack.functions["ics"];
        let answer = function.invoke_until(event.clone(), ends_at.try_into().unwrap());
        let answer = answer.await.unwrap();
        assert_eq!(answer["statusCode"], 503, "{answer}");
        assert!(answer["body"].as_str().unwrap().contains("took too long"));
    }
}

/// Whatever the path has of methods, the others are 405 with `Allow`; a path that does not exist is 404. Both are problems.
#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_method_is_told_the_right_ones() {
    let world = World::new().await;
    let document = world.call("GET", "/api/v1/openapi.json", None, None).await;
    let mut asked = 0;
    for (path, methods) in document.body["paths"].as_object().unwrap() {
        let mut allowed: Vec<String> = methods
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();
        allowed.sort();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            if allowed.iter().any(|allowed| allowed == method) {
                continue;
            }
            let path = path.replace("{id}", "x").replace("{provider}", "google");
            let answer = world.call(method, &path, None, None).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.body["type"], "method-not-allowed", "{method} {path}");
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            let told = answer.headers["allow"].to_str().unwrap().split(',');
            let told: Vec<&str> = told.map(str::trim).collect();
            let missing: Vec<&String> = allowed
                .iter()
                .filter(|allowed| !told.contains(&allowed.as_str()))
                .collect();
            assert!(
                missing.is_empty(),
                "{method} {path}: {told:?} lacks {missing:?}"
            );
            asked += 1;
        }
    }
    assert!(asked > 150, "{asked}");
    let nowhere = world.call("GET", "/api/v1/nowhere", None, None).await;
    assert_eq!(
        (nowhere.status, &nowhere.body["type"]),
        (404, &json!("not-found"))
    );
    assert!(nowhere.headers.contains_key("x-request-id"));
}
