//! Each sample in `events/` is what its function takes.

use std::fs;
use std::path::Path;

use aws_lambda_events::sqs::SqsEvent;
use local::functions;
use serde_json::{Value, json};
use shared::boot::{messages, tick};
use shared::clock::Deadline;

use crate::harness::World;

fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../events")
        .join(name);
    serde_json::from_str(
        &fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}")),
    )
    .unwrap()
}

/// What each function answers to its sample.
const HTTP_SAMPLES: [(&str, u16); 9] = [
    ("health", 200),
    ("auth", 201),
    ("ics", 422),
    ("calendars", 200),
    ("events", 200),
    ("oauth", 200),
    ("slots", 201),
    ("sync", 200),
    ("webhooks", 204),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_sample_runs_through_its_function() {
    let (world, _google) = World::with_google().await;
    let ada = world.sign_up("ada").await;
    let mut run = vec!["sync_worker.json".to_owned()];
    let mounted = &world.stack.functions;
    for (name, expected) in HTTP_SAMPLES {
        let file = format!("{name}.json");
        let mut event = sample(&file);
        if let Some(token) = event["headers"].get_mut("authorization") {
            *token = json!(format!("Bearer {}", ada.token));
        }
        let answer = mounted[name].invoke(event).await.unwrap();
        assert_eq!(answer["statusCode"], expected, "{name}: {answer}");
        run.push(file);
    }
    let event: SqsEvent = serde_json::from_value(sample("sync_worker.json")).unwrap();
    assert_eq!(event.records.len(), 1);
    let answer = messages(
        &world.stack.context,
        sync_worker::handle,
        event,
        Deadline::Never,
    )
    .await;
    assert!(answer.batch_item_failures.is_empty(), "{answer:?}");
    for functions::ScheduledJob { name, run: job, .. } in functions::SCHEDULED {
        run.push(format!("{name}.json"));
        assert_eq!(sample(&format!("{name}.json"))["source"], "aws.scheduler");
        assert_eq!(
            tick(world.stack.context.clone(), job).await.unwrap(),
            json!({ "items": 0 })
        );
    }
    let mut all: Vec<String> =
        fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../events"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
    all.sort();
    run.sort_unstable();
    assert_eq!(all, run, "each sample is run, each function has one");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_message_does_not_fail_the_others() {
    let world = World::new().await;
    let good = sample("sync_worker.json")["Records"][0]["body"].clone();
    let record =
        |id: &str, body: &Value| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" });
    let event = json!({ "Records": [record("a", &good), record("b", &json!("nonsense")), record("c", &good), record("d", &json!("{\"type\":\"explode\"}"))] });
    let event: SqsEvent = serde_json::from_value(event).unwrap();
    let answer = messages(
        &world.stack.context,
        |app, job, deadline| async move { Box::pin(sync_worker::handle(app, job, deadline)).await },
        event,
        Deadline::Never,
    )
    .await;
    let failed: Vec<_> = answer
        .batch_item_failures
        .iter()
        .map(|failure| failure.item_identifier.as_str())
        .collect();
    assert_eq!(failed, ["b", "d"]);

    let event: SqsEvent =
        serde_json::from_value(json!({ "Records": [record("a", &good), record("b", &good)] }))
            .unwrap();
    let first = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let handle = move |_, _, _| {
        let first = first.clone();
        async move {
            assert!(
                !first.swap(false, std::sync::atomic::Ordering::SeqCst),
                "a panic in the first message"
            );
            Ok(())
        }
    };
    let answer = messages(&world.stack.context, handle, event, Deadline::Never).await;
    assert_eq!(answer.batch_item_failures.len(), 1);
}
