//! One agenda over all calendars.

mod body;
mod list;
mod one;
mod recurrence;
mod rsvp;
mod upcoming;
mod view;
mod write;

use shared::app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list, write::create))
        .routes(routes!(upcoming::upcoming))
        .routes(routes!(one::get, write::change, write::delete))
        .routes(routes!(write::retry))
        .routes(routes!(rsvp::respond))
}
