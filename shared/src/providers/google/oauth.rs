//! Google's OAuth 2.0 and OpenID Connect (<https://developers.google.com/identity/protocols/oauth2/web-server>).

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth2::basic::{
    BasicErrorResponse, BasicErrorResponseType, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, HttpRequest, HttpResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::super::http::Call;
use super::{Google, NAME, ProviderError, Result, malformed};
use crate::vault::Secret;
use crate::vault::grant::Grant;

/// What is asked for. `calendar.events` reads and writes events, the list of calendars needs a scope of its own.
pub const SCOPES: [&str; 5] = ["openid", "email", "profile", EVENTS, CALENDAR_LIST];
/// Without this nothing can be synced.
pub const EVENTS: &str = "https://www.googleapis.com/auth/calendar.events";
/// Without this the account's calendars cannot be listed.
pub const CALENDAR_LIST: &str = "https://www.googleapis.com/auth/calendar.calendarlist.readonly";

#[derive(Debug, Serialize, Deserialize)]
struct IdToken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Tokens = StandardTokenResponse<IdToken, BasicTokenType>;
type OAuth = Client<
    BasicErrorResponse,
    Tokens,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Where to send somebody, and what to remember until they come back.
#[derive(Debug)]
pub struct Authorize {
    /// Google's consent page.
    pub url: String,
    /// What comes back with them.
    pub state: Secret,
    /// What the code is exchanged with (RFC 7636).
    pub verifier: Secret,
    /// What the id token has to repeat.
    pub nonce: String,
}

/// Who came back, and what they have granted.
#[derive(Debug)]
pub struct SignedIn {
    /// What Google calls the account, for ever.
    pub account_id: String,
    /// The account's address.
    pub email: String,
    /// What was granted.
    pub scopes: Vec<String>,
    /// The tokens.
    pub grant: Grant,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    azp: Option<String>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    n: String,
    e: String,
}

/// The `oauth2` crate's requests go out by our own client.
impl<'c> AsyncHttpClient<'c> for Google {
    type Error = ProviderError;
    type Future = BoxFuture<'c, Result<HttpResponse>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        self.form(request).boxed()
    }
}

impl Google {
    fn oauth(&self) -> Result<OAuth> {
        let url = |host: &str, path: &str| self.url(host, path).map(String::from);
        let wrong = |error: oauth2::url::ParseError| malformed(&error);
        let client = Client::new(ClientId::new(self.client.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.client.client_secret.to_string()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::new(url("accounts.google.com", "/o/oauth2/v2/auth")?).map_err(wrong)?)
            .set_token_uri(TokenUrl::new(url("oauth2.googleapis.com", "/token")?).map_err(wrong)?);
        Ok(client.set_redirect_uri(RedirectUrl::new(self.client.redirect_uri.clone()).map_err(wrong)?))
    }

    /// Begins a sign-in: with consent each time, as Google hands out a refresh token at the first consent only.
    ///
    /// # Errors
    /// When the configured addresses are none.
    pub fn authorize(&self) -> Result<Authorize> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random_len(16).secret().clone();
        let oauth = self.oauth()?;
        let request = oauth
            .authorize_url(|| CsrfToken::new_random_len(32))
            .add_scopes(SCOPES.map(|scope| Scope::new(scope.to_owned())))
            .set_pkce_challenge(challenge)
            .add_extra_param("access_type", "offline")
            .add_extra_param("prompt", "consent select_account")
            .add_extra_param("nonce", &nonce);
        let (url, state) = request.url();
        Ok(Authorize { url: url.into(), state: Secret::new(state.into_secret()), verifier: Secret::new(verifier.into_secret()), nonce })
    }

