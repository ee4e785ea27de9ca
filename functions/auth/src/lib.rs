//! Accounts and sessions: signing up, signing in and out, token refresh, and the profile.

mod account;
mod login;
mod logout;
mod me;
mod password;
mod refresh;
mod signup;
mod tokens;

use shared::http::alias;
use shared::roles::HandlerState;
use shared::roles::IdentityContext;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The state of the router.
pub type Context = HandlerState<IdentityContext>;

/// Returns the routes of this function.
pub fn routes() -> OpenApiRouter<Context> {
    OpenApiRouter::new()
        .routes(routes!(signup::signup))
        .routes(alias(routes!(signup::signup), "/api/v1/auth/register"))
        .routes(routes!(login::login))
        .routes(routes!(login::login_form))
        .routes(routes!(refresh::refresh))
        .routes(routes!(logout::logout))
        .routes(alias(routes!(logout::logout), "/api/v1/auth/jwt/logout"))
        .routes(routes!(logout::revoke_all))
        .routes(routes!(me::get, me::patch))
        .routes(routes!(account::delete))
}
