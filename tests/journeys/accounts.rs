//! Sign-up, sign-in, sign-out, and deletion of accounts.

use serde_json::json;

use crate::harness::feeds::{FeedResponse, calendar};
use crate::harness::{PASSWORD, Person, World};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_up_looks_at_themselves_and_signs_out() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let me = world.get(&ada, "/api/v1/auth/me").await;
    assert_eq!(
        (me.status, &me.body["email"], &me.body["timezone"]),
        (200, &json!("ada@example.org"), &json!("Europe/Berlin"))
    );
    let changed = world
        .call(
            "PATCH",
            "/api/v1/auth/me",
            Some(&ada.token),
            Some(json!({ "fullName": "Ada", "timezone": "Asia/Tokyo" })),
        )
        .await;
    assert_eq!(
        (
            changed.status,
            &changed.body["fullName"],
            &changed.body["timezone"]
        ),
        (200, &json!("Ada"), &json!("Asia/Tokyo"))
    );
    assert!(world.dump().await.contains("PROFILE_UPDATE"));
    let wrong = world
        .call(
            "PATCH",
            "/api/v1/auth/me",
            Some(&ada.token),
            Some(json!({ "timezone": "Mars/Base" })),
        )
        .await;
    assert_eq!(
        (wrong.status, &wrong.body["errors"][0]["field"]),
        (422, &json!("timezone"))
    );

    assert_eq!(
        world
            .post(&ada, "/api/v1/auth/logout", json!({}))
            .await
            .status,
        204
    );
    for path in [
        "/api/v1/auth/me",
        "/api/v1/calendar/calendars",
        "/api/v1/calendar/events?start=2026-01-01&end=2026-02-01",
    ] {
        assert_eq!(world.get(&ada, path).await.status, 401, "{path}");
    }
    let refreshed = world
        .call(
            "POST",
            "/api/v1/auth/refresh",
            None,
            Some(json!({ "refreshToken": ada.refresh })),
        )
        .await;
    assert_eq!(refreshed.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_sign_ups_at_once_one_succeeds() {
    let world = World::new().await;
    let body = json!({ "email": " ADA@example.org", "password": PASSWORD });
    let attempts =
        (0..10).map(|_| world.call("POST", "/api/v1/auth/register", None, Some(body.clone())));
    let mut statuses: Vec<u16> = futures::future::join_all(attempts)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_up_that_cannot_be_names_every_field() {
    let world = World::new().await;
    let body = json!({ "email": "nobody", "password": "short", "timezone": "X" });
    let answer = world
        .call("POST", "/api/v1/auth/signup", None, Some(body))
        .await;
    let fields: Vec<_> = answer.body["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(
        (answer.status, fields),
        (422, vec!["email", "password", "timezone"])
    );
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let missing = world
        .call(
            "POST",
            "/api/v1/auth/signup",
            None,
            Some(json!({ "email": "a@example.org" })),
        )
        .await;
    assert_eq!(missing.status, 422);
    assert!(
        missing.body["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("password"),
        "{missing:?}"
    );
    let typed = world
        .call(
            "POST",
            "/api/v1/auth/signup",
            None,
            Some(json!({ "email": 7, "password": "x" })),
        )
        .await;
    assert_eq!(typed.body["errors"][0]["field"], "email");
    let list = world
        .call(
            "POST",
            "/api/v1/auth/signup",
            None,
            Some(json!(["a@example.org", PASSWORD])),
        )
        .await;
    assert_eq!(
        (list.status, &list.body["errors"][0]["field"]),
        (422, &json!("body"))
    );
    let broken = world
        .send("POST", "/api/v1/auth/signup", &[], Some("{".into()))
        .await;
    assert_eq!(
        (broken.status, &broken.body["type"]),
        (400, &json!("bad-request"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn both_dialects_of_signing_in_work() {
    let world = World::new().await;
    world.sign_up("ada").await;
    let json_login = world
        .call(
            "POST",
            "/api/v1/auth/login",
            None,
            Some(json!({ "email": "Ada@Example.org", "password": PASSWORD })),
        )
        .await;
    assert_eq!(
        (
            json_login.status,
            &json_login.body["tokenType"],
            &json_login.body["expiresIn"]
        ),
        (200, &json!("Bearer"), &json!(1800))
    );
    let form = [(
        "content-type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let body =
        "grant_type=password&username=ada%40example.org&password=correct+horse+battery".to_owned();
    let form_login = world
        .send("POST", "/api/v1/auth/jwt/login", &form, Some(body))
        .await;
    assert_eq!(
        (form_login.status, &form_login.body["token_type"]),
        (200, &json!("Bearer"))
    );
    let token = form_login.body["access_token"].as_str().unwrap();
    assert_eq!(
        world
            .call("GET", "/api/v1/auth/me", Some(token), None)
            .await
            .status,
        200
    );
    assert_eq!(
        world
            .call("POST", "/api/v1/auth/jwt/logout", Some(token), None)
            .await
            .status,
        204
    );
    assert_eq!(
        world
            .call("GET", "/api/v1/auth/me", Some(token), None)
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn revoke_all_signs_out_every_device() {
    let world = World::new().await;
    let ada = world.sign_up("ada").await;
    let login = json!({ "email": ada.email, "password": PASSWORD });
    let phone = Person::from(
        &ada.email,
        &world
            .call("POST", "/api/v1/auth/login", None, Some(login.clone()))
            .await
            .body,
    );
    assert_eq!(
        world
            .post(&ada, "/api/v1/auth/revoke-all", json!({}))
            .await
            .status,
        204
    );
    for device in [&ada, &phone] {
        assert_eq!(world.get(device, "/api/v1/auth/me").await.status, 401);
    }
    assert_eq!(
        world
            .call("POST", "/api/v1/auth/login", None, Some(login))
            .await
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_goes_with_everything_that_belongs_to_it() {
    let world = World::new().await;
    let (ada, grace) = (world.sign_up("ada").await, world.sign_up("grace").await);
    world.feeds.set(
        "f.ics",
        FeedResponse::ics(calendar(&[
            "UID:1\nDTSTART:20260302T090000Z\nSUMMARY:Secret meeting",
        ])),
    );
    let calendar_id = world.connect(&ada, "f.ics").await;
    world.connect(&grace, "f.ics").await;

    assert_eq!(
        world
            .call("DELETE", "/api/v1/auth/account", Some(&ada.token), None)
            .await
            .status,
        204
    );
    assert_eq!(world.get(&ada, "/api/v1/auth/me").await.status, 401);
    let login = json!({ "email": ada.email, "password": PASSWORD });
    assert_eq!(
        world
            .call("POST", "/api/v1/auth/login", None, Some(login))
            .await
            .status,
        401
    );
    let left = world.until("the erasure", async || {
        let dump = world.dump().await;
        let left: Vec<_> = dump
            .lines()
            .filter(|line| line.contains(&ada.id) && !line.starts_with("AUDIT_TABLE"))
            .map(str::to_owned)
            .collect();
        left.is_empty().then_some(dump)
    });
    let left = left.await;
    assert!(
        !left
            .lines()
            .any(|line| !line.starts_with("AUDIT_TABLE") && line.contains(&calendar_id))
    );
    assert!(left.contains(&grace.id), "others are not concerned");
    world.sign_up("ada").await;
}
