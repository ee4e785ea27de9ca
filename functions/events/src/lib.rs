//! One agenda over all calendars.

mod list;
mod one;
mod upcoming;
mod view;

use shared::app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list::list)).routes(routes!(upcoming::upcoming)).routes(routes!(one::get))
}
