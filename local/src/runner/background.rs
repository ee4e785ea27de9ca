//! The background tasks of the stack: the queue worker and the scheduled jobs.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use serde_json::json;
use shared::boot::{messages, tick};
use shared::clock::Deadline;
use shared::sync::SyncContext;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::functions;
use crate::services::Services;
use crate::template::Template;

/// Spawns the tasks that poll the queue and run each scheduled job at its interval. Returns their
/// handles.
pub(super) fn run_in_background(
    template: &Template,
    context: &SyncContext,
    services: &Services,
    stop: &watch::Sender<bool>,
) -> Vec<JoinHandle<()>> {
    let mut background = Vec::new();
    let worker = template.functions.get(functions::WORKER);
    if worker.is_some_and(|worker| worker.on_queue) {
        let (sqs, queue) = (services.sqs.clone(), services.queue_url().to_owned());
        let polling = poll(context.clone(), sqs, queue, stop.subscribe());
        background.push(tokio::spawn(polling));
    }
    for job in functions::SCHEDULED {
        let function = template.functions.get(job.name);
        if let Some(seconds) = function.and_then(|function| function.every) {
            let repeated = repeat(
                job.name,
                context.clone(),
                job.run,
                seconds,
                stop.subscribe(),
            );
            background.push(tokio::spawn(repeated));
        }
    }
    background
}

/// Receives up to one message, which is the batch size of the template. Waits up to `wait` seconds for them (long polling). Returns an
/// empty batch when the request fails.
pub(super) async fn receive(
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
    wait: i32,
) -> Vec<aws_sdk_sqs::types::Message> {
    let answer = sqs
        .receive_message()
        .queue_url(queue)
        .max_number_of_messages(1)
        .wait_time_seconds(wait)
        .send()
        .await;
    answer
        .map(|answer| answer.messages.unwrap_or_default())
        .unwrap_or_default()
}

/// Invokes the worker with a batch, as Lambda's event source mapping does. Deletes the messages
/// that the worker does not report as failed.
pub(super) async fn work_on(
    context: &SyncContext,
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
    batch: Vec<aws_sdk_sqs::types::Message>,
) {
    let records =
        batch.iter().map(|message| json!({ "messageId": message.message_id(), "body": message.body(), "eventSource": "aws:sqs" }));
    let event = json!({ "Records": records.collect::<Vec<_>>() });
    let Ok(event) = serde_json::from_value::<SqsEvent>(event) else {
        return;
    };
    let deadline = Deadline::after(WORK_TIME);
    let work = messages(context, sync_worker::handle, event, deadline);
    let answer = functions::run_as(functions::WORKER, work).await;
    let failed: Vec<String> = answer
        .batch_item_failures
        .into_iter()
        .map(|failure| failure.item_identifier)
        .collect();
    for message in batch.iter().filter(|message| {
        !failed
            .iter()
            .any(|id| Some(id.as_str()) == message.message_id())
    }) {
        if let Some(receipt) = message.receipt_handle() {
            drop(
                sqs.delete_message()
                    .queue_url(queue)
                    .receipt_handle(receipt)
                    .send()
                    .await,
            );
        }
    }
}

/// The time after which a batch begins no new work. It is the same as on Lambda: the worker's
/// timeout of 120 seconds, less a margin of 60 seconds.
const WORK_TIME: Duration = Duration::from_secs(60);
/// The maximum number of batches in progress at the same time.
const CONCURRENCY: usize = 4;

async fn poll(
    context: SyncContext,
    sqs: aws_sdk_sqs::Client,
    queue: String,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let mut working = JoinSet::new();
    loop {
        let batch = tokio::select! {
            batch = receive(&sqs, &queue, 20) => batch,
            () = stopped(&mut stop) => break,
        };
        if batch.is_empty() {
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let (context, sqs, queue) = (context.clone(), sqs.clone(), queue.clone());
        working.spawn(async move {
            work_on(&context, &sqs, &queue, batch).await;
            drop(place);
        });
        while working.try_join_next().is_some() {}
    }
    while working.join_next().await.is_some() {}
    // Process the remaining messages too. The emulated queue is in memory, so they would be
    // lost with it.
    loop {
        let batch = receive(&sqs, &queue, 0).await;
        if batch.is_empty() {
            return;
        }
        work_on(&context, &sqs, &queue, batch).await;
    }
}

/// Waits for the stop signal of the stack.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn repeat(
    name: &'static str,
    context: SyncContext,
    run: fn(SyncContext) -> functions::Run,
    seconds: u64,
    mut stop: watch::Receiver<bool>,
) {
    let mut timer = tokio::time::interval(Duration::from_secs(seconds));
    loop {
        tokio::select! {
            _ = timer.tick() => {
                let work = tick(context.clone(), run);
                drop(functions::run_as(name, work).await);
            }
            () = stopped(&mut stop) => return,
        }
    }
}
