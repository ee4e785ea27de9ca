//! `GET /api/v1/calendar/oauth/{provider}/login`

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::calendar::accounts::{CONSENT_LIFETIME, begin_link, configured};
use shared::http::limits::OAuthLimit;
use shared::http::{ApiResult, Caller, Json, Problems, Query};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::browser::{cookie, return_to};

/// Where to come back to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct LoginQuery {
    /// The page that the browser is sent to in the end, with `session` or `error`; of an origin that may call this API.
    /// Without, the first such origin.
    #[serde(default)]
    return_to: Option<String>,
    /// Whether an administrator consents for everybody of an organisation, without linking an account (Microsoft).
    #[serde(default)]
    admin_consent: bool,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationUrl {
    /// The provider's consent page.
    auth_url: String,
    /// What comes back with the browser; good once, for a quarter of an hour, in this browser.
    state: String,
}

/// Begins to link an account. The answer sets a cookie, so a page of another origin calls with `credentials: "include"`;
/// without the cookie the way back is refused.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/{provider}/login", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "`google` or `microsoft`"), LoginQuery),
    responses((status = 200, body = AuthorizationUrl), Problems))]
pub async fn login(
    State(context): State<Context>,
    caller: Caller,
    _: OAuthLimit,
    Path(provider): Path<String>,
    Query(query): Query<LoginQuery>,
) -> ApiResult<Response> {
    let (kind, provider) = configured(&context.providers, &provider)?;
    let own_base = provider.public_url();
    let return_to = return_to(&context, own_base, query.return_to.as_deref())?;
    let (user, is_admin_consent) = (caller.user(), query.admin_consent);
    let begun = begin_link(&context, user, kind, is_admin_consent, return_to).await?;
    let seconds = CONSENT_LIFETIME.num_seconds();
    let cookie = cookie(&begun.browser_secret, own_base, seconds);
    let body = Json(AuthorizationUrl {
        auth_url: begun.auth_url,
        state: begun.state.expose().to_owned(),
    });
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}
