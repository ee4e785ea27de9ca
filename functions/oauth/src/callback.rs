//! `GET /api/v1/calendar/oauth/{provider}/callback`

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::Deserialize;
use shared::app::App;
use shared::clock::random_bytes;
use shared::domain::calendar::ProviderKind;
use shared::domain::connection::{Connection, ConnectionStatus};
use shared::domain::ids::{ConnectionId, UserId};
use shared::domain::secret::secret_digest;
use shared::http::trail::Trail;
use shared::http::{Answer, Problem, Problems, Query};
use shared::providers::oauth::{Came, MISSING_SCOPES, SignedIn};
use shared::providers::{Accounts, ProviderError};
use shared::store::Outcome;
use shared::store::authorizations::{Authorization, Selection};
use shared::store::connections::AccountOwner;
use shared::sync::access::renew_at;
use shared::sync::request_sync;
use utoipa::IntoParams;

use crate::browser::{cookie, return_to, shown, with};
use crate::login::{configured, verifier_place};

/// How long somebody may take to choose.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);

/// What a browser comes back with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    /// To be exchanged for tokens.
    #[serde(default)]
    code: Option<String>,
    /// As it was sent along.
    #[serde(default)]
    state: Option<String>,
    /// Why there is no code.
    #[serde(default)]
    error: Option<String>,
    /// `True` where an administrator has consented for everybody (Microsoft).
    #[serde(default)]
    admin_consent: Option<String>,
}

/// Why there is no session, as pages know it.
fn word(error: &str) -> &'static str {
    match error {
        "access_denied" => "access_denied",
        "consent_required" => "consent_required",
        _ => "auth_failed",
    }
}

/// Why a browser is sent back without a session, as its page is told.
enum Failed {
    /// Known to the page by this word.
    Because(&'static str),
    /// Ours.
    Problem(Problem),
}

impl<E: Into<Problem>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Problem(error.into())
    }
}

/// Where the provider sends the browser back to. Sends it on to the page that the sign-in was begun for, with `session` (see
/// `GET /oauth/session/{id}`), with `adminConsent=granted`, or with `error`: `access_denied`, `consent_required` (an
/// administrator has to), `invalid_state`, `missing_scopes`, `account_taken`, `auth_failed`.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/{provider}/callback", tag = "oauth",
    params(("provider" = String, Path, description = "`google` or `microsoft`"), CallbackQuery),
    responses((status = 303, description = "to the page that began it"), Problems))]
pub async fn callback(
    State(app): State<App>,
    headers: HeaderMap,
    trail: Trail,
    Path(provider): Path<String>,
    Query(query): Query<CallbackQuery>,
) -> Answer<Response> {
    let (kind, accounts) = configured(&app, &provider)?;
    let own_base = accounts.client().own_base().to_owned();
    let state = secret_digest(query.state.as_deref().unwrap_or_default());
    let begun = app.store.take_authorization(&state).await?;
    let begun =
        begun.filter(|begun| begun.provider == kind && shown(&headers).contains(&begun.browser));
    let Some(begun) = begun else {
        // Not this browser's, used before, or too old.
        return Ok(redirect(
            &with(&return_to(&app, &own_base, None)?, "error", "invalid_state"),
            &own_base,
        ));
    };
    if query.error.is_none()
        && query.code.is_none()
        && query
            .admin_consent
            .as_deref()
            .is_some_and(|given| given.eq_ignore_ascii_case("true"))
    {
        trail.success(begun.user_id, "ADMIN_CONSENT", None).await;
        return Ok(redirect(
            &with(&begun.return_to, "adminConsent", "granted"),
            &own_base,
        ));
    }
    let page = match link(&app, accounts, &begun, &query).await {
        Ok((session, connection)) => {
            trail
                .success(
                    begun.user_id,
                    "CONNECTION_LINK",
                    Some(connection.to_string()),
                )
                .await;
            with(&begun.return_to, "session", &session)
        }
        Err(Failed::Because(word)) => {
            trail.failure(begun.user_id, "CONNECTION_LINK", word).await;
            with(&begun.return_to, "error", word)
        }
        Err(Failed::Problem(problem)) => return Err(problem),
    };
    Ok(redirect(&page, &own_base))
}

fn redirect(page: &str, own_base: &str) -> Response {
    (
        StatusCode::SEE_OTHER,
        [
            (header::LOCATION, page.to_owned()),
            (header::SET_COOKIE, cookie("", own_base, 0)),
        ],
    )
        .into_response()
}

