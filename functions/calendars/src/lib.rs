//! The calendars of a user, of all providers.

mod list;
mod one;
mod sync;
mod webhook;

use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<shared::calendar::Context>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(list::stats))
        .routes(routes!(sync::all))
        .routes(routes!(one::get, one::delete))
        .routes(routes!(one::color))
        .routes(routes!(sync::one))
        .routes(routes!(webhook::open, webhook::close))
}
