//! How a function starts. The only file that names the Lambda runtime.

use std::future::Future;
use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use axum::Router;
use futures::FutureExt;
use lambda_runtime::{LambdaEvent, service_fn};
use tracing::{error, info};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::error_chain::Chain;
use crate::http::service;
use crate::queue::Job;
use crate::sync::SyncError;
use crate::telemetry::init_json;

/// Why a function could not start or had to stop.
pub type Error = lambda_runtime::Error;

fn app() -> Result<App, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "logging starts before the configuration is read"
    )]
    init_json(std::env::var("LOG_LEVEL").ok().as_deref());
    let config = Config::from_env().inspect_err(|error| error!("{error}"))?;
    Ok(App::new(config, Clock::System))
}

fn block_on(future: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// Runs a function that answers HTTP requests.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn http(routes: fn() -> OpenApiRouter<App>) -> Result<(), Error> {
    let app = app()?;
    block_on(async move { lambda_http::run(service(routes(), app)).await })
}

/// Runs a function that works on messages.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn queue<F, Fut>(handle: F) -> Result<(), Error>
where
    F: Fn(App, Job) -> Fut + Clone,
    Fut: Future<Output = Result<(), SyncError>>,
{
    let app = app()?;
    block_on(lambda_runtime::run(service_fn(
        move |event: LambdaEvent<SqsEvent>| {
            let (app, handle) = (app.clone(), handle.clone());
            async move { Ok::<_, Error>(messages(&app, handle, event.payload).await) }
        },
    )))
}

/// Runs a function that a schedule starts.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn schedule<F, Fut>(run: F) -> Result<(), Error>
where
    F: Fn(App) -> Fut + Clone,
    Fut: Future<Output = Result<usize, SyncError>>,
{
    let app = app()?;
    block_on(lambda_runtime::run(service_fn(
        move |_: LambdaEvent<serde_json::Value>| {
            let (app, run) = (app.clone(), run.clone());
            async move { tick(app, run).await }
        },
    )))
}

/// Carries out a scheduled run and logs what it found.
///
/// # Errors
/// When the run failed: Lambda then starts it again.
pub async fn tick<F, Fut>(app: App, run: F) -> Result<serde_json::Value, Error>
where
    F: Fn(App) -> Fut,
    Fut: Future<Output = Result<usize, SyncError>>,
{
    let done = run(app).await.inspect_err(
        |error| error!(error.chain = %Chain(error), "the scheduled run failed: {}", Chain(error)),
    )?;
    info!(job.items = done, "the scheduled run found {done} to do");
    Ok(serde_json::json!({ "items": done }))
}

/// Works on a batch of messages, side by side. One that fails, or panics, or cannot be read comes again by itself; the
/// others are done.
pub async fn messages<F, Fut>(app: &App, handle: F, event: SqsEvent) -> SqsBatchResponse
where
    F: Fn(App, Job) -> Fut + Clone,
    Fut: Future<Output = Result<(), SyncError>>,
{
    let one = |message: aws_lambda_events::sqs::SqsMessage| {
        let (app, handle) = (app.clone(), handle.clone());
        async move {
            let id = message.message_id.unwrap_or_default();
            let job = match serde_json::from_str::<Job>(message.body.as_deref().unwrap_or("")) {
                Ok(job) => job,
                Err(error) => {
                    error!(message.id = id, "message {id} cannot be read: {error}");
                    return Some(id);
                }
            };
            match std::panic::AssertUnwindSafe(handle(app, job))
                .catch_unwind()
                .await
            {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    error!(message.id = id, error.chain = %Chain(&error), "message {id} failed: {}", Chain(&error));
                    Some(id)
                }
                Err(_) => {
                    error!(message.id = id, "message {id} made the worker panic");
                    Some(id)
                }
            }
        }
    };
    let failed = futures::future::join_all(event.records.into_iter().map(one)).await;
    let mut response = SqsBatchResponse::default();
    failed
        .into_iter()
        .flatten()
        .for_each(|id| response.add_failure(id));
    response
}

/// Answers API Gateway events with a router, without the runtime: for the local gateway.
#[derive(Clone)]
pub struct InProcess(Arc<tokio::sync::Mutex<Router>>);

impl InProcess {
    /// Mounts a function's routes.
    pub fn new(routes: OpenApiRouter<App>, app: App) -> Self {
        Self(Arc::new(tokio::sync::Mutex::new(service(routes, app))))
    }

    /// The answer to one event (payload format 2.0), as Lambda would give it.
    ///
    /// # Errors
    /// When the event is not one of API Gateway.
    pub async fn invoke(
        &self,
        event: serde_json::Value,
    ) -> Result<serde_json::Value, serde_json::Error> {
        use lambda_http::Service;
        let request: lambda_http::request::LambdaRequest = serde_json::from_value(event)?;
        let router = self.0.lock().await.clone();
        // The adapter itself cannot be held while waiting; what it answers can.
        let answer = lambda_http::Adapter::from(router)
            .call(LambdaEvent::new(request, lambda_http::Context::default()));
        match answer.await {
            Ok(answer) => serde_json::to_value(answer),
            Err(never) => match never {},
        }
    }
}
