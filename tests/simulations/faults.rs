//! Faults of AWS that the emulators do not have: throttling, unprocessed batch items, transaction conflicts, and lost
//! responses. They are injected into the SDK's HTTP client.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use chrono::TimeDelta;
use local::stack::Options;
use serde_json::{Value, json};
use shared::boot::messages;
use shared::clock::{Clock, Deadline};

use super::{Dice, seeds};
use crate::harness::ProviderHarness;
use crate::harness::feeds::{calendar, daily};
use crate::harness::google::GoogleHarness;
use crate::harness::{Person, World};

/// The outcome of a request.
enum Fate {
    /// The request is processed.
    Done,
    /// The request fails with this error.
    Refused(Value),
    /// The request is processed, but its response is lost.
    Lost,
    /// Every other item of the batch is processed; the rest is returned as unprocessed.
    Half,
}

/// Decides the outcome by the operation (such as `BatchWriteItem`) and the body.
type Decide = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// Wraps the SDK's HTTP client (or its connector), and decides the outcome of each request.
#[derive(Clone)]
struct Faults<Real = SharedHttpClient> {
    decide: Arc<Mutex<Decide>>,
    real: Real,
}

impl<Real> std::fmt::Debug for Faults<Real> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faults")
    }
}

impl Faults {
    fn new(decide: impl FnMut(&str, &str) -> Fate + Send + 'static) -> Self {
        let real = aws_smithy_http_client::Builder::new().build_http();
        Self {
            decide: Arc::new(Mutex::new(Box::new(decide))),
            real,
        }
    }

    fn now(&self, decide: impl FnMut(&str, &str) -> Fate + Send + 'static) {
        *self.decide.lock().unwrap() = Box::new(decide);
    }

    /// Starts a world whose functions call AWS through this client, and whose worker only runs on request.
    async fn world(&self, clock: Clock) -> World {
        let http = Some(SharedHttpClient::new(self.clone()));
        World::with(Options {
            clock,
            background: false,
            http,
            ..Options::default()
        })
        .await
    }
}

impl HttpClient for Faults {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Faults {
            decide: Arc::clone(&self.decide),
            real: self.real.http_connector(settings, components),
        })
    }
}

impl HttpConnector for Faults<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.real.clone();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let fate = (self.decide.lock().unwrap())(&operation, &body);
        HttpConnectorFuture::new(async move {
            match fate {
                Fate::Done => connector.call(request).await,
                Fate::Refused(error) => Ok(answer(400, &error)),
                Fate::Lost => {
                    connector.call(request).await?;
                    Err(ConnectorError::io("the answer was lost".into()))
                }
                Fate::Half => {
                    let (taken, left) = halved(&body);
                    request
                        .headers_mut()
                        .insert("content-length", taken.len().to_string());
                    *request.body_mut() = SdkBody::from(taken);
                    connector.call(request).await?;
                    Ok(answer(200, &json!({ "UnprocessedItems": left })))
                }
            }
        })
    }
}

fn answer(status: u16, body: &Value) -> HttpResponse {
    let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string()));
    answer
        .headers_mut()
        .insert("content-type", "application/x-amz-json-1.0");
    answer
}

/// Splits a batch: a body with every other item of each table, and the remaining items.
fn halved(body: &str) -> (String, Value) {
    let mut batch: Value = serde_json::from_str(body).unwrap();
    let mut left = json!({});
    for (table, requests) in batch["RequestItems"].as_object_mut().unwrap() {
        let (odd, even): (Vec<_>, Vec<_>) = requests
            .as_array()
            .unwrap()
            .iter()
            .cloned()
            .enumerate()
            .partition(|(at, _)| at % 2 == 1);
        let without_place = |list: Vec<(usize, Value)>| {
            Value::from(
                list.into_iter()
                    .map(|(_, request)| request)
                    .collect::<Vec<_>>(),
            )
        };
        *requests = without_place(even);
        if !odd.is_empty() {
            left[table] = without_place(odd);
        }
    }
    (batch.to_string(), left)
}

fn throttled() -> Fate {
    Fate::Refused(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "The level of configured provisioned throughput for the table was exceeded"
    }))
}

/// A transaction that is cancelled because of its first item.
fn cancelled(code: &str) -> Fate {
    Fate::Refused(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled, please refer cancellation reasons for specific reasons […]",
        "CancellationReasons": [{ "Code": code, "Message": "…" }, { "Code": "None" }]
    }))
}

fn conflict() -> Fate {
    Fate::Refused(json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionConflictException",
        "message": "Transaction is ongoing for the item"
    }))
}

