//! Google's sign-in (OAuth 2.0, OpenID Connect): the consent page, codes, tokens, keys, revocation.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::TimeDelta;
use serde_json::json;

use super::state::{Access, Code, Grant};
use crate::parts::{base64, bearer, escaped, random_id};

type Parameters = HashMap<String, String>;

/// `GET /o/oauth2/v2/auth`: the page on which the user selects an account and the scopes.
pub(super) async fn authorize(
    State(google): State<super::Shared>,
    Query(query): Query<Parameters>,
) -> Response {
    if let Some(wrong) = wrong_request(&query) {
        return (
            StatusCode::BAD_REQUEST,
            Html(format!("<h1>Error 400</h1><p>{}</p>", escaped(&wrong))),
        )
            .into_response();
    }
    let state = google.state();
    let hint = query.get("login_hint").map_or("", String::as_str);
    let people: String = state
        .people
        .values()
        .map(|person| {
            let checked = if person.email == hint {
                " selected"
            } else {
                ""
            };
            format!(
                "<option value=\"{0}\"{checked}>{0}</option>",
                escaped(&person.email)
            )
        })
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
        "<!doctype html><title>Google (sandbox)</title><h1>Google (sandbox)</h1>\
         <form method=\"post\" action=\"/o/oauth2/v2/consent\">{hidden}<p>Account <select name=\"email\">{people}</select></p>\
         <p>{scopes}</p><button name=\"answer\" value=\"allow\">Allow</button> <button name=\"answer\" value=\"deny\">Deny</button></form>"
    );
    Html(page).into_response()
}

/// Returns the message of the error page, for requests whose redirect URI must not be used.
fn wrong_request(query: &Parameters) -> Option<String> {
    for name in ["client_id", "redirect_uri", "response_type", "scope"] {
        if query.get(name).is_none_or(String::is_empty) {
            return Some(format!("Required parameter is missing: {name}"));
        }
    }
    if query["response_type"] != "code" {
        return Some("Invalid response_type".to_owned());
    }
    let redirect = reqwest::Url::parse(&query["redirect_uri"]).ok()?;
    let local = matches!(redirect.host_str(), Some("localhost" | "127.0.0.1"));
    (redirect.scheme() != "https" && !local || redirect.fragment().is_some())
        .then(|| "Error 400: redirect_uri_mismatch".to_owned())
}

/// `POST /o/oauth2/v2/consent`: handles the consent form. Scopes that were unticked are not
/// granted.
#[expect(
    clippy::too_many_lines,
    reason = "the consent page, with each refusal of the real one"
)]
pub(super) async fn consent(
    State(google): State<super::Shared>,
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
    let mut state = google.state();
    let person = form
        .get("email")
        .and_then(|email| state.person_by_email(email))
        .map(|person| person.sub.clone());
    let mut back: Vec<(&str, String)> = form
        .get("state")
        .map(|value| ("state", value.clone()))
        .into_iter()
        .collect();
    match person.filter(|_| form.get("answer").is_some_and(|answer| answer == "allow")) {
        None => back.push(("error", "access_denied".to_owned())),
        Some(sub) => {
            let text = |name: &str| form.get(name).cloned().filter(|text| !text.is_empty());
            let client = text("client_id").unwrap_or_default();
            let person = state.people.get_mut(&sub);
            let first = person.is_some_and(|person| {
                person
                    .consented
                    .insert(client.clone(), granted.join(" "))
                    .is_none()
            });
            let asked_again = text("prompt")
                .is_some_and(|prompt| prompt.split(' ').any(|word| word == "consent"));
            let offline =
                text("access_type").is_some_and(|kind| kind == "offline") && (first || asked_again);
            let code = format!("4/{}", random_id(40));
            let grant = Grant {
                sub,
                client,
                scopes: granted.join(" "),
            };
            let (challenge, nonce) = (text("code_challenge"), text("nonce"));
            let expires = state.now() + TimeDelta::minutes(10);
            let redirect_uri = text("redirect_uri").unwrap_or_default();
            state.codes.insert(
                code.clone(),
                Code {
                    grant,
                    redirect_uri,
                    challenge,
                    nonce,
                    offline,
                    expires,
                },
            );
            back.extend([
                ("code", code),
                ("scope", granted.join(" ")),
                ("iss", google.url.clone()),
            ]);
        }
    }
    redirect.query_pairs_mut().extend_pairs(back);
    Redirect::to(redirect.as_str()).into_response()
}

