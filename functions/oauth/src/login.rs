//! `GET /api/v1/calendar/oauth/{provider}/login`

use axum::extract::{Path, State};
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
use shared::domain::secret::secret_digest;
use shared::http::limits::OAuthLimit;
use shared::http::{Answer, Caller, Json, Problem, ProblemType, Problems, Query};
use shared::providers::Accounts;
use shared::store::authorizations::Authorization;
use shared::vault::Place;
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
    /// Whether an administrator consents for everybody of an organisation, without linking an account (Microsoft).
    #[serde(default)]
    admin_consent: bool,
}

/// Where to send the browser.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Login {
    /// The provider's consent page.
    auth_url: String,
    /// What comes back with the browser; good once, for a quarter of an hour, in this browser.
    state: String,
}

/// Begins to link an account. The answer sets a cookie, so a page of another origin calls with `credentials: "include"`;
/// without the cookie the way back is refused.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/{provider}/login", tag = "oauth", security(("bearer" = [])),
    params(("provider" = String, Path, description = "`google` or `microsoft`"), LoginQuery),
    responses((status = 200, body = Login), Problems))]
pub async fn login(
    State(app): State<App>,
    caller: Caller,
    _: OAuthLimit,
    Path(provider): Path<String>,
    Query(query): Query<LoginQuery>,
) -> Answer<Response> {
    let (kind, accounts) = configured(&app, &provider)?;
    let own_base = accounts.client().own_base();
    let return_to = return_to(&app, own_base, query.return_to.as_deref())?;
    let authorize = if query.admin_consent {
        accounts.authorize_all()
    } else {
        accounts.authorize().map(Some)
    };
    let authorize = authorize.map_err(|error| {
        tracing::error!("the configured addresses of {provider} cannot be used: {error}");
        Problem::new(ProblemType::Internal)
    })?;
    let authorize = authorize
        .ok_or_else(|| Problem::field("adminConsent", "is nothing that this provider knows"))?;
    let secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let authorization = Authorization {
        user_id: caller.user(),
        provider: kind,
        browser: secret_digest(&secret),
        verifier: app
            .vault
            .seal(verifier_place(caller.user()), &authorize.verifier)
            .await?,
        nonce: authorize.nonce,
        return_to,
        until: app.clock.now() + PATIENCE,
    };
    app.store
        .begin_authorization(&secret_digest(authorize.state.expose()), &authorization)
        .await?;
    let body = Json(Login {
        auth_url: authorize.url,
        state: authorize.state.expose().to_owned(),
    });
    Ok((
        [(
            header::SET_COOKIE,
            cookie(&secret, own_base, PATIENCE.num_seconds()),
        )],
        body,
    )
        .into_response())
}

/// The provider that a path names, if this deployment is known there.
pub fn configured<'a>(app: &'a App, provider: &str) -> Answer<(ProviderKind, &'a dyn Accounts)> {
    let kind = ProviderKind::of_path(provider).ok_or_else(Problem::not_found)?;
    let missing = |_| {
        let name = kind.label();
        Problem::because(
            ProblemType::Unavailable,
            format!(
                "this deployment has no {name} client; see docs/{}.md",
                kind.path()
            ),
        )
    };
    Ok((kind, app.providers.of(kind).map_err(missing)?))
}

/// Where the code verifier of a sign-in is sealed for: it belongs to no link yet.
pub fn verifier_place(user: UserId) -> Place {
    Place {
        user,
        connection: ConnectionId::from_bytes([0; 16]),
        field: "verifier",
    }
}
