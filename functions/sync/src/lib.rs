//! Sync status of a user's calendars, and requests that apply to all of them.

mod push;
mod reset;
mod status;
mod trigger;

use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<shared::calendar::Context>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(trigger::trigger))
        .routes(routes!(status::status))
        .routes(routes!(push::push_all))
        .routes(routes!(reset::reset))
}
