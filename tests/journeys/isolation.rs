//! No user can read or change the data of another user.

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::feeds::daily;

#[tokio::test(flavor = "multi_thread")]
async fn every_id_of_somebody_else_is_not_found_on_every_route() {
    let world = World::new().await;
    let (ada, grace) = (world.sign_up("ada").await, world.sign_up("grace").await);
    world.feeds.set_ics("f.ics", daily(3, "2026-03-02", "a"));
    let calendar = world.connect(&grace, "f.ics").await;
    world.connect(&ada, "f.ics").await;
    let event = world.events(&grace, "2026-03-01", "2026-04-01").await[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    let document: Value =
        serde_json::from_str(include_str!("../../functions/health/src/openapi.json")).unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !path.contains("{id}") {
                continue;
            }
            let id = if path.contains("/events/") {
                &event
            } else {
                &calendar
            };
            // A body that would be valid if the id belonged to the caller.
            let body = operation.get("requestBody").map(
                |_| json!({ "color": "#123456", "displayName": "Mine", "response": "accepted" }),
            );
            for id in [
                id.as_str(),
                "cal_01ARZ3NDEKTSV4RRFFQ69G5FAV",
                "x",
                "..",
                "%00",
            ] {
                // The client resolves it to another route: that of all events.
                if id == ".." && path.ends_with("{id}/events") {
                    continue;
                }
                let answer = world
                    .call(
                        &method.to_uppercase(),
                        &format!(
                            "{}?start=2026-03-01&end=2026-04-01",
                            path.replace("{id}", id)
                        ),
                        Some(&ada.token),
                        body.clone(),
                    )
                    .await;
                assert_eq!(answer.status, 404, "{method} {path} with {id}: {answer:?}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 40, "{asked}");
    let chosen = world
        .get(
            &ada,
            &format!(
                "/api/v1/calendar/events?start=2026-03-01&end=2026-04-01&calendarIds={calendar}"
            ),
        )
        .await;
    assert_eq!(chosen.status, 404);
    assert_eq!(
        world
            .get(&grace, &format!("/api/v1/calendar/ics/{calendar}"))
            .await
            .body["name"],
        "Test"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_but_the_public_ones_wants_a_token() {
    let world = World::new().await;
    let document: Value =
        serde_json::from_str(include_str!("../../functions/health/src/openapi.json")).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let public = operation["security"] == json!([]);
            // Endpoints that authenticate in another way: by password, by state and cookie, by a channel's secret.
            let proven = [
                "auth/signup",
                "auth/register",
                "auth/login",
                "auth/jwt/login",
                "auth/refresh",
                "{provider}/callback",
            ];
            let pushed = [
                "webhooks/google",
                "webhooks/google-calendar",
                "webhooks/microsoft",
                "webhooks/microsoft/lifecycle",
            ];
            let expected_public = operation["tags"][0] == "health"
                || proven
                    .iter()
                    .chain(&pushed)
                    .any(|name| path.ends_with(&format!("/{name}")));
            assert_eq!(public, expected_public, "{method} {path}");
            if !public {
                let answer = world
                    .call(
                        &method.to_uppercase(),
                        &path.replace("{id}", "x").replace("{provider}", "google"),
                        None,
                        Some(json!({})),
                    )
                    .await;
                assert_eq!(answer.status, 401, "{method} {path}");
                assert_eq!(answer.headers["www-authenticate"], "Bearer");
            }
        }
    }
}