    /// Exchanges the code that somebody came back with.
    ///
    /// # Errors
    /// When Google refuses the code, leaves out what was asked for, or does not answer.
    pub async fn exchange(&self, code: String, verifier: &Secret, nonce: &str, now: DateTime<Utc>) -> Result<SignedIn> {
        let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
        let oauth = self.oauth()?;
        let tokens = oauth.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier).request_async(self).await;
        let tokens = tokens.map_err(failure)?;
        let id_token = tokens.extra_fields().id_token.as_deref().ok_or_else(|| malformed(&"no id token"))?;
        let claims = self.verify(id_token, nonce, now).await?;
        let refresh_token = tokens.refresh_token().ok_or_else(|| malformed(&"no refresh token"))?;
        let scopes = tokens.scopes().map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect());
        Ok(SignedIn {
            account_id: claims.sub,
            email: claims.email.unwrap_or_default(),
            scopes: scopes.unwrap_or_default(),
            grant: Grant {
                refresh_token: Secret::new(refresh_token.secret().clone()),
                access_token: Secret::new(tokens.access_token().secret().clone()),
                expires_at: expiry(&tokens, now),
            },
        })
    }

    /// A new access token. Google keeps the refresh token as it is; should it ever send another, that one counts.
    ///
    /// # Errors
    /// [`ProviderError::GrantGone`] when the person has to grant anew; anything else changes nothing.
    pub async fn renew(&self, grant: &Grant, now: DateTime<Utc>) -> Result<Grant> {
        let refresh_token = RefreshToken::new(grant.refresh_token.expose().to_owned());
        let tokens = self.oauth()?.exchange_refresh_token(&refresh_token).request_async(self).await.map_err(failure)?;
        let kept = || grant.refresh_token.clone();
        Ok(Grant {
            refresh_token: tokens.refresh_token().map_or_else(kept, |token| Secret::new(token.secret().clone())),
            access_token: Secret::new(tokens.access_token().secret().clone()),
            expires_at: expiry(&tokens, now),
        })
    }

    /// Takes back everything that the account's owner has granted to this deployment. That it is gone already is fine.
    ///
    /// # Errors
    /// When Google does not answer.
    pub async fn revoke(&self, refresh_token: &Secret) -> Result<()> {
        let body: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("token", refresh_token.expose()).finish();
        let url = self.url("oauth2.googleapis.com", "/revoke")?;
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self.send(Call { method: Method::POST, url, headers: &headers, body: Some(body.into_bytes()) }).await?;
        if answer.status >= 500 { Err(ProviderError::Failing { provider: NAME, status: answer.status }) } else { Ok(()) }
    }

    async fn form(&self, request: HttpRequest) -> Result<HttpResponse> {
        let (parts, body) = request.into_parts();
        let url = url::Url::parse(&parts.uri.to_string()).map_err(|error| malformed(&error))?;
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
        let answer = self.send(Call { method: parts.method, url, headers: &headers, body: Some(body) }).await?;
        if answer.status == 429 {
            let (reason, retry_after) = ("too many token requests".to_owned(), answer.retry_after);
            return Err(ProviderError::Throttled { provider: NAME, reason, retry_after });
        }
        if answer.status >= 500 {
            return Err(ProviderError::Failing { provider: NAME, status: answer.status });
        }
        let mut response = HttpResponse::new(answer.body);
        *response.status_mut() = http::StatusCode::from_u16(answer.status).map_err(|error| malformed(&error))?;
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        Ok(response)
    }

    /// Checks an id token: signed by Google, for us, in time, and for this very sign-in (OpenID Connect Core 3.1.3.7).
    async fn verify(&self, id_token: &str, nonce: &str, now: DateTime<Utc>) -> Result<Claims> {
        let url = self.url("www.googleapis.com", "/oauth2/v3/certs")?;
        let answer = self.send(Call { method: Method::GET, url, headers: &[], body: None }).await?;
        let keys: Keys = serde_json::from_slice(&answer.body).map_err(|error| malformed(&error))?;
        let header = decode_header(id_token).map_err(|error| malformed(&error))?;
        let key = keys.keys.iter().find(|key| Some(&key.kid) == header.kid.as_ref()).ok_or_else(|| malformed(&"an unknown signing key"))?;
        let key = DecodingKey::from_rsa_components(&key.n, &key.e).map_err(|error| malformed(&error))?;
        let mut validation = Validation::new(Algorithm::RS256);
        let issuer = self.client.endpoint.clone().unwrap_or_else(|| "https://accounts.google.com".to_owned());
        validation.set_issuer(&[issuer.as_str(), "accounts.google.com"]);
        validation.set_audience(&[&self.client.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, by the clock that the rest of the house goes by.
        validation.validate_exp = false;
        let claims = decode::<serde_json::Value>(id_token, &key, &validation).map_err(|error| malformed(&error))?.claims;
        let expires = claims["exp"].as_i64().unwrap_or(0);
        let claims: Claims = serde_json::from_value(claims).map_err(|error| malformed(&error))?;
        let is_ours = claims.azp.as_ref().is_none_or(|party| *party == self.client.client_id);
        if expires + 60 < now.timestamp() || claims.nonce.as_deref() != Some(nonce) || !is_ours {
            return Err(malformed(&"an id token that is not for this sign-in"));
        }
        Ok(claims)
    }
}

fn expiry(tokens: &Tokens, now: DateTime<Utc>) -> DateTime<Utc> {
    let lasts = tokens.expires_in().and_then(|lasts| TimeDelta::from_std(lasts).ok()).unwrap_or(TimeDelta::minutes(30));
    now + lasts
}

/// What a refused token request means (<https://developers.google.com/identity/protocols/oauth2#expiration>).
fn failure(error: RequestTokenError<ProviderError, BasicErrorResponse>) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error,
        RequestTokenError::ServerResponse(response) => {
            let reason = response.error().to_string();
            let message = response.error_description().cloned().unwrap_or_else(|| reason.clone());
            match response.error() {
                BasicErrorResponseType::InvalidGrant => ProviderError::GrantGone { provider: NAME, reason: message },
                _ if reason == "admin_policy_enforced" => ProviderError::GrantGone { provider: NAME, reason: message },
                _ => ProviderError::Refused { provider: NAME, reason, message },
            }
        }
        RequestTokenError::Parse(error, _) => malformed(&error),
        RequestTokenError::Other(detail) => malformed(&detail),
    }
}
