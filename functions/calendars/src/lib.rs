//! A person's calendars, whichever provider they come from.

mod list;
mod one;
mod sync;
mod webhook;

use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What this function holds.
pub type Context = HandlerState<shared::calendar::Context>;

/// The routes of this function.
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
