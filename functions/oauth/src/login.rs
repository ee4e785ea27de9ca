//! `GET /api/v1/calendar/oauth/{provider}/login`

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shared::calendar::accounts::{CONSENT_LIFETIME, begin_link, configured};
use shared::http::AuditLog;
use shared::http::limits::OAuthLimit;
use shared::http::{ApiResult, Caller, Json, Problems, Query};
use utoipa::{IntoParams, ToSchema};

use crate::Context;
use crate::browser::{cookie, return_to};

/// The parameters of an authorization.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct LoginQuery {
    /// Page that the browser is redirected to at the end, with `session`, `adminConsent` or `error`. Its origin must be
    /// allowed by CORS, or be that of this API. Defaults to the root page of the first allowed origin.
    #[serde(default)]
    return_to: Option<String>,
    /// Whether an administrator consents for all users of an organisation. This links no account (Microsoft only).
    #[serde(default)]
    admin_consent: bool,
}

/// An authorization that was begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationUrl {
    /// URL of the provider's consent page, to which the frontend redirects the browser.
    auth_url: String,
    /// The OAuth `state`. It is valid once, for 15 minutes, in this browser.
    state: String,
}

/// Begins to link an account.
///
/// The response sets a cookie that binds the authorization to this browser. A page of another origin must call with
/// `credentials: "include"`; without the cookie, the callback fails with `invalid_state`.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/{provider}/login", operation_id = "beginLink", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "Provider: `google` or `microsoft`"), LoginQuery),
    responses((status = 200, body = AuthorizationUrl), Problems))]
pub async fn login(
    State(context): State<Context>,
    caller: Caller,
    _: OAuthLimit,
    audit: AuditLog,
    Path(provider): Path<String>,
    Query(query): Query<LoginQuery>,
) -> ApiResult<Response> {
    let (kind, provider) = configured(&context.providers, &provider)?;
    let own_base = provider.public_url();
    let return_to = return_to(&context, own_base, query.return_to.as_deref())?;
    let (user, is_admin_consent) = (caller.user(), query.admin_consent);
    let begun = begin_link(&context, user, kind, is_admin_consent, return_to).await?;
    let action = if is_admin_consent {
        "ADMIN_CONSENT_START"
    } else {
        "CONNECTION_LINK_START"
    };
    audit
        .success(user, action, Some(kind.path().to_owned()))
        .await;
    let seconds = CONSENT_LIFETIME.num_seconds();
    let cookie = cookie(&begun.browser_secret, own_base, seconds);
    let body = Json(AuthorizationUrl {
        auth_url: begun.auth_url,
        state: begun.state.expose().to_owned(),
    });
    Ok(([(header::SET_COOKIE, cookie)], body).into_response())
}
