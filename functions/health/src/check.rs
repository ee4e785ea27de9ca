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
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
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
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health", responses((status = 200, body = Liveness)))]
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
/// Calls each of them. 503 if one does not answer; `checks` shows which one.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "A dependency does not answer", body = Readiness)))]
pub async fn ready(State(context): State<Context>) -> (StatusCode, Json<Readiness>) {
    let checks = Checks {
        dynamodb: outcome("DynamoDB", context.store.ping().await),
        kms: outcome("KMS", context.vault.ping().await),
        queue: outcome("the queue", context.queue.ping().await),
    };
    let all = [checks.dynamodb, checks.kms, checks.queue]
        .iter()
        .all(|check| *check == "ok");
    if all {
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

fn outcome<E: std::error::Error + 'static>(name: &str, answer: Result<(), E>) -> &'static str {
    match answer {
        Ok(()) => "ok",
        Err(error) => {
            tracing::error!(error.chain = %Chain(&error), "{name} does not answer: {}", Chain(&error));
            "unavailable"
        }
    }
}