/// Signs a user up, connects a feed of `count` events, and checks that all of them are listed.
async fn assert_a_feed_arrives(faults: Faults, count: u32) -> (World, Person) {
    let world = faults.world(Clock::System).await;
    let ada = world.sign_up("ada").await;
    world
        .feeds
        .set_ics("f.ics", daily(count, "2026-03-01", "e"));
    let answer = world
        .post(
            &ada,
            "/api/v1/calendar/ics/connect",
            json!({ "url": world.feeds.url("f.ics") }),
        )
        .await;
    assert_eq!(answer.status, 201, "{answer:?}");
    world.stack.work().await;
    assert_eq!(
        world.events(&ada, "2026-03-01", "2026-06-01").await.len(),
        count as usize
    );
    (world, ada)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_third_call_throttled_is_a_sync_all_the_same() {
    let mut calls = 0;
    let faults = Faults::new(move |_, _| {
        calls += 1;
        if calls % 3 == 0 {
            throttled()
        } else {
            Fate::Done
        }
    });
    assert_a_feed_arrives(faults, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_batch_leaves_is_written_again() {
    let mut batches = 0;
    let faults = Faults::new(move |operation, _| {
        batches += u32::from(operation == "BatchWriteItem");
        if operation == "BatchWriteItem" && !batches.is_multiple_of(4) {
            Fate::Half
        } else {
            Fate::Done
        }
    });
    assert_a_feed_arrives(faults, 60).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_meets_another_transaction_is_tried_again() {
    let mut met = BTreeMap::<String, u32>::new();
    let faults = Faults::new(move |operation, _| {
        let times = met.entry(operation.to_owned()).or_default();
        *times += 1;
        match operation {
            "TransactWriteItems" if *times % 3 == 1 => cancelled("TransactionConflict"),
            "TransactWriteItems" if *times % 3 == 2 => cancelled("ThrottlingError"),
            "PutItem" | "UpdateItem" | "DeleteItem" if !times.is_multiple_of(2) => conflict(),
            _ => Fate::Done,
        }
    });
    let (world, ada) = assert_a_feed_arrives(faults, 3).await;
    // A failed condition is reported as such, not retried as a conflict.
    let body = json!({ "email": ada.email, "password": crate::harness::PASSWORD });
    assert_eq!(
        world
            .call("POST", "/api/v1/auth/signup", None, Some(body))
            .await
            .status,
        409
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_messages_only_the_one_that_failed_is_reported() {
    let faults = Faults::new(|_, _| Fate::Done);
    let world = faults.world(Clock::System).await;
    let ada = world.sign_up("ada").await;
    let mut calendars = Vec::new();
    for path in ["a.ics", "b.ics"] {
        world.feeds.set_ics(
            path,
            calendar(&[&format!("UID:1\nDTSTART:20260302T090000Z\nSUMMARY:{path}")]),
        );
        let answer = world
            .post(
                &ada,
                "/api/v1/calendar/ics/connect",
                json!({ "url": world.feeds.url(path) }),
            )
            .await;
        calendars.push(answer.body["id"].as_str().unwrap().to_owned());
    }
    // Empties the queue, so that only the batch below is processed.
    world.stack.work().await;
    let records = calendars.iter().map(|calendar| {
        let job = json!({ "type": "syncCalendar", "userId": ada.id, "calendarId": calendar });
        json!({ "messageId": calendar, "body": job.to_string(), "eventSource": "aws:sqs" })
    });
    let batch: SqsEvent =
        serde_json::from_value(json!({ "Records": records.collect::<Vec<_>>() })).unwrap();
    let unlucky = calendars[1].clone();
    faults.now(move |_, body| {
        if body.contains(&unlucky) {
            throttled()
        } else {
            Fate::Done
        }
    });
    let answer = messages(
        &world.stack.context,
        sync_worker::handle,
        batch,
        Deadline::Never,
    )
    .await;
    let failed: Vec<_> = answer
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.clone())
        .collect();
    assert_eq!(failed, [calendars[1].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_made_once_wherever_its_making_fails() {
    let faults = Faults::new(|_, _| Fate::Done);
    let http = Some(SharedHttpClient::new(faults.clone()));
    let clock = Clock::manual("2027-01-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: clock.clone(),
        background: false,
        http,
        ..Options::default()
    };
    let (world, mut google) = World::beside::<GoogleHarness>(options).await;
    let ada = world.sign_up("ada").await;
    let calendar = world
        .choose(&google, &ada, GoogleHarness::EMAIL, &[&google.primary()])
        .await
        .remove(0);
    world.stack.work().await;
    let make = async |title: &str| {
        let times = json!({ "startTime": "2027-01-05T09:00:00", "endTime": "2027-01-05T10:00:00", "calendarId": calendar, "title": title });
        let headers = [
            ("authorization", format!("Bearer {}", ada.token)),
            ("idempotency-key", title.to_owned()),
        ];
        world
            .send(
                "POST",
                "/api/v1/calendar/events?wait=0",
                &headers,
                Some(times.to_string()),
            )
            .await
    };
    // The message cannot be sent: the event is stored, and the schedule requests the write later.
    faults.now(|operation, _| {
        if operation == "SendMessage" {
            throttled()
        } else {
            Fate::Done
        }
    });
    assert_eq!(make("Unasked").await.status, 202);
    // The event is stored, but then reads fail: repeating the request does not create a second one.
    let mut is_stored = false;
    faults.now(move |operation, body| {
        let is_read = is_stored && operation == "GetItem";
        is_stored |= operation == "TransactWriteItems" && body.contains("Unheard");
        if is_read { throttled() } else { Fate::Done }
    });
    assert_eq!(make("Unheard").await.status, 500);
    faults.now(|_, _| Fate::Done);
    assert_eq!(make("Unheard").await.status, 202);
    clock.advance(TimeDelta::minutes(16));
    reconcile::run(world.stack.schedule()).await.unwrap();
    world.stack.work().await;
    google.sign_in().await;
    assert_eq!(google.titles().await, ["Unasked", "Unheard"]);
}

/// Requests are throttled, partially processed, cancelled by conflicts, or lose their response at random. Callers
/// retry, and in the end each event exists exactly once.
#[tokio::test(flavor = "multi_thread")]
async fn random_faults_lose_and_double_nothing() {
    for seed in seeds().step_by(5) {
        let mut dice = Dice(seed);
        let random = move |operation: &str, _: &str| match (dice.below(10), operation) {
            (0, _) => throttled(),
            (1, _) => Fate::Lost,
            (2 | 3, "BatchWriteItem") => Fate::Half,
            (2, "TransactWriteItems") => cancelled("TransactionConflict"),
            (2, "PutItem" | "UpdateItem" | "DeleteItem") => conflict(),
            _ => Fate::Done,
        };
        let clock = Clock::manual("2026-03-01T00:00:00Z".parse().unwrap());
        let faults = Faults::new(|_, _| Fate::Done);
        let world = faults.world(clock.clone()).await;
        let ada = world.sign_up("ada").await;
        world.feeds.set_ics("f.ics", daily(60, "2026-03-01", "e"));
        faults.now(random);
        let connect = json!({ "url": world.feeds.url("f.ics") }).to_string();
        let headers = [
            ("authorization", format!("Bearer {}", ada.token)),
            ("idempotency-key", format!("connect-{seed}")),
        ];
        world
            .until("the feed to be connected", async || {
                let answer = world
                    .send(
                        "POST",
                        "/api/v1/calendar/ics/connect",
                        &headers,
                        Some(connect.clone()),
                    )
                    .await;
                // 409 when an earlier attempt succeeded but its response was lost. An unfinished attempt with the same
                // key has to expire first.
                clock.advance(TimeDelta::seconds(10));
                let exists = answer.status == 409 && answer.body["type"] != "idempotency-conflict";
                (answer.status == 201 || exists).then_some(())
            })
            .await;
        world.stack.work().await;
        faults.now(|_, _| Fate::Done);
        // Lets the visibility timeout of failed messages, and leases that were not released, expire.
        clock.advance(TimeDelta::minutes(16));
        let ada = world.sign_in(&ada).await;
        let mut ids = BTreeSet::new();
        for _ in 0..2 {
            world
                .post(&ada, "/api/v1/calendar/calendars/sync-all", json!({}))
                .await;
            world.stack.work().await;
            let events = world.events(&ada, "2026-03-01", "2026-06-01").await;
            ids = events
                .iter()
                .map(|event| event["id"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(ids.len(), events.len(), "seed {seed}: an event is doubled");
        }
        assert_eq!(
            ids.len(),
            60,
            "seed {seed}: {}",
            world.get(&ada, "/api/v1/calendar/calendars").await.body
        );
        let calendars = world.get(&ada, "/api/v1/calendar/calendars").await.body;
        assert_eq!(
            calendars["calendars"].as_array().unwrap().len(),
            1,
            "seed {seed}: {calendars}"
        );
        world.stack.stop().await;
    }
}
