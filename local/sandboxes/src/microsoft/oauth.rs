//! The Microsoft identity platform: the consent page, codes, rotating refresh tokens, keys, admin
//! consent.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::TimeDelta;
use serde_json::json;

use super::Shared;
use super::state::{Access, Code, Grant, Held, Person};
use crate::parts::{base64, escaped, random_id};

type Parameters = HashMap<String, String>;

/// `GET /{tenant}/oauth2/v2.0/authorize`: the page on which the user selects an account and the
/// scopes.
pub(super) async fn authorize(
    State(microsoft): State<Shared>,
    Query(query): Query<Parameters>,
) -> Response {
    for name in [
        "client_id",
        "redirect_uri",
        "response_type",
        "scope",
        "code_challenge",
        "nonce",
    ] {
        if query.get(name).is_none_or(String::is_empty) {
            let wrong = format!(
                "AADSTS900144: The request must contain the following parameter: '{name}'."
            );
            return (StatusCode::BAD_REQUEST, Html(escaped(&wrong))).into_response();
        }
    }
    let state = microsoft.state();
    let people: String = state
        .people
        .keys()
        .map(|email| format!("<option value=\"{0}\">{0}</option>", escaped(email)))
        .collect();
    let scopes: String = query["scope"]
        .split_whitespace()
        .map(|scope| format!("<label><input type=\"checkbox\" name=\"granted\" value=\"{0}\" checked> {0}</label><br>", escaped(scope)))
        .collect();
    let hidden: String = query
        .iter()
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                escaped(name),
                escaped(value)
            )
        })
        .collect();
    let page = format!(
        "<!doctype html><title>Microsoft (sandbox)</title><h1>Microsoft (sandbox)</h1>\
         <form method=\"post\" action=\"/sandbox/microsoft/consent\">{hidden}<p>Account <select name=\"email\">{people}</select></p>\
         <p>{scopes}</p><button name=\"answer\" value=\"allow\">Accept</button> <button name=\"answer\" value=\"deny\">Cancel</button></form>"
    );
    Html(page).into_response()
}

/// `POST /sandbox/microsoft/consent`: handles the consent form. Scopes that were unticked are not
/// granted.
pub(super) async fn consent(
    State(microsoft): State<Shared>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let granted: Vec<String> = form
        .iter()
        .filter(|(name, _)| name == "granted")
        .map(|(_, scope)| scope.clone())
        .collect();
    let form: Parameters = form.into_iter().collect();
    let Some(mut redirect) = form
        .get("redirect_uri")
        .and_then(|uri| reqwest::Url::parse(uri).ok())
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut state = microsoft.state();
    let person = form
        .get("email")
        .and_then(|email| state.people.get(email))
        .cloned();
    let mut back: Vec<(&str, String)> = form
        .get("state")
        .map(|value| ("state", value.clone()))
        .into_iter()
        .collect();
    match person.filter(|_| form.get("answer").is_some_and(|answer| answer == "allow")) {
        None => back.push(("error", "access_denied".to_owned())),
        Some(person) if person.needs_admin && !state.consented.contains(&person.tenant) => back
            .extend([
                ("error", "consent_required".to_owned()),
                (
                    "error_description",
                    "AADSTS90094: The grant requires admin permission.".to_owned(),
                ),
            ]),
        Some(person) => {
            let text = |name: &str| form.get(name).cloned().filter(|text| !text.is_empty());
            let grant = Grant {
                email: person.email,
                client: text("client_id").unwrap_or_default(),
                scopes: granted.join(" "),
            };
            let expires = state.now() + TimeDelta::minutes(10);
            let code = format!("M.{}", random_id(60));
            let redirect_uri = text("redirect_uri").unwrap_or_default();
            let (challenge, nonce) = (text("code_challenge"), text("nonce"));
            state.codes.insert(
                code.clone(),
                Code {
                    grant,
                    redirect_uri,
                    challenge,
                    nonce,
                    expires,
                },
            );
            back.extend([("code", code), ("session_state", random_id(20))]);
        }
    }
    redirect.query_pairs_mut().extend_pairs(back);
    Redirect::to(redirect.as_str()).into_response()
}

/// `GET /{tenant}/v2.0/adminconsent`: consents at once for the tenant of the first user who needs
/// an administrator's consent, or else for the tenant of the path.
pub(super) async fn admin(
    State(microsoft): State<Shared>,
    Path(asked): Path<String>,
    Query(query): Query<Parameters>,
) -> Response {
    let mut state = microsoft.state();
    let Some(mut redirect) = query
        .get("redirect_uri")
        .and_then(|uri| reqwest::Url::parse(uri).ok())
    else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let tenant = state
        .people
        .values()
        .find(|person| person.needs_admin)
        .map_or(asked, |person| person.tenant.clone());
    state.consented.insert(tenant.clone());
    let given = query.get("state").map_or("", String::as_str);
    redirect.query_pairs_mut().extend_pairs([
        ("admin_consent", "True"),
        ("tenant", &tenant),
        ("state", given),
    ]);
    Redirect::to(redirect.as_str()).into_response()
}

