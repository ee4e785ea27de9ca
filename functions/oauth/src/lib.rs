//! Linking accounts: the OAuth flow with the provider, then the selection of calendars.

mod browser;
mod calendars;
mod callback;
mod connections;
mod login;
mod select;
mod session;

use shared::calendar::LinkContext;
use shared::roles::HandlerState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<LinkContext>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(login::login))
        .routes(routes!(callback::callback))
        .routes(routes!(connections::list))
        .routes(routes!(calendars::list, calendars::choose))
        .routes(routes!(session::get))
        .routes(routes!(select::select))
}
