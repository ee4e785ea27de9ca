//! Resources as providers send them, and the events that they become: `google.jsonl` and `microsoft.jsonl`, one shape in a
//! line. `item` is the provider's resource, `want` the fields that the shape is about, `source` where it is published or was
//! reported. A server that returns the resource stands in for the provider, so the whole client is tested.

use axum::Router;
use axum::extract::{Request, State};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use shared::config::OAuthClient;
use shared::domain::event::Event;
use shared::domain::ids::CalendarId;
use shared::domain::secret::Secret;
use shared::providers::google::Google;
use shared::providers::microsoft::Microsoft;
use shared::providers::{
    CalendarProvider, Change, ChangePage, Connect, Credentials, ReadScope, RemoteCalendar,
};
use tokio::net::TcpListener;

const EMAIL: &str = "me@x.test";

/// Returns the resource to every request: in a list, or alone where one event is asked for. For an exception that is its
/// series, `master`.
async fn respond(
    State((item, master)): State<(Value, Value)>,
    request: Request,
) -> axum::Json<Value> {
    let path = request.uri().path();
    axum::Json(if path.contains("/events/") {
        if master.is_null() { item } else { master }
    } else if path.contains("/delta") {
        json!({ "value": [item], "@odata.deltaLink": "next" })
    } else {
        json!({ "items": [item], "nextSyncToken": "next" })
    })
}

/// Reads a list that consists of one resource.
async fn read(shape: &Value, connect: impl Fn(OAuthClient) -> Box<dyn Connect>) -> ChangePage {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .fallback(respond)
        .with_state((shape["item"].clone(), shape["master"].clone()));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let client = OAuthClient {
        client_id: "calweave".into(),
        client_secret: String::new().into(),
        redirect_uri: String::new(),
        endpoint: Some(endpoint),
    };
    let credentials = Credentials::AccessToken(Secret::new("token".to_owned()));
    let session: Box<dyn CalendarProvider> = connect(client).session(credentials, EMAIL).unwrap();
    let target = RemoteCalendar {
        calendar: CalendarId::from_bytes([1; 16]),
        remote_id: "c",
        zone: Tz::Europe__Oslo,
        is_primary: true,
        is_shared: false,
    };
    let scope = ReadScope::Window {
        from: "2020-01-01T00:00:00Z".parse().unwrap(),
        to: "2030-01-01T00:00:00Z".parse().unwrap(),
    };
    let mut page = session.list_changes(target, &scope, None).await.unwrap();
    if !page.series.is_empty() {
        page = session.read_series(target, &page.series).await.unwrap();
    }
    server.abort();
    page
}

/// Returns what the resource has become.
fn outcome(page: &ChangePage, remote_id: &str) -> Value {
    let is_it = |change: &&Change| match change {
        Change::Upserted(event) => {
            let link = event.link.as_ref();
            link.and_then(|link| link.remote_id.as_deref()) == Some(remote_id)
        }
        Change::Removed { .. } | Change::OccurrenceCancelled { .. } => false,
    };
    let found = page.changes.iter().find(is_it);
    match found.or(page.changes.first()) {
        Some(Change::Upserted(event)) => view(event),
        Some(Change::Removed { .. }) => json!({ "kind": "removed" }),
        Some(Change::OccurrenceCancelled { original, .. }) => {
            json!({ "kind": "cancelled", "originalStart": original.to_string() })
        }
        None if page.warnings.is_empty() => json!({ "kind": "nothing" }),
        None => json!({ "kind": "unreadable" }),
    }
}

fn view(event: &Event) -> Value {
    let texts = |values: Vec<String>| Value::from(values);
    let mut view = json!({
        "kind": "upserted", "title": "", "status": "CONFIRMED", "transparency": "OPAQUE", "visibility": "PUBLIC",
        "importance": "NORMAL", "categories": [], "attendees": [], "reminders": [], "usesDefaultReminders": false,
        "start": event.start.to_string(), "end": event.end.to_string(), "uid": event.uid, "zoneGuessed": event.zone_guessed,
        "isSeries": event.series.is_some(), "rules": [], "exceptDates": [], "extraDates": []
    });
    let details = serde_json::to_value(&event.details).unwrap();
    let fields = view.as_object_mut().unwrap();
    fields.extend(details.as_object().unwrap().clone());
    if let Some(series) = &event.series {
        let rules = series.rules.iter().map(ToString::to_string).collect();
        view["rules"] = texts(rules);
        let excepted = series.except_dates.iter().map(ToString::to_string);
        view["exceptDates"] = texts(excepted.collect());
        view["extraDates"] = texts(series.dates.iter().map(ToString::to_string).collect());
    }
    if let Some(original) = event.original_start() {
        view["originalStart"] = original.to_string().into();
    }
    view
}

/// Returns whether a value is as wanted: a list item by item, an object in the fields that are wanted.
fn agrees(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Array(have), Value::Array(want)) => {
            have.len() == want.len() && have.iter().zip(want).all(|(have, want)| agrees(have, want))
        }
        (Value::Object(have), Value::Object(want)) => want.iter().all(|(name, want)| {
            let absent = match want {
                Value::Bool(_) => json!(false),
                _ => Value::Null,
            };
            agrees(have.get(name).unwrap_or(&absent), want)
        }),
        _ => have == want,
    }
}

/// Reads each shape, and returns those that are read wrong.
async fn check(file: &str, connect: impl Fn(OAuthClient) -> Box<dyn Connect>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in file.lines() {
        let shape: Value = serde_json::from_str(line).unwrap();
        let page = read(&shape, &connect).await;
        let have = outcome(&page, shape["item"]["id"].as_str().unwrap_or_default());
        let want: &Map<String, Value> = shape["want"].as_object().unwrap();
        for (name, want) in want.iter().filter(|(name, _)| *name != "series") {
            let have = have.get(name).unwrap_or(&Value::Null);
            if !agrees(have, want) {
                wrong.push(format!("{}: {name} is {have}, not {want}", shape["name"]));
            }
        }
        count += 1;
    }
    assert!(count >= 60, "only {count} shapes");
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_google() {
    let wrong = check(include_str!("google.jsonl"), |client| {
        Box::new(Google::new(client, Clock::System))
    })
    .await;
    assert!(wrong.is_empty(), "{}\n{wrong:#?}", wrong.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_of_microsoft() {
    let wrong = check(include_str!("microsoft.jsonl"), |client| {
        Box::new(Microsoft::new(client, "common", Clock::System))
    })
    .await;
    assert!(wrong.is_empty(), "{}\n{wrong:#?}", wrong.len());
}
