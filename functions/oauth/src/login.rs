//! `GET /api/v1/calendar/oauth/google/login`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use shared::app::App;
use shared::clock::random_bytes;
use shared::domain::calendar::ProviderKind;
use shared::domain::ids::{ConnectionId, UserId};
use shared::http::limits::OAuthLimit;
use shared::http::{Answer, Caller, Json, Problem, ProblemType, Problems, Query};
use shared::providers::google::Google;
use shared::store::authorizations::Authorization;
use shared::vault::{Place, secret_digest};
use utoipa::{IntoParams, ToSchema};

use crate::browser::{cookie, return_to};

/// How long somebody may take on the provider's pages.
const PATIENCE: TimeDelta = TimeDelta::minutes(15);

/// Where to come back to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct LoginQuery {
    /// The page that the browser is sent to in the end, with `session` or `error`; of an origin that may call this API.
    /// Without, the first such origin.
    #[serde(default)]
    return_to: Option<String>,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// Google's consent page.
    auth_url: String,
    /// What comes back with the browser; good once, for a quarter of an hour, in this browser.
    state: String,
}

/// Begins to link a Google account. The answer sets a cookie, so a page of another origin calls with
/// `credentials: "include"`; without the cookie the way back is refused.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/google/login", tag = "oauth", security(("bearer" = [])), params(LoginQuery),
    responses((status = 200, body = Login), Problems))]
pub async fn login(State(app): State<App>, caller: Caller, _: OAuthLimit, Query(query): Query<LoginQuery>) -> Answer<Response> {
    let google = configured(&app)?;
    let own_base = google.client().own_base();
    let return_to = return_to(&app, own_base, query.return_to.as_deref())?;
    let authorize = google.authorize().map_err(|error| {
        tracing::error!("the configured addresses of Google cannot be used: {error}");
        Problem::new(ProblemType::Internal)
    })?;
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let authorization = Authorization {
        user_id: caller.user(),
        provider: ProviderKind::Google,
        browser: secret_digest(&secret),
        verifier: app.vault.seal(verifier_place(caller.user()), &authorize.verifier).await?,
        nonce: authorize.nonce,
        return_to,
        until: app.clock.now() + PATIENCE,
    };
    app.store.begin_authorization(&secret_digest(authorize.state.expose()), &authorization).await?;
    let body = Json(Login { auth_url: authorize.url, state: authorize.state.expose().to_owned() });
    Ok(([(header::SET_COOKIE, cookie(&secret, own_base, PATIENCE.num_seconds()))], body).into_response())
}

/// Google, if this deployment is known there.
pub fn configured(app: &App) -> Answer<&Google> {
    let missing = "this deployment has no Google client; see docs/google.md";
    app.google.as_ref().ok_or_else(|| Problem::because(ProblemType::Unavailable, missing))
}

/// Where the code verifier of a sign-in is sealed for: it belongs to no link yet.
pub fn verifier_place(user: UserId) -> Place {
    Place { user, connection: ConnectionId::from_bytes([0; 16]), field: "verifier" }
}