/// `POST /{tenant}/oauth2/v2.0/token`
#[expect(
    clippy::too_many_lines,
    reason = "the token endpoint: one arm for each grant type"
)]
pub(super) async fn token(
    State(microsoft): State<Shared>,
    Form(form): Form<Parameters>,
) -> Response {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let mut state = microsoft.state();
    *state.calls.entry("token".to_owned()).or_default() += 1;
    if let Some(fault) = state.fault("token") {
        let status =
            StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, axum::Json(json!({ "error": fault.reason }))).into_response();
    }
    if matches!(field("client_secret"), "" | "wrong") || state.is_secret_expired {
        return refused(
            "invalid_client",
            7_000_222,
            "The provided client secret keys for app 'calweave' are expired.",
        );
    }
    let (held, nonce) = match field("grant_type") {
        "authorization_code" => {
            // A code can be redeemed once, even if the attempt fails.
            let code = state
                .codes
                .remove(field("code"))
                .filter(|code| code.expires > state.now());
            let Some(code) = code.filter(|code| {
                code.redirect_uri == field("redirect_uri")
                    && code.grant.client == field("client_id")
            }) else {
                return refused(
                    "invalid_grant",
                    54_005,
                    "OAuth2 Authorization code was already redeemed.",
                );
            };
            if code.challenge
                != Some(base64(
                    digest(&SHA256, field("code_verifier").as_bytes()).as_ref(),
                ))
            {
                return refused(
                    "invalid_grant",
                    501_481,
                    "The Code_Verifier does not match the code_challenge.",
                );
            }
            (
                Held {
                    grant: code.grant,
                    family: random_id(20),
                    generation: 0,
                },
                code.nonce,
            )
        }
        "refresh_token" => match state
            .grants
            .get(field("refresh_token"))
            .filter(|held| held.grant.client == field("client_id"))
        {
            Some(held) => (
                Held {
                    generation: held.generation + 1,
                    ..held.clone()
                },
                None,
            ),
            None => {
                return refused(
                    "invalid_grant",
                    50_173,
                    "The provided grant has expired due to it being revoked.",
                );
            }
        },
        _ => {
            return refused(
                "unsupported_grant_type",
                70_003,
                "The app requested an unsupported grant type.",
            );
        }
    };
    // The refresh token that was just used remains valid; older generations are revoked.
    let (family, generation) = (held.family.clone(), held.generation);
    state
        .grants
        .retain(|_, old| old.family != family || old.generation + 1 >= generation);
    let grant = held.grant.clone();
    let scopes: Vec<&str> = grant
        .scopes
        .split(' ')
        .filter(|scope| *scope != "offline_access")
        .collect();
    let mut answer = json!({
        "token_type": "Bearer", "scope": scopes.join(" "), "expires_in": 3_600 + 60 * (state.version % 30), "ext_expires_in": 5_000,
        "access_token": state.open_access(grant.clone())
    });
    if grant
        .scopes
        .split(' ')
        .any(|scope| scope == "offline_access")
    {
        let refresh = format!("M.C5_{}", random_id(80));
        state.grants.insert(refresh.clone(), held);
        answer["refresh_token"] = refresh.into();
    }
    if let Some(person) = state.people.get(&grant.email) {
        let now = state.now().timestamp();
        let mut claims = json!({
            "iss": format!("{}/{}/v2.0", microsoft.url, person.tenant), "aud": grant.client, "tid": person.tenant, "oid": person.object,
            "sub": format!("pairwise-{}", person.object), "preferred_username": person.email, "name": person.name, "ver": "2.0",
            "iat": now, "nbf": now, "exp": now + 3600
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        match microsoft.key.sign(&claims) {
            Ok(token) => answer["id_token"] = token.into(),
            Err(Unspecified) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
    axum::Json(answer).into_response()
}

fn refused(error: &str, code: u64, description: &str) -> Response {
    let status = if error == "invalid_client" {
        StatusCode::UNAUTHORIZED
    } else {
        StatusCode::BAD_REQUEST
    };
    let body = json!({
        "error": error, "error_description": format!("AADSTS{code}: {description}\r\nTrace ID: sandbox"), "error_codes": [code],
        "timestamp": "2026-11-21 00:00:00Z", "trace_id": "sandbox", "correlation_id": "sandbox"
    });
    (status, axum::Json(body)).into_response()
}

/// `GET /{tenant}/discovery/v2.0/keys`: one key set for all tenants, with an issuer template in
/// each key.
pub(super) async fn keys(State(microsoft): State<Shared>) -> Response {
    let mut key = microsoft.key.jwk();
    key["issuer"] = format!("{}/{{tenantid}}/v2.0", microsoft.url).into();
    axum::Json(json!({ "keys": [key] })).into_response()
}

impl super::state::State {
    /// Issues an access token for a grant. It is opaque, as those of personal accounts are.
    pub fn open_access(&mut self, grant: Grant) -> String {
        let token = format!("EwB.{}", random_id(80));
        self.access.insert(
            token.clone(),
            Access {
                grant,
                expires: self.now() + TimeDelta::hours(1),
            },
        );
        token
    }

    /// Returns the access token's record and its user; `None` when it is unknown or expired.
    pub fn holder(&self, token: &str) -> Option<(&Access, &Person)> {
        let access = self
            .access
            .get(token)
            .filter(|access| access.expires > self.now())?;
        Some((access, self.people.get(&access.grant.email)?))
    }

    /// Revokes all grants of a user, and removes their subscriptions.
    pub fn withdraw(&mut self, email: &str) {
        self.grants.retain(|_, held| held.grant.email != email);
        self.access.retain(|_, access| access.grant.email != email);
        self.subscriptions
            .retain(|_, subscription| subscription.email != email);
    }
}
