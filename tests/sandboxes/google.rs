//! Tests of the Google sandbox (`local/sandboxes/src/google`).

use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::ProviderHarness;
use crate::harness::google::{EMAIL, GoogleHarness, reason};

#[tokio::test(flavor = "multi_thread")]
async fn google_hands_out_changes_in_pages_and_by_sync_token() {
    let sandbox = GoogleHarness::new().await;
    for number in 0..5 {
        assert_eq!(
            sandbox.insert_as(&format!("event{number}"), number).await.0,
            200
        );
    }
    let first = sandbox
        .get("calendars/primary/events?showDeleted=true&maxResults=3")
        .await;
    assert_eq!(
        (
            first["items"].as_array().unwrap().len(),
            first.get("nextSyncToken")
        ),
        (3, None),
        "a token comes with the last page only"
    );
    // A change between two pages belongs to the next sync.
    sandbox
        .call(
            Method::PATCH,
            "calendars/primary/events/event0",
            None,
            Some(json!({ "summary": "changed" })),
        )
        .await;
    let page = first["nextPageToken"].as_str().unwrap();
    let second = sandbox
        .get(&format!(
            "calendars/primary/events?showDeleted=true&maxResults=3&pageToken={page}"
        ))
        .await;
    let token = second["nextSyncToken"].as_str().unwrap();
    let third = sandbox
        .get(&format!(
            "calendars/primary/events?showDeleted=true&syncToken={token}"
        ))
        .await;
    let titles: Vec<_> = third["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["summary"].as_str().unwrap())
        .collect();
    assert_eq!(
        (second["items"].as_array().unwrap().len(), titles),
        (2, vec!["changed"])
    );
    let (status, body) = sandbox
        .call(
            Method::GET,
            &format!("calendars/primary/events?syncToken={token}&timeMin=2026-01-01T00:00:00Z"),
            None,
            None,
        )
        .await;
    assert_eq!(
        (status.as_u16(), reason(&body)),
        (400, "syncTokenWithRequestRestrictions")
    );
    sandbox
        .control("expire", json!({ "calendarId": EMAIL }))
        .await;
    let (status, body) = sandbox
        .call(
            Method::GET,
            &format!("calendars/primary/events?syncToken={token}"),
            None,
            None,
        )
        .await;
    assert_eq!((status.as_u16(), reason(&body)), (410, "fullSyncRequired"));
    let (status, body) = sandbox
        .call(
            Method::GET,
            "calendars/primary/events?updatedMin=2020-01-01T00:00:00Z",
            None,
            None,
        )
        .await;
    assert_eq!(
        (status.as_u16(), reason(&body)),
        (410, "updatedMinTooLongAgo")
    );
    assert_eq!(sandbox.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn google_keeps_ids_guards_etags_and_leaves_little_of_what_is_deleted() {
    let sandbox = GoogleHarness::new().await;
    let (_, event) = sandbox.insert_as("meeting", 9).await;
    let (status, body) = sandbox.insert_as("meeting", 9).await;
    assert_eq!((status.as_u16(), reason(&body)), (409, "duplicate"));
    let path = "calendars/primary/events/meeting";
    let tag = event["etag"].as_str().unwrap();
    assert_eq!(
        sandbox
            .call(
                Method::PATCH,
                path,
                Some(tag),
                Some(json!({ "summary": "one" }))
            )
            .await
            .0,
        200
    );
    let (status, body) = sandbox
        .call(
            Method::PATCH,
            path,
            Some(tag),
            Some(json!({ "summary": "two" })),
        )
        .await;
    assert_eq!((status.as_u16(), reason(&body)), (412, "conditionNotMet"));
    assert_eq!(sandbox.call(Method::DELETE, path, None, None).await.0, 204);
    let (status, body) = sandbox.call(Method::DELETE, path, None, None).await;
    assert_eq!((status.as_u16(), reason(&body)), (410, "deleted"));
    let (status, body) = sandbox.insert_as("meeting", 9).await;
    assert_eq!(
        (status.as_u16(), reason(&body)),
        (409, "duplicate"),
        "the id of a deleted event stays taken"
    );
    let left = sandbox
        .get("calendars/primary/events?showDeleted=true")
        .await["items"][0]
        .clone();
    assert_eq!(
        left.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["etag", "id", "kind", "status"]
    );
    assert_eq!(sandbox.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_occurrence_at_google_names_its_series_and_its_place() {
    let sandbox = GoogleHarness::new().await;
    let time = |hour| json!({ "dateTime": format!("2026-03-02T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
    let series = json!({ "id": "series", "start": time(9), "end": time(10), "recurrence": ["RRULE:FREQ=WEEKLY;COUNT=5"] });
    assert_eq!(
        sandbox
            .call(Method::POST, "calendars/primary/events", None, Some(series))
            .await
            .0,
        200
    );
    let path = "calendars/primary/events/series_20260309T080000Z";
    assert_eq!(
        sandbox.get(path).await["start"]["dateTime"],
        "2026-03-09T08:00:00.000Z"
    );
    assert_eq!(sandbox.call(Method::DELETE, path, None, None).await.0, 204);
    let items = sandbox
        .get("calendars/primary/events?showDeleted=true")
        .await["items"]
        .clone();
    let left = items
        .as_array()
        .unwrap()
        .iter()
        .find(|event| event["status"] == "cancelled")
        .unwrap();
    assert_eq!(
        (
            &left["recurringEventId"],
            &left["originalStartTime"]["dateTime"]
        ),
        (&json!("series"), &json!("2026-03-09T08:00:00.000Z"))
    );
    assert_eq!(sandbox.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn google_tells_whoever_watches_that_something_changed() {
    let seen: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let kept = Arc::clone(&seen);
    let hook = post(move |headers: HeaderMap, body: String| async move {
        assert_eq!(body, "");
        kept.lock().unwrap().push(headers);
    });
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/hook", hook)).await });
    let sandbox = GoogleHarness::new().await;
    let body =
        json!({ "id": "channel-1", "type": "web_hook", "address": address, "token": "secret" });
    let (status, channel) = sandbox
        .call(
            Method::POST,
            "calendars/primary/events/watch",
            None,
            Some(body),
        )
        .await;
    assert_eq!(status, 200, "{channel}");
    sandbox.insert_as("meeting", 9).await;
    let states = async || {
        for _ in 0..100 {
            let seen = seen.lock().unwrap().clone();
            if seen.len() >= 2 {
                return seen
                    .iter()
                    .map(|headers| {
                        headers["x-goog-resource-state"]
                            .to_str()
                            .unwrap()
                            .to_owned()
                    })
                    .collect::<Vec<_>>();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("no notification came");
    };
    let mut states = states().await;
    states.sort();
    assert_eq!(states, ["exists", "sync"]);
    assert!(
        seen.lock()
            .unwrap()
            .iter()
            .all(|headers| headers["x-goog-channel-token"] == "secret")
    );
    let stop = json!({ "id": channel["id"], "resourceId": channel["resourceId"] });
    assert_eq!(
        sandbox
            .call(Method::POST, "channels/stop", None, Some(stop.clone()))
            .await
            .0,
        204
    );
    assert_eq!(
        sandbox
            .call(Method::POST, "channels/stop", None, Some(stop))
            .await
            .0,
        404
    );
    assert_eq!(sandbox.violations().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn google_grants_what_was_ticked_and_takes_it_back() {
    let sandbox = GoogleHarness::new().await;
    let form = |fields: &[(&str, &str)]| {
        let mut url = reqwest::Url::parse("http://localhost/").unwrap();
        url.query_pairs_mut().extend_pairs(fields);
        url.query().unwrap().to_owned()
    };
    let send = async |path: &str, body: String| {
        let request = sandbox
            .client
            .post(format!("{}{path}", sandbox.url))
            .header("content-type", "application/x-www-form-urlencoded");
        request.body(body).send().await.unwrap()
    };
    let verifier = "a-verifier-of-forty-three-characters-or-more";
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let redirect = "http://localhost:3000/callback";
    let consent = [
        ("client_id", "client"),
        ("redirect_uri", redirect),
        ("response_type", "code"),
        ("state", "s"),
        ("access_type", "offline"),
        ("code_challenge", &challenge),
        ("nonce", "n"),
        ("email", EMAIL),
        ("answer", "allow"),
        ("granted", "openid"),
        ("granted", "https://www.googleapis.com/auth/calendar.events"),
    ];
    let back = send("/o/oauth2/v2/consent", form(&consent)).await;
    let location = reqwest::Url::parse(back.headers()["location"].to_str().unwrap()).unwrap();
    let code = location
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let exchange = |verifier: &str| {
        let client = [
            ("client_id", "client"),
            ("client_secret", "x"),
            ("redirect_uri", redirect),
            ("code", &code),
        ];
        form(
            &[
                &client[..],
                &[
                    ("grant_type", "authorization_code"),
                    ("code_verifier", verifier),
                ],
            ]
            .concat(),
        )
    };
    let answer: Value = serde_json::from_str(
        &send("/token", exchange(verifier))
            .await
            .text()
            .await
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        answer["scope"],
        "openid https://www.googleapis.com/auth/calendar.events"
    );
    let claims = answer["id_token"]
        .as_str()
        .unwrap()
        .split('.')
        .nth(1)
        .unwrap()
        .to_owned();
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(
        (&claims["nonce"], &claims["email"]),
        (&json!("n"), &json!(EMAIL))
    );
    assert_eq!(
        send("/token", exchange(verifier)).await.status(),
        400,
        "a code works once"
    );
    let refresh = answer["refresh_token"].as_str().unwrap();
    let renew = form(&[
        ("client_id", "client"),
        ("client_secret", "x"),
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
    ]);
    let renewed: Value =
        serde_json::from_str(&send("/token", renew.clone()).await.text().await.unwrap()).unwrap();
    assert!(
        renewed["access_token"].is_string() && renewed.get("refresh_token").is_none(),
        "Google does not rotate"
    );
    assert_eq!(
        send("/revoke", form(&[("token", refresh)])).await.status(),
        200
    );
    let refused = send("/token", renew).await.text().await.unwrap();
    assert!(refused.contains("invalid_grant"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_google_does_not_describe_is_noted() {
    if crate::data::folder().is_none() {
        return;
    }
    let sandbox = GoogleHarness::new().await;
    sandbox
        .get("calendars/primary/events?maxResults=many&colour=blue")
        .await;
    let noted = sandbox.violations().await;
    assert_eq!(noted.len(), 2, "{noted:?}");
}
