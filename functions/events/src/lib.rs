//! Events of all calendars, in one agenda.

mod change;
mod create;
mod delete;
mod fields;
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

/// The state of the router.
pub type Context = HandlerState<EventContext>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(list::list_of_calendar))
        .routes(routes!(upcoming::upcoming))
        .routes(routes!(one::get, change::change, delete::delete))
        .routes(routes!(retry::retry))
        .routes(routes!(rsvp::respond))
}
