//! Feeds: look at one, connect it, change it, disconnect it.

mod connect;
mod feed;
mod one;
mod validate;

use shared::app::App;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes of this function.
pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(validate::validate))
        .routes(routes!(connect::connect))
        .routes(routes!(one::get, one::put, one::delete))
        .routes(routes!(one::sync))
}
