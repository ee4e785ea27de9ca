//! `GET /health`, `GET /api/v1/health/live` and `GET /api/v1/health/ready`

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::error_chain::Chain;
use shared::http::Json;
use utoipa::ToSchema;

use crate::Context;

/// The health of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `healthy`.
    status: &'static str,
    /// Name of the service, `calweave`.
    service: &'static str,
    /// Version of the service.
    version: &'static str,
}

/// Returns whether the service answers.
///
/// Checks no dependency.
#[utoipa::path(get, path = "/health", operation_id = "getHealth", tag = "health", responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        service: "calweave",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// The liveness of the process.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    /// Always `alive`.
    status: &'static str,
}

/// Returns whether the process is alive.
///
/// Checks no dependency.
#[utoipa::path(get, path = "/api/v1/health/live", operation_id = "getLiveness", tag = "health", responses((status = 200, body = Liveness)))]
pub async fn live() -> Json<Liveness> {
    Json(Liveness { status: "alive" })
}

/// The readiness of the service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` if all dependencies answer, else `unavailable`.
    status: &'static str,
    /// Result for each dependency.
    checks: Checks,
}

/// The results of the checks: `ok` or `unavailable`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checks {
    /// DynamoDB.
    dynamodb: &'static str,
    /// AWS KMS.
    kms: &'static str,
    /// The SQS queue.
    queue: &'static str,
}

/// Returns whether DynamoDB, KMS and the queue answer.
///
/// Calls each of them, while they answer at most every ten seconds. 503 if one does not answer; `checks` shows which one.
#[utoipa::path(get, path = "/api/v1/health/ready", operation_id = "getReadiness", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "A dependency does not answer", body = Readiness)))]
pub async fn ready(State(context): State<Context>) -> (StatusCode, Json<Readiness>) {
    let now = context.http.clock.now().timestamp();
    let last = context.last_ready.lock().map_or(None, |last| *last);
    let silent = if last.is_some_and(|at| now - at < KEPT) {
        vec![]
    } else {
        silent(&context).await
    };
    if silent.is_empty()
        && let Ok(mut last) = context.last_ready.lock()
    {
        *last = last.filter(|at| now - at < KEPT).or(Some(now));
    }
    let outcome = |name| {
        if silent.contains(&name) {
            "unavailable"
        } else {
            "ok"
        }
    };
    let checks = Checks {
        dynamodb: outcome(DYNAMODB),
        kms: outcome(KMS),
        queue: outcome(QUEUE),
    };
    if silent.is_empty() {
        (
            StatusCode::OK,
            Json(Readiness {
                status: "ready",
                checks,
            }),
        )
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(Readiness {
                status: "unavailable",
                checks,
            }),
        )
    }
}

const DYNAMODB: &str = "DynamoDB";
const KMS: &str = "KMS";
const QUEUE: &str = "the queue";
/// How long it is kept that all dependencies answer, in seconds: anybody may ask for it.
const KEPT: i64 = 10;

/// Calls all dependencies. Returns the names of those that do not answer.
async fn silent(context: &Context) -> Vec<&'static str> {
    let answers = [
        has_answered(DYNAMODB, context.store.ping().await),
        has_answered(KMS, context.vault.ping().await),
        has_answered(QUEUE, context.queue.ping().await),
    ];
    let names = [DYNAMODB, KMS, QUEUE].into_iter().zip(answers);
    names
        .filter(|(_, has_answered)| !has_answered)
        .map(|(name, _)| name)
        .collect()
}

fn has_answered<E: std::error::Error + 'static>(name: &str, answer: Result<(), E>) -> bool {
    answer
        .inspect_err(|error| {
            tracing::error!(error.chain = %Chain(error), "{name} does not answer: {}", Chain(error));
        })
        .is_ok()
}