/// `POST /token`
#[expect(
    clippy::too_many_lines,
    reason = "the token endpoint: one arm for each grant type"
)]
pub(super) async fn token(
    State(google): State<super::Shared>,
    Form(form): Form<Parameters>,
) -> Response {
    let field = |name: &str| form.get(name).map_or("", String::as_str);
    let mut state = google.state();
    *state.calls.entry("token".to_owned()).or_default() += 1;
    if let Some(fault) = state.fault("token") {
        let status =
            StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, axum::Json(json!({ "error": fault.reason }))).into_response();
    }
    if matches!(field("client_secret"), "" | "wrong") {
        return refused(
            "invalid_client",
            "The provided client secret is invalid.",
            StatusCode::UNAUTHORIZED,
        );
    }
    let (grant, refresh_token, nonce) = match field("grant_type") {
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
                    "Malformed auth code.",
                    StatusCode::BAD_REQUEST,
                );
            };
            let shown = base64(digest(&SHA256, field("code_verifier").as_bytes()).as_ref());
            if code.challenge.is_some_and(|challenge| challenge != shown) {
                return refused(
                    "invalid_grant",
                    "Invalid code verifier.",
                    StatusCode::BAD_REQUEST,
                );
            }
            let refresh = code.offline.then(|| format!("1//{}", random_id(60)));
            if let Some(refresh) = &refresh {
                state.grants.insert(refresh.clone(), code.grant.clone());
            }
            (code.grant, refresh, code.nonce)
        }
        "refresh_token" => match state
            .grants
            .get(field("refresh_token"))
            .filter(|grant| grant.client == field("client_id"))
        {
            // Google does not rotate refresh tokens.
            Some(grant) => (grant.clone(), None, None),
            None => {
                return refused(
                    "invalid_grant",
                    "Token has been expired or revoked.",
                    StatusCode::BAD_REQUEST,
                );
            }
        },
        _ => {
            return refused(
                "unsupported_grant_type",
                "Invalid grant_type.",
                StatusCode::BAD_REQUEST,
            );
        }
    };
    let access = state.open_access(grant.clone());
    let mut answer = json!({ "access_token": access, "expires_in": 3599, "token_type": "Bearer", "scope": grant.scopes });
    if let Some(refresh) = refresh_token {
        answer["refresh_token"] = refresh.into();
    }
    if grant.scopes.split(' ').any(|scope| scope == "openid")
        && let Some(person) = state.people.get(&grant.sub)
    {
        let now = state.now().timestamp();
        let mut claims = json!({
            "iss": google.url, "aud": grant.client, "azp": grant.client, "sub": person.sub, "email": person.email,
            "email_verified": true, "name": person.name, "iat": now, "exp": now + 3600
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = nonce.into();
        }
        match google.key.sign(&claims) {
            Ok(token) => answer["id_token"] = token.into(),
            Err(Unspecified) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
    axum::Json(answer).into_response()
}

fn refused(error: &str, description: &str, status: StatusCode) -> Response {
    (
        status,
        axum::Json(json!({ "error": error, "error_description": description })),
    )
        .into_response()
}

/// `POST /revoke`. An access or refresh token revokes all grants of its user to the client.
pub(super) async fn revoke(
    State(google): State<super::Shared>,
    Form(form): Form<Parameters>,
) -> Response {
    let token = form.get("token").map_or("", String::as_str);
    let mut state = google.state();
    let grant = state
        .grants
        .get(token)
        .or_else(|| state.access.get(token).map(|access| &access.grant))
        .cloned();
    match grant {
        Some(grant) => {
            state.withdraw(&grant.sub, Some(&grant.client));
            axum::Json(json!({})).into_response()
        }
        None => refused(
            "invalid_token",
            "Token expired or revoked",
            StatusCode::BAD_REQUEST,
        ),
    }
}

/// `GET /oauth2/v3/certs`
pub(super) async fn certs(State(google): State<super::Shared>) -> Response {
    (
        [("cache-control", "public, max-age=3600")],
        axum::Json(json!({ "keys": [google.key.jwk()] })),
    )
        .into_response()
}

/// `GET /v1/userinfo`
pub(super) async fn userinfo(State(google): State<super::Shared>, headers: HeaderMap) -> Response {
    let state = google.state();
    match bearer(&headers).and_then(|token| state.holder(token)) {
        Some((_, person)) => {
            axum::Json(json!({ "sub": person.sub, "email": person.email, "email_verified": true, "name": person.name })).into_response()
        }
        None => refused("invalid_request", "Invalid Credentials", StatusCode::UNAUTHORIZED),
    }
}

impl super::state::State {
    /// Issues an access token for a grant.
    pub fn open_access(&mut self, grant: Grant) -> String {
        let token = format!("ya29.{}", random_id(80));
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
    pub fn holder(&self, token: &str) -> Option<(&Access, &super::state::Person)> {
        let access = self
            .access
            .get(token)
            .filter(|access| access.expires > self.now())?;
        Some((access, self.people.get(&access.grant.sub)?))
    }

    /// Revokes the grants of a user to one client, or to all.
    pub fn withdraw(&mut self, sub: &str, client: Option<&str>) {
        let kept =
            |grant: &Grant| grant.sub != sub || client.is_some_and(|client| client != grant.client);
        self.grants.retain(|_, grant| kept(grant));
        self.access.retain(|_, access| kept(&access.grant));
        if let Some(person) = self.people.get_mut(sub) {
            person
                .consented
                .retain(|granted, _| client.is_some_and(|client| client != granted));
        }
    }
}
