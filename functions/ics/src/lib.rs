//! ICS feeds: validate, connect, change, sync and disconnect them.

mod connect;
mod one;
mod validate;

use shared::calendar::FeedContext;
use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<FeedContext>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(validate::validate))
        .routes(routes!(connect::connect))
        .routes(routes!(one::get, one::put, one::delete))
        .routes(routes!(one::sync))
}
