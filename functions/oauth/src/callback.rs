//! `GET /api/v1/calendar/oauth/{provider}/callback`

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use shared::calendar::accounts::{
    CallbackParameters, FinishedLink, Linked, configured, finish_link,
};
use shared::http::deadline::RequestDeadline;
use shared::http::{ApiResult, AuditLog, Problems, Query};
use utoipa::IntoParams;

use crate::Context;
use crate::browser::{cookie, return_to, shown, with};

/// The parameters of the callback (RFC 6749 4.1.2).
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    /// Authorization code, which is exchanged for tokens.
    #[serde(default)]
    code: Option<String>,
    /// `state` of the authorization request.
    #[serde(default)]
    state: Option<String>,
    /// Error code, if there is no authorization code.
    #[serde(default)]
    error: Option<String>,
    /// Issuer of the response (RFC 9207). The code of another issuer is not exchanged.
    #[serde(default)]
    iss: Option<String>,
    /// `True` if an administrator has consented for a whole organisation (Microsoft).
    #[serde(default)]
    admin_consent: Option<String>,
}

/// Completes the linking of an account. The provider redirects the browser to this endpoint.
///
/// Redirects the browser to the page that began it (`returnTo`) with one of these parameters: `session` (see
/// `GET /oauth/session/{id}`), `adminConsent=granted`, or `error`. Errors are `access_denied`, `consent_required` (an
/// administrator has to consent first), `invalid_state`, `missing_scopes`, `account_taken` and `auth_failed`.
#[utoipa::path(get, path = "/api/v1/calendar/oauth/{provider}/callback", operation_id = "finishLink", tag = "oauth",
    params(("provider" = String, Path, description = "Provider: `google` or `microsoft`"), CallbackQuery),
    responses((status = 303, description = "Redirect to the page that began it"), Problems))]
pub async fn callback(
    State(context): State<Context>,
    headers: HeaderMap,
    deadline: RequestDeadline,
    audit: AuditLog,
    Path(provider): Path<String>,
    Query(query): Query<CallbackQuery>,
) -> ApiResult<Response> {
    let (kind, provider) = configured(&context.providers, &provider)?;
    let own_base = provider.public_url().to_owned();
    let is_true = |given: &String| given.eq_ignore_ascii_case("true");
    let returned = CallbackParameters {
        code: query.code,
        state: query.state,
        error: query.error,
        issuer: query.iss,
        is_admin_consent: query.admin_consent.as_ref().is_some_and(is_true),
        browsers: shown(&headers, &own_base),
    };
    // The browser gets a page, not a problem, also where the provider takes too long.
    let deadline = deadline.earlier(Duration::from_secs(1));
    let linked = deadline
        .limit(Box::pin(finish_link(&context, kind, &returned)))
        .await;
    let page = match linked.transpose()? {
        None => {
            let page = return_to(&context, &own_base, None)?;
            with(&page, "error", "auth_failed")
        }
        Some(Some(finished)) => finished_page(&audit, &finished).await,
        // The `state` belongs to another browser, was used before, or has expired.
        Some(None) => {
            let page = return_to(&context, &own_base, None)?;
            with(&page, "error", "invalid_state")
        }
    };
    let cookie = cookie("", &own_base, 0);
    let headers = [(header::LOCATION, page), (header::SET_COOKIE, cookie)];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Returns the page that began the link, with the outcome as a query parameter.
async fn finished_page(audit: &AuditLog, finished: &FinishedLink) -> String {
    let (user, page) = (finished.user, &finished.return_to);
    match &finished.outcome {
        Ok(Linked::Organisation) => {
            audit.success(user, "ADMIN_CONSENT", None).await;
            with(page, "adminConsent", "granted")
        }
        Ok(Linked::Account {
            session,
            connection,
        }) => {
            let resource = Some(connection.to_string());
            audit.success(user, "CONNECTION_LINK", resource).await;
            with(page, "session", session)
        }
        Err(failure) => {
            audit.failure(user, "CONNECTION_LINK", failure.slug()).await;
            with(page, "error", failure.slug())
        }
    }
}
