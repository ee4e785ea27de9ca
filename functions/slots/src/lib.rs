//! Slots: stretches of time that a person keeps, shown in a calendar where the person wants that.

mod body;
mod slots;
mod view;

use shared::app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(slots::list, slots::create))
        .routes(routes!(slots::get, slots::change, slots::delete))
}