/// Exchanges the code, stores link and grant, and offers the account's calendars.
async fn link(
    app: &App,
    accounts: &dyn Accounts,
    begun: &Authorization,
    query: &CallbackQuery,
) -> Result<(String, ConnectionId), Failed> {
    if let Some(error) = &query.error {
        return Err(Failed::Because(word(error)));
    }
    let code = query
        .code
        .as_deref()
        .filter(|code| code.len() <= 4096)
        .ok_or(Failed::Because("auth_failed"))?;
    let verifier = app
        .vault
        .open(verifier_place(begun.user_id), &begun.verifier)
        .await?;
    let came = Came {
        code,
        verifier: &verifier,
        nonce: &begun.nonce,
    };
    let signed_in = accounts
        .exchange(came, app.clock.now())
        .await
        .map_err(|error| refused(&error))?;
    let session = accounts.session(signed_in.grant.access_token.clone(), &signed_in.email);
    let calendars = session.calendars().await.map_err(|error| refused(&error))?;
    let connection = store(app, begun.user_id, begun.provider, &signed_in).await?;
    let id = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<24>());
    let until = app.clock.now() + PATIENCE;
    let selection = Selection {
        connection_id: connection,
        provider: begun.provider,
        email: signed_in.email,
        calendars,
        until,
    };
    app.store
        .put_selection(begun.user_id, &id, &selection)
        .await?;
    Ok((id, connection))
}

fn refused(error: &ProviderError) -> Failed {
    match error {
        ProviderError::Refused { reason, .. } if reason == MISSING_SCOPES => {
            Failed::Because("missing_scopes")
        }
        ProviderError::Refused { reason, .. } if reason.contains("client") => {
            // Such as a secret that has expired: a matter for the operator.
            tracing::error!(
                alarm = "provider-client",
                "the provider refuses this deployment: {error}"
            );
            Failed::Because("auth_failed")
        }
        _ => {
            tracing::warn!("a sign-in failed: {error}");
            Failed::Because("auth_failed")
        }
    }
}

/// Lets an account go that somebody else has linked but never chosen a calendar of, once the time for that is over.
async fn release_unused(app: &App, owner: Option<AccountOwner>) -> Result<bool, Failed> {
    let Some(owner) = owner else { return Ok(true) };
    let Some(connection) = app
        .store
        .connection(owner.user_id, owner.connection_id)
        .await?
    else {
        return Ok(false);
    };
    let calendars = app.store.calendars(owner.user_id).await?;
    let is_used = calendars
        .iter()
        .any(|state| state.calendar.connection_id == connection.id && state.calendar.is_connected);
    if is_used || app.clock.now() - connection.granted_at < PATIENCE {
        return Ok(false);
    }
    if app.store.end_connection(&connection).await? == Outcome::Done {
        app.store.release_account(&connection).await?;
    }
    Ok(true)
}

/// Stores the link, a new one or the one that this account had before, and has its calendars synced again.
async fn store(
    app: &App,
    user: UserId,
    kind: ProviderKind,
    signed_in: &SignedIn,
) -> Result<ConnectionId, Failed> {
    let now = app.clock.now();
    let known = app.store.connections(user).await?;
    let known = known
        .into_iter()
        .find(|known| known.provider == kind && known.account_id == signed_in.account_id);
    // An earlier try may have been interrupted after it had claimed the account: then that claim is gone on with.
    let claimed = app
        .store
        .account_owner(kind, &signed_in.account_id)
        .await?
        .filter(|owner| owner.user_id == user);
    let claimed = claimed.map(|owner| owner.connection_id);
    let id = claimed
        .or(known.as_ref().map(|known| known.id))
        .unwrap_or_else(|| ConnectionId::new(&app.clock));
    let owner = AccountOwner {
        user_id: user,
        connection_id: id,
    };
    if app
        .store
        .claim_account(kind, &signed_in.account_id, owner)
        .await?
        == Outcome::Refused
    {
        let owner = app.store.account_owner(kind, &signed_in.account_id).await?;
        let is_ours = owner.is_some_and(|owner| owner.user_id == user && owner.connection_id == id);
        if !is_ours && !release_unused(app, owner).await? {
            return Err(Failed::Because("account_taken"));
        }
        if !is_ours
            && app
                .store
                .claim_account(
                    kind,
                    &signed_in.account_id,
                    AccountOwner {
                        user_id: user,
                        connection_id: id,
                    },
                )
                .await?
                == Outcome::Refused
        {
            return Err(Failed::Because("account_taken"));
        }
    }
    // The grant first: a link that says it works has to.
    let _: Outcome = app
        .vault
        .put_grant(user, id, &signed_in.grant, None)
        .await?;
    let connection = Connection {
        id,
        user_id: user,
        provider: kind,
        account_id: signed_in.account_id.clone(),
        email: signed_in.email.clone(),
        scopes: signed_in.scopes.clone(),
        status: ConnectionStatus::Active,
        status_reason: None,
        granted_at: now,
        created_at: known.as_ref().map_or(now, |known| known.created_at),
        channel: known.and_then(|known| known.channel),
        listed_at: Some(now),
    };
    app.store
        .put_connection(&connection, renew_at(&signed_in.grant))
        .await?;
    for state in app.store.calendars(user).await? {
        if state.calendar.connection_id == id && state.calendar.is_connected {
            request_sync(app, user, state.calendar.id, 0).await?;
        }
    }
    Ok(id)
}
