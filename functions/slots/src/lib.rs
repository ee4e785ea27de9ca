//! Slots: times that a user reserves. A slot can be shown as an event in a calendar.

mod slots;
mod view;

use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<shared::calendar::Context>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(slots::list, slots::create))
        .routes(routes!(slots::get, slots::change, slots::delete))
}
