//! Health checks, the documentation of the API, and requests that no route matches.

mod check;
mod docs;
mod paths;
mod unmatched;

use axum::routing::any;
use shared::http::alias;
use shared::roles::HandlerState;
use shared::roles::HealthContext;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<HealthContext>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(check::health))
        .routes(alias(routes!(check::health), "/api/v1/health"))
        .routes(alias(routes!(check::health), "/api/v1/health/health"))
        .routes(routes!(check::live))
        .routes(routes!(check::ready))
        .routes(routes!(docs::openapi))
        .routes(routes!(docs::page))
        .routes(routes!(docs::style))
        .routes(routes!(docs::script))
        .route("/{*path}", any(unmatched::unmatched))
}
