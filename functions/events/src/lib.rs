//! One agenda over all calendars.

mod change;
mod create;
mod delete;
mod if_match;
mod list;
mod one;
mod retry;
mod rsvp;
mod upcoming;
mod view;
mod wait;

use shared::calendar::EventContext;
use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What this function holds.
pub type Context = HandlerState<EventContext>;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(upcoming::upcoming))
        .routes(routes!(one::get, change::change, delete::delete))
        .routes(routes!(retry::retry))
        .routes(routes!(rsvp::respond))
}
