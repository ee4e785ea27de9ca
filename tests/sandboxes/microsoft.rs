//! Tests of the Microsoft sandbox (`local/sandboxes/src/microsoft`): it is as strict as Graph, as far as is known.

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};
use shared::clock::Clock;

use crate::harness::microsoft::{BERLIN, EMAIL, MicrosoftHarness, time};
use crate::harness::{EventChange, ProviderHarness};

fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or_default()
}

async fn sandbox() -> MicrosoftHarness {
    MicrosoftHarness::at(Clock::System).await
}

fn with(mut url: Url, pairs: &[(&str, &str)]) -> Url {
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

const YEAR: [(&str, &str); 2] = [
    ("startDateTime", "2027-01-01T00:00:00Z"),
    ("endDateTime", "2028-01-01T00:00:00Z"),
];

/// Reads all pages of a delta round. Returns the items and the delta link.
async fn changes(side: &MicrosoftHarness, first: Url) -> (Vec<Value>, Url) {
    let (mut found, mut url) = (Vec::new(), first);
    loop {
        let (status, page) = side.call(Method::GET, url, None).await;
        assert_eq!(status, 200, "{page}");
        found.extend(page["value"].as_array().unwrap().clone());
        match (
            page["@odata.nextLink"].as_str(),
            page["@odata.deltaLink"].as_str(),
        ) {
            (Some(next), None) => url = next.parse().unwrap(),
            (None, Some(delta)) => return (found, delta.parse().unwrap()),
            both => panic!("exactly one of two links: {both:?}"),
        }
    }
}

#[tokio::test]
async fn changes_come_as_stubs_of_a_frozen_window() {
    let side = sandbox().await;
    let series = side
        .insert(
            "Weekly",
            "2027-01-04T09:00:00",
            "2027-01-04T10:00:00",
            Some("FREQ=WEEKLY;COUNT=5"),
        )
        .await;
    let single = side
        .insert("Single", "2027-02-01T09:00:00", "2027-02-01T10:00:00", None)
        .await;
    side.insert("Far", "2029-02-01T09:00:00", "2029-02-01T10:00:00", None)
        .await;
    side.control("pages", json!(2)).await;
    let view = side.path(&["calendarView", "delta"]);
    let (found, delta) = changes(&side, with(view.clone(), &YEAR)).await;
    let stubs: Vec<&Value> = found
        .iter()
        .filter(|one| one["type"] == "occurrence")
        .collect();
    assert!(
        stubs.len() >= 5
            && stubs
                .iter()
                .all(|one| one["seriesMasterId"] == series.as_str() && one["subject"].is_null())
    );
    assert!(
        found
            .iter()
            .any(|one| one["id"] == single.as_str() && one["subject"] == "Single")
    );
    assert!(!found.iter().any(|one| one["subject"] == "Far"));
    // Unsupported and required query parameters.
    for name in ["$select", "$expand", "$filter", "$orderby", "$search"] {
        let (status, body) = side
            .call(
                Method::GET,
                with(with(view.clone(), &YEAR), &[(name, "x")]),
                None,
            )
            .await;
        assert_eq!(
            (status, code(&body)),
            (StatusCode::BAD_REQUEST, "ErrorInvalidUrlQuery")
        );
    }
    assert_eq!(
        side.call(Method::GET, view, None).await.0,
        400,
        "both dates are required"
    );
    // A cancelled occurrence only shows as a change of its series; an event that leaves the window is listed as
    // removed.
    assert!(
        side.remove(&MicrosoftHarness::occurrence(
            &series,
            "2027-01-11T09:00:00"
        ))
        .await
        .is_success()
    );
    assert!(
        side.change(
            &single,
            EventChange::Times("2031-01-01T09:00:00", "2031-01-01T10:00:00")
        )
        .await
        .is_success()
    );
    let (found, delta) = changes(&side, delta).await;
    let removed: Vec<&str> = found
        .iter()
        .filter(|one| one["@removed"].is_object())
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    assert!(removed.iter().all(|id| *id == single), "{removed:?}");
    let whole = with(
        side.path(&["events", &series]),
        &[
            ("$select", "id,cancelledOccurrences"),
            ("$expand", "exceptionOccurrences"),
        ],
    );
    let (_, whole) = side.call(Method::GET, whole, None).await;
    assert_eq!(
        whole["cancelledOccurrences"],
        json!([format!("OID.{series}.2027-01-11")])
    );
    assert!(
        side.event(&series).await["cancelledOccurrences"].is_null(),
        "only returned when it is selected"
    );
    // Expired delta tokens.
    side.control("expire", json!({ "calendarId": side.primary() }))
        .await;
    let (status, body) = side.call(Method::GET, delta, None).await;
    assert_eq!(
        (status, code(&body)),
        (StatusCode::GONE, "SyncStateNotFound")
    );
}

#[tokio::test]
async fn events_are_checked_as_microsoft_checks_them() {
    let side = sandbox().await;
    let event = |more: Value| {
        let mut event = json!({ "subject": "E", "start": time("2027-01-04T09:00:00"), "end": time("2027-01-04T10:00:00") });
        event
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        event
    };
    let weekly = |start: &str| {
        let pattern = json!({ "type": "weekly", "interval": 1, "daysOfWeek": ["monday"], "firstDayOfWeek": "sunday" });
        json!({ "recurrence": { "pattern": pattern, "range": { "type": "numbered", "startDate": start, "numberOfOccurrences": 4 } } })
    };
    for wrong in [
        json!({ "isAllDay": true }),
        json!({ "end": time("2027-01-04T08:00:00") }),
        json!({ "start": { "dateTime": "2027-01-04T09:00:00", "timeZone": "Middle-earth" } }),
        weekly("2027-01-05"),
    ] {
        let (status, body) = side
            .call(
                Method::POST,
                side.path(&["events"]),
                Some(event(wrong.clone())),
            )
            .await;
        assert_eq!(
            (status, code(&body)),
            (StatusCode::BAD_REQUEST, "ErrorPropertyValidationFailure"),
            "{wrong}"
        );
    }
    // A repeated transactionId does not create a second event.
    let twice = event(json!({ "transactionId": "t1" }));
    let first = side.create(twice.clone()).await;
    assert_eq!(side.create(twice).await["id"], first["id"]);
    let series = side.create(event(weekly("2027-01-04"))).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let second = MicrosoftHarness::occurrence(&series, "2027-01-11T09:00:00");
    let crossing =
        json!({ "start": time("2027-01-19T09:00:00"), "end": time("2027-01-19T10:00:00") });
    let (status, body) = side
        .call(
            Method::PATCH,
            side.path(&["events", &second]),
            Some(crossing),
        )
        .await;
    assert_eq!(
        (status, code(&body)),
        (StatusCode::BAD_REQUEST, "ErrorOccurrenceCrossingBoundary")
    );
    assert!(
        side.change(&second, EventChange::Title("Changed"))
            .await
            .is_success()
    );
    assert_eq!(side.event(&second).await["type"], "exception");
    // Moving a series removes its exceptions.
    assert!(
        side.change(
            &series,
            EventChange::Times("2027-01-04T11:00:00", "2027-01-04T12:00:00")
        )
        .await
        .is_success()
    );
    assert_eq!(side.event(&second).await["subject"], "E");
    // An outdated ETag is rejected.
    let request = side
        .client
        .patch(side.path(&["events", &series]))
        .bearer_auth(&side.token)
        .header("if-match", "W/\"v0\"");
    let answer = request
        .header("content-type", "application/json")
        .body(r#"{"subject":"Old"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 412);
    // Attendees are always notified; a request cannot prevent it.
    let attendee = json!({ "type": "required", "emailAddress": { "address": "bob@contoso.test" } });
    side.create(event(json!({ "attendees": [attendee] }))).await;
    assert_eq!(side.report().await["mails"], json!(["bob@contoso.test"]));
}

#[tokio::test]
async fn times_texts_and_pages_come_as_they_are_preferred() {
    let side = sandbox().await;
    let id = side
        .insert("All day", "2027-03-28", "2027-03-29", None)
        .await;
    let mut meeting = json!({ "subject": "Online", "isOnlineMeeting": true, "body": { "contentType": "text", "content": "a <b>" } });
    meeting["start"] = time("2027-07-04T09:00:00");
    meeting["end"] = time("2027-07-04T10:00:00");
    let meeting = side.create(meeting).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let preferred = async |id: &str, prefer: &str| {
        let request = side
            .client
            .get(side.path(&["events", id]))
            .bearer_auth(&side.token)
            .header("prefer", prefer);
        serde_json::from_str::<Value>(&request.send().await.unwrap().text().await.unwrap()).unwrap()
    };
    let utc = preferred(&id, r#"outlook.timezone="UTC""#).await;
    assert_eq!(
        utc["start"],
        json!({ "dateTime": "2027-03-27T23:00:00.0000000", "timeZone": "UTC" }),
        "a day begins at an odd hour elsewhere"
    );
    assert_eq!(
        (&utc["originalStartTimeZone"], &utc["isAllDay"]),
        (&json!(BERLIN), &json!(true))
    );
    let text = preferred(&meeting, r#"outlook.body-content-type="text""#).await;
    assert!(
        text["body"]["content"]
            .as_str()
            .unwrap()
            .starts_with("a <b>\r\n____"),
        "{text}"
    );
    let html = preferred(&meeting, "x").await;
    assert!(
        html["body"]["content"]
            .as_str()
            .unwrap()
            .contains("a &lt;b&gt;"),
        "{html}"
    );
    assert_eq!(html["start"]["dateTime"], "2027-07-04T09:00:00.0000000");
    for day in 1..=12 {
        side.insert(
            "x",
            &format!("2027-05-{day:02}T09:00:00"),
            &format!("2027-05-{day:02}T10:00:00"),
            None,
        )
        .await;
    }
    let (_, page) = side.call(Method::GET, side.path(&["events"]), None).await;
    assert_eq!(page["value"].as_array().unwrap().len(), 10, "ten at a time");
    let (_, rest) = side
        .call(
            Method::GET,
            page["@odata.nextLink"].as_str().unwrap().parse().unwrap(),
            None,
        )
        .await;
    assert_eq!(rest["value"].as_array().unwrap().len(), 4);
    // A batch returns one response per request.
    let path = side
        .path(&["events", &id])
        .path()
        .trim_start_matches("/v1.0")
        .to_owned();
    let requests = json!({ "requests": [{ "id": "1", "method": "GET", "url": path }, { "id": "2", "method": "GET", "url": "/me/nothing" }] });
    let (_, batch) = side
        .call(
            Method::POST,
            format!("{}/v1.0/$batch", side.url).parse().unwrap(),
            Some(requests),
        )
        .await;
    let mut statuses: Vec<(&str, u64)> = batch["responses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["status"].as_u64().unwrap()))
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [("1", 200), ("2", 400)]);
    let many: Vec<Value> = (0..21)
        .map(|id| json!({ "id": id.to_string(), "method": "GET", "url": "/me" }))
        .collect();
    assert_eq!(
        side.call(
            Method::POST,
            format!("{}/v1.0/$batch", side.url).parse().unwrap(),
            Some(json!({ "requests": many }))
        )
        .await
        .0,
        400
    );
}

#[tokio::test]
async fn a_careless_client_is_noted() {
    let side = sandbox().await;
    // A token that is issued to an app, not one of the user's own: faults and checks apply to it.
    let form = |pairs: &[(&str, &str)]| {
        reqwest::Url::parse_with_params("http://x/", pairs)
            .unwrap()
            .query()
            .unwrap()
            .to_owned()
    };
    let auth = format!(
        "{}/common/oauth2/v2.0/authorize?client_id=c&redirect_uri=http://127.0.0.1/&response_type=code&scope=openid+Calendars.ReadWrite+offline_access&nonce=n\
         &code_challenge=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU&code_challenge_method=S256",
        side.url
    );
    let back: Url = side
        .consent(&auth, EMAIL, "allow", &[])
        .await
        .parse()
        .unwrap();
    let code = back
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let token = async |pairs: &[(&str, &str)]| {
        let request = side
            .client
            .post(format!("{}/common/oauth2/v2.0/token", side.url))
            .header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form(pairs)).send().await.unwrap();
        (
            answer.status(),
            serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap(),
        )
    };
    let own = [("client_id", "c"), ("client_secret", "s")];
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", "http://127.0.0.1/"),
        ("code_verifier", ""),
    ];
    let (status, first) = token(&[&own[..], &exchange[..]].concat()).await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(
        first["scope"], "openid Calendars.ReadWrite",
        "without offline_access"
    );
    // Each use of a refresh token issues a new one; after two uses, the oldest is revoked.
    let mut old = first["refresh_token"].as_str().unwrap().to_owned();
    let oldest = old.clone();
    for _ in 0..3 {
        let (status, next) = token(
            &[
                &own[..],
                &[("grant_type", "refresh_token"), ("refresh_token", &old)],
            ]
            .concat(),
        )
        .await;
        assert_eq!(status, 200, "{next}");
        next["refresh_token"].as_str().unwrap().clone_into(&mut old);
    }
    let (status, dead) = token(
        &[
            &own[..],
            &[("grant_type", "refresh_token"), ("refresh_token", &oldest)],
        ]
        .concat(),
    )
    .await;
    assert_eq!(
        (status, &dead["error"], &dead["error_codes"]),
        (
            StatusCode::BAD_REQUEST,
            &json!("invalid_grant"),
            &json!([50_173])
        )
    );

    let access = first["access_token"].as_str().unwrap().to_owned();
    let careless = side
        .client
        .get(format!("{}/v1.0/me/events/x", side.url))
        .bearer_auth(&access)
        .send()
        .await
        .unwrap();
    assert_eq!(careless.status(), 404);
    let noted = side.violations().await;
    for what in [
        "immutable ids",
        "outlook.timezone",
        "client-request-id",
        "does not name the calendar",
    ] {
        assert!(
            noted
                .iter()
                .any(|note| note.as_str().unwrap().contains(what)),
            "{what}: {noted:?}"
        );
    }
    if crate::data::folder().is_some() {
        let body = json!({ "title": "wrong", "start": time("2027-01-04T09:00:00"), "end": time("2027-01-04T10:00:00"), "importance": "very" });
        let request = side
            .client
            .post(side.path(&["events"]))
            .bearer_auth(&access)
            .header("content-type", "application/json");
        request.body(body.to_string()).send().await.unwrap();
        let noted = side.violations().await;
        assert!(
            noted
                .iter()
                .any(|note| note == "Event.title is not a field of Microsoft's types"),
            "{noted:?}"
        );
        assert!(
            noted.iter().any(|note| note
                .as_str()
                .unwrap()
                .starts_with("Event.importance is \"very\"")),
            "{noted:?}"
        );
    }
    // More than four concurrent calls.
    side.control("latency", json!(300)).await;
    let many = (0..6).map(|_| {
        side.client
            .get(format!("{}/v1.0/me/calendars", side.url))
            .bearer_auth(&access)
            .send()
    });
    let answers: Vec<_> = futures::future::join_all(many)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let refused: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status() == 429)
        .collect();
    assert_eq!(refused.len(), 2);
    assert!(
        refused
            .iter()
            .all(|answer| answer.headers().contains_key("retry-after"))
    );
}
