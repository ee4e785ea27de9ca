//! `GET /health` and its relatives.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use shared::error_chain::Chain;
use shared::http::Json;
use utoipa::ToSchema;

use crate::Context;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`
    status: &'static str,
    /// `calweave`
    service: &'static str,
    /// The version that runs.
    version: &'static str,
}

/// Whether the service answers at all. Looks at nothing else.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = Health)))]
pub async fn health() -> Json<Health> {
    Json(Health {
        status: "healthy",
        service: "calweave",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Whether the process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    /// `alive`
    status: &'static str,
}

/// Whether the process is alive.
#[utoipa::path(get, path = "/api/v1/health/live", tag = "health", responses((status = 200, body = Liveness)))]
pub async fn live() -> Json<Liveness> {
    Json(Liveness { status: "alive" })
}

/// Whether what the service depends on answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `unavailable`
    status: &'static str,
    /// Each thing that is needed: `ok` or `unavailable`.
    checks: Checks,
}

/// One line for each thing that is needed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Checks {
    /// DynamoDB
    dynamodb: &'static str,
    /// KMS
    kms: &'static str,
    /// SQS
    queue: &'static str,
}

/// Whether DynamoDB, KMS and the queue answer. Asks each of them; 503 says which one does not.
#[utoipa::path(get, path = "/api/v1/health/ready", tag = "health",
    responses((status = 200, body = Readiness), (status = 503, description = "something that is needed does not answer", body = Readiness)))]
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
