//! Entry points of the functions on the Lambda runtime.

use std::future::Future;
use std::time::Duration;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use calweave_base::clock::{Clock, Deadline};
use calweave_base::config::Environment;
use calweave_base::error_chain::Chain;
use calweave_base::telemetry::init_json;
use calweave_http::HandlerState;
use calweave_http::deadline::RequestDeadline;
use calweave_http::layers::service;
use calweave_http::origin::RequestOrigin;
use calweave_store::queue::Job;
use calweave_sync::SyncError;
use futures::FutureExt;
use lambda_http::request::RequestContext;
use lambda_runtime::{LambdaEvent, service_fn};
use tracing::{error, info};
use utoipa_axum::router::OpenApiRouter;

use crate::roles::Role;
use crate::setup::Setup;

/// An error that prevents a function from starting, or stops it.
pub type Error = lambda_runtime::Error;

/// Initializes logging, reads the environment variables, and builds the function's role.
fn start<R: Role>() -> Result<R, Error> {
    #[expect(
        clippy::disallowed_methods,
        reason = "logging starts before the configuration is read"
    )]
    init_json(std::env::var("LOG_LEVEL").ok().as_deref());
    let mut setup = Setup::new(Environment::process(), Clock::System);
    Ok(setup.role().inspect_err(|error| error!("{error}"))?)
}

fn block_on(future: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future)
}

/// Runs a function that handles HTTP requests.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn http<R: Role>(routes: fn() -> OpenApiRouter<HandlerState<R>>) -> Result<(), Error> {
    let web = start()?;
    block_on(async move { lambda_http::run(router(routes(), web)).await })
}

/// Builds a function's router with all layers; the outermost one reads the request's origin and
/// deadline from the API Gateway event and the context of its invocation.
pub(crate) fn router<C>(routes: OpenApiRouter<HandlerState<C>>, web: HandlerState<C>) -> Router
where
    C: Clone + Send + Sync + 'static,
{
    service(routes, web).layer(map_request(origin))
}

async fn origin(mut request: Request) -> Request {
    let invocation = request.extensions().get::<lambda_runtime::Context>();
    let ends_at = invocation.map_or(0, |invocation| invocation.deadline);
    let deadline = RequestDeadline::from_epoch(ends_at, Clock::System.now());
    request.extensions_mut().insert(deadline);
    let context = request.extensions().get::<RequestContext>();
    if let Some(RequestContext::ApiGatewayV2(context)) = context {
        let origin = RequestOrigin {
            ip: context.http.source_ip.clone().unwrap_or_default(),
            request_id: context.request_id.clone().unwrap_or_default(),
        };
        request.extensions_mut().insert(origin);
    }
    request
}

/// Runs a function that processes messages of the queue.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn queue<R, F, Fut>(handle: F) -> Result<(), Error>
where
    R: Role,
    F: Fn(R, Job, Deadline) -> Fut + Clone,
    Fut: Future<Output = Result<(), SyncError>>,
{
    let context = start::<R>()?;
    block_on(lambda_runtime::run(service_fn(
        move |event: LambdaEvent<SqsEvent>| {
            let (context, handle) = (context.clone(), handle.clone());
            let deadline = deadline(event.context.deadline);
            async move { Ok::<_, Error>(messages(&context, handle, event.payload, deadline).await) }
        },
    )))
}

/// Work ends this long before Lambda ends the invocation.
const MARGIN: Duration = Duration::from_secs(60);

/// Returns when an invocation stops to begin new work. `ends_at` is when Lambda ends it, in Unix milliseconds; a local Runtime API
/// may give a time in the past, which means nothing.
fn deadline(ends_at: u64) -> Deadline {
    let now = u64::try_from(Clock::System.now().timestamp_millis()).unwrap_or(0);
    if ends_at <= now {
        return Deadline::Never;
    }
    let left = Duration::from_millis(ends_at - now);
    Deadline::after(left.saturating_sub(MARGIN))
}

/// Runs a function that is started by a schedule.
///
/// # Errors
/// When the configuration is incomplete, or the runtime ends.
pub fn schedule<R, F, Fut>(run: F) -> Result<(), Error>
where
    R: Role,
    F: Fn(R) -> Fut + Clone,
    Fut: Future<Output = Result<usize, SyncError>>,
{
    let context = start::<R>()?;
    block_on(lambda_runtime::run(service_fn(
        move |_: LambdaEvent<serde_json::Value>| {
            let (context, run) = (context.clone(), run.clone());
            async move { tick(context, run).await }
        },
    )))
}

/// Carries out a scheduled run, and logs and returns the number of items that it found.
///
/// # Errors
/// When the run fails; Lambda then retries it.
pub async fn tick<R, F, Fut>(context: R, run: F) -> Result<serde_json::Value, Error>
where
    F: Fn(R) -> Fut,
    Fut: Future<Output = Result<usize, SyncError>>,
{
    let done = run(context).await.inspect_err(
        |error| error!(error.chain = %Chain(error), "the scheduled run failed: {}", Chain(error)),
    )?;
    info!(job.items = done, "the scheduled run found {done} items");
    Ok(serde_json::json!({ "items": done }))
}

/// Processes the messages of a batch concurrently. Messages that fail, panic or cannot be parsed are returned as batch
/// item failures, so that only these are received again.
pub async fn messages<R, F, Fut>(
    context: &R,
    handle: F,
    event: SqsEvent,
    deadline: Deadline,
) -> SqsBatchResponse
where
    R: Clone,
    F: Fn(R, Job, Deadline) -> Fut + Clone,
    Fut: Future<Output = Result<(), SyncError>>,
{
    let one = |message: aws_lambda_events::sqs::SqsMessage| {
        let (context, handle, deadline) = (context.clone(), handle.clone(), deadline.clone());
        async move {
            let id = message.message_id.unwrap_or_default();
            let job = match serde_json::from_str::<Job>(message.body.as_deref().unwrap_or("")) {
                Ok(job) => job,
                Err(error) => {
                    error!(message.id = id, "message {id} cannot be read: {error}");
                    return Some(id);
                }
            };
            match std::panic::AssertUnwindSafe(handle(context, job, deadline))
                .catch_unwind()
                .await
            {
                Ok(Ok(())) => None,
                Ok(Err(error)) => {
                    error!(message.id = id, error.chain = %Chain(&error), "message {id} failed: {}", Chain(&error));
                    Some(id)
                }
                Err(_) => {
                    error!(message.id = id, "processing of message {id} panicked");
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
