//! Push notifications of providers. A notification is only a hint: the function verifies it, requests a sync, and
//! acknowledges it.

mod google;
mod microsoft;
mod setup;

use shared::http::alias;
use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<shared::calendar::Context>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(google::notify))
        .routes(alias(
            routes!(google::notify),
            "/api/v1/webhooks/google-calendar",
        ))
        .routes(routes!(microsoft::notify))
        .routes(routes!(microsoft::lifecycle))
        .routes(routes!(setup::setup))
}
