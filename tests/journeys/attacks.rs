//! Forged and oversized tokens, token lifetimes, and rotation of signing keys.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use local::stack::Options;
use serde_json::{Value, json};

use crate::harness::{Person, World, options_by_hand};

fn claims(token: &str) -> Value {
    serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').nth(1).unwrap())
            .unwrap(),
    )
    .unwrap()
}

fn part(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn forge(world: &World, change: impl FnOnce(&mut Header, &mut Value), of: &Person) -> String {
    let key = world.stack.http.config.jwt_keys.signing().unwrap();
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.kid.clone());
    header.typ = Some("at+jwt".into());
    let mut claims = claims(&of.token);
    change(&mut header, &mut claims);
    encode(&header, &claims, &EncodingKey::from_secret(&key.secret)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_is_taken() {
    let world = World::new().await;
    let (ada, grace) = (world.sign_up("ada").await, world.sign_up("grace").await);
    let body = claims(&ada.token);
    let now = body["iat"].as_i64().unwrap();
    let signature = ada.token.rsplit('.').next().unwrap();
    assert_eq!(
        world
            .call(
                "GET",
                "/api/v1/auth/me",
                Some(&forge(&world, |_, _| {}, &ada)),
                None
            )
            .await
            .status,
        200,
        "the forge works"
    );
    let attacks = [
        (
            "alg none",
            format!(
                "{}.{}.",
                part(&json!({ "alg": "none", "typ": "at+jwt" })),
                part(&body)
            ),
        ),
        (
            "alg none with the signature",
            format!(
                "{}.{}.{signature}",
                part(&json!({ "alg": "none", "typ": "at+jwt" })),
                part(&body)
            ),
        ),
        (
            "RS256 over the secret",
            format!(
                "{}.{}.{signature}",
                part(&json!({ "alg": "RS256", "kid": "local", "typ": "at+jwt" })),
                part(&body)
            ),
        ),
        (
            "HS512",
            forge(&world, |header, _| header.alg = Algorithm::HS512, &ada),
        ),
        (
            "another kid",
            forge(&world, |header, _| header.kid = Some("other".into()), &ada),
        ),
        ("no kid", forge(&world, |header, _| header.kid = None, &ada)),
        (
            "another typ",
            forge(&world, |header, _| header.typ = Some("JWT".into()), &ada),
        ),
        (
            "expired",
            forge(&world, |_, claims| claims["exp"] = json!(now - 1), &ada),
        ),
        (
            "a refresh token's typ",
            forge(&world, |_, claims| claims["typ"] = json!("refresh"), &ada),
        ),
        (
            "another issuer",
            forge(&world, |_, claims| claims["iss"] = json!("other"), &ada),
        ),
        (
            "somebody else's session",
            forge(&world, |_, claims| claims["sub"] = json!(grace.id), &ada),
        ),
        ("a refresh token", ada.refresh.clone()),
        ("a changed signature", format!("{}x", ada.token)),
        ("nothing", String::new()),
    ];
    for (name, token) in attacks {
        assert_eq!(
            world
                .call("GET", "/api/v1/auth/me", Some(&token), None)
                .await
                .status,
            401,
            "{name}"
        );
    }
    let twice = [
        ("authorization", format!("Bearer {}", ada.token)),
        ("authorization", format!("Bearer {}", ada.token)),
    ];
    assert_eq!(
        world
            .send("GET", "/api/v1/auth/me", &twice, None)
            .await
            .status,
        401,
        "two Authorization headers"
    );
    let basic = [("authorization", format!("Basic {}", ada.token))];
    assert_eq!(
        world
            .send("GET", "/api/v1/auth/me", &basic, None)
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_megabyte_is_refused_without_being_looked_at() {
    let world = World::new().await;
    // With too many headers, the gateway may also close the connection. In both cases nothing is served.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .get(format!("{}/api/v1/auth/me", world.stack.url))
        .header("authorization", format!("Bearer {}", "a".repeat(1 << 20)));
    if let Ok(response) = request.send().await {
        assert_eq!(response.status().as_u16(), 431);
    }
    let inner = shared::http::token::verify(
        &world.stack.http.config.jwt_keys,
        &"a".repeat(1 << 20),
        chrono::DateTime::UNIX_EPOCH,
    );
    assert!(inner.is_none());
    assert_eq!(world.call("GET", "/health", None, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_ends_after_half_an_hour_and_a_session_after_thirty_days() {
    let (options, clock) = options_by_hand("2026-03-01T00:00:00Z");
    let world = World::with(options).await;
    let ada = world.sign_up("ada").await;
    clock.advance(TimeDelta::minutes(29));
    assert_eq!(world.get(&ada, "/api/v1/auth/me").await.status, 200);
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(world.get(&ada, "/api/v1/auth/me").await.status, 401);
    clock.advance(TimeDelta::days(30));
    let late = world
        .call(
            "POST",
            "/api/v1/auth/refresh",
            None,
            Some(json!({ "refreshToken": ada.refresh })),
        )
        .await;
    assert_eq!(late.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_without_signing_anybody_out() {
    use std::collections::BTreeMap;
    let keys = |text: &str| BTreeMap::from([("JWT_KEYS".to_owned(), text.to_owned())]);
    let old = r#"{"kid":"old","secret":"0123456789abcdef0123456789abcdef"}"#;
    let new = r#"{"kid":"new","secret":"fedcba9876543210fedcba9876543210"}"#;
    let world = World::with(Options {
        variables: keys(&format!("[{new},{old}]")),
        ..Options::default()
    })
    .await;
    let ada = world.sign_up("ada").await;
    assert!(
        BASE64_URL_SAFE_NO_PAD
            .decode(ada.token.split('.').next().unwrap())
            .unwrap()
            .windows(5)
            .any(|part| part == b"\"new\"")
    );
    let mut header = Header::new(Algorithm::HS256);
    (header.kid, header.typ) = (Some("old".into()), Some("at+jwt".into()));
    let by_old = encode(
        &header,
        &claims(&ada.token),
        &EncodingKey::from_secret(b"0123456789abcdef0123456789abcdef"),
    )
    .unwrap();
    assert_eq!(
        world
            .call("GET", "/api/v1/auth/me", Some(&by_old), None)
            .await
            .status,
        200
    );
}

/// Whatever a stranger sends, the answer names what is wrong with it: it never is an internal error.
#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_are_refused_and_break_nothing() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let long = "a".repeat(2_000);
    let cursor = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let window = "start=2026-03-01&end=2026-04-01";
    let cursors = [
        json!({ "s": i64::MIN, "i": "x", "q": "" }),
        json!({ "s": -8_334_601_228_800_000_i64, "i": "x", "q": "" }),
        json!({ "s": i64::MAX, "i": long, "q": "" }),
        json!([]),
        json!(null),
    ];
    let mut paths: Vec<String> = cursors
        .map(|value| format!("/api/v1/calendar/events?{window}&cursor={}", cursor(value)))
        .into();
    paths.extend([
        format!("/api/v1/calendar/events/{long}"),
        format!("/api/v1/calendar/calendars/{long}"),
        format!("/api/v1/calendar/slots/{long}"),
        format!("/api/v1/calendar/oauth/connections/{long}"),
        format!("/api/v1/calendar/events?{window}&calendarIds={long}"),
        format!("/api/v1/calendar/events?{window}&timezone={long}"),
        "/api/v1/calendar/events/%ff".to_owned(),
        "/api/v1/calendar/calendars/%00".to_owned(),
        format!("/api/v1/calendar/events?{window}&limit=99999999999999999999"),
        "/api/v1/calendar/events?start=9999-12-31&end=9999-12-31T23:59:59Z".to_owned(),
        "/api/v1/calendar/events?start=-262143-01-01&end=%2B262142-12-31".to_owned(),
        "/api/v1/calendar/events/upcoming?limit=-1".to_owned(),
        "/%ff".to_owned(),
    ]);
    let bearer = ("authorization", format!("Bearer {}", ada.token));
    for path in &paths {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let body = (method != "GET").then(|| "{}".to_owned());
            let answer = world
                .send(method, path, std::slice::from_ref(&bearer), body)
                .await;
            let shown = &path[..path.len().min(120)];
            assert!(
                (400..500).contains(&answer.status) || method == "GET",
                "{method} {shown}: {answer:?}"
            );
            assert!(answer.status < 500, "{method} {shown}: {answer:?}");
        }
    }
    for header in [
        ("x-forwarded-proto", "javascript"),
        ("x-forwarded-host", "["),
        ("x-forwarded-port", "port"),
        ("idempotency-key", &long),
        ("accept-language", &long),
        ("if-none-match", &long),
    ] {
        let odd = [bearer.clone(), (header.0, header.1.to_owned())];
        let answer = world.send("GET", "/api/v1/auth/me", &odd, None).await;
        assert!(answer.status < 500, "{header:?}: {answer:?}");
    }
}
