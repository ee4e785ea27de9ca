//! OAuth 2.0 with PKCE (RFC 6749, RFC 7636) and OpenID Connect, shared by all OAuth providers.

use calweave_base::config::OAuthClient;
use calweave_domain::grant::Grant;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AsyncHttpClient, AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret,
    CsrfToken, EndpointNotSet, EndpointSet, ExtraTokenFields, HttpRequest, HttpResponse,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RefreshToken, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::http::{ProviderClient, ProviderRequest};
use super::{ProviderError, Refusal, Result};

/// A started authorization: the URL to send the browser to, and the values to keep until the
/// browser returns.
#[derive(Debug)]
pub struct AuthorizationRequest {
    /// The URL of the provider's consent page.
    pub url: String,
    /// The `state` parameter, which the provider returns with the browser.
    pub state: Secret,
    /// The code verifier (RFC 7636).
    pub verifier: Secret,
    /// The `nonce` that the ID token must contain.
    pub nonce: String,
}

/// The code that the browser returned with, and the kept values of its authorization.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizationCallback<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// The value of [`AuthorizationRequest::verifier`].
    pub verifier: &'a Secret,
    /// The value of [`AuthorizationRequest::nonce`].
    pub nonce: &'a str,
    /// The issuer that the response names, if it names one (RFC 9207). The code of another issuer is not exchanged.
    pub issuer: Option<&'a str>,
}

/// The account that was authorized, and its grant.
#[derive(Debug)]
pub struct AuthorizedAccount {
    /// The provider's permanent id of the account.
    pub account_id: String,
    /// The account's e-mail address.
    pub email: String,
    /// The granted scopes.
    pub scopes: Vec<String>,
    /// The account's tokens.
    pub grant: Grant,
}

#[derive(Debug, Serialize, Deserialize)]
struct IdToken {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

type Response = StandardTokenResponse<IdToken, BasicTokenType>;
type Configured = Client<
    BasicErrorResponse,
    Response,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// The OAuth endpoints of a provider, and the client that this deployment is registered as.
pub(super) struct Endpoints<'a> {
    pub provider: &'static str,
    pub http: &'a ProviderClient,
    pub client: &'a OAuthClient,
    pub authorize: Url,
    pub token: Url,
    pub keys: Url,
}

/// The tokens of a successful token response.
pub(super) struct IssuedTokens {
    pub access_token: Secret,
    pub refresh_token: Option<Secret>,
    pub expires_at: DateTime<Utc>,
    pub scopes: Vec<String>,
    pub id_token: Option<String>,
}

/// An error response of the token endpoint (RFC 6749, section 5.2).
pub(super) struct TokenErrorResponse {
    /// The error code: `error`.
    pub error: String,
    /// `error_description`, or the error code if the response has none.
    pub message: String,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Key>,
}

/// An RSA key of a JWKS (RFC 7517).
#[derive(Deserialize)]
struct Key {
    kid: String,
    n: String,
    e: String,
    /// The issuer whose tokens the key signs, if the provider names one.
    #[serde(default)]
    issuer: Option<String>,
}

/// Sends the `oauth2` crate's requests with `ProviderClient`.
impl<'c> AsyncHttpClient<'c> for Endpoints<'_> {
    type Error = ProviderError;
    type Future = BoxFuture<'c, Result<HttpResponse>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        self.form(request).boxed()
    }
}

impl Endpoints<'_> {
    fn malformed(&self, detail: &dyn std::fmt::Display) -> ProviderError {
        ProviderError::Malformed {
            provider: self.provider,
            detail: detail.to_string(),
        }
    }

    fn configured(&self) -> Result<Configured> {
        let client = Client::new(ClientId::new(self.client.client_id.clone()))
            .set_client_secret(ClientSecret::new(self.client.client_secret.to_string()))
            .set_auth_type(AuthType::RequestBody)
            .set_auth_uri(AuthUrl::from_url(self.authorize.clone()))
            .set_token_uri(TokenUrl::from_url(self.token.clone()));
        let redirect = RedirectUrl::new(self.client.redirect_uri.clone())
            .map_err(|error| self.malformed(&error))?;
        Ok(client.set_redirect_uri(redirect))
    }

    /// Begins an authorization for these scopes. `parameters` are added to the authorization URL.
    pub fn begin(
        &self,
        scopes: &[&str],
        parameters: &[(&'static str, &'static str)],
    ) -> Result<AuthorizationRequest> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let nonce = CsrfToken::new_random_len(16).secret().clone();
        let configured = self.configured()?;
        let mut request = configured
            .authorize_url(|| CsrfToken::new_random_len(32))
            .add_scopes(scopes.iter().map(|scope| Scope::new((*scope).to_owned())))
            .set_pkce_challenge(challenge)
            .add_extra_param("nonce", &nonce);
        for (name, value) in parameters {
            request = request.add_extra_param(*name, *value);
        }
        let (url, state) = request.url();
        Ok(AuthorizationRequest {
            url: url.into(),
            state: Secret::new(state.into_secret()),
            verifier: Secret::new(verifier.into_secret()),
            nonce,
        })
    }

    /// Exchanges an authorization code for tokens. `refused` maps an error response.
    pub async fn exchange(
        &self,
        code: &str,
        verifier: &Secret,
        now: DateTime<Utc>,
        refused: RefusalMapper,
    ) -> Result<IssuedTokens> {
        let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
        let configured = self.configured()?;
        let request = configured
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .set_pkce_verifier(verifier);
        let answer = request.request_async(self).await;
        self.tokens(answer, now, refused)
    }

    /// Gets a new access token. The grant keeps its refresh token unless the response has a new
    /// one. `refused` maps an error response.
    pub async fn refresh(
        &self,
        grant: &Grant,
        now: DateTime<Utc>,
        refused: RefusalMapper,
    ) -> Result<Grant> {
        let refresh_token = RefreshToken::new(grant.refresh_token.expose().to_owned());
        let answer = self
            .configured()?
            .exchange_refresh_token(&refresh_token)
            .request_async(self)
            .await;
        let tokens = self.tokens(answer, now, refused)?;
        Ok(Grant {
            refresh_token: tokens
                .refresh_token
                .unwrap_or_else(|| grant.refresh_token.clone()),
            access_token: tokens.access_token,
            expires_at: tokens.expires_at,
        })
    }

    /// Converts a token response. An access token without a lifetime is taken to last 30 minutes.
    fn tokens(
        &self,
        answer: std::result::Result<Response, RequestTokenError<ProviderError, BasicErrorResponse>>,
        now: DateTime<Utc>,
        refused: RefusalMapper,
    ) -> Result<IssuedTokens> {
        let answer = answer.map_err(|error| match error {
            RequestTokenError::Request(error) => error,
            RequestTokenError::ServerResponse(response) => {
                let error = response.error().to_string();
                let message = response
                    .error_description()
                    .cloned()
                    .unwrap_or_else(|| error.clone());
                refused(TokenErrorResponse { error, message })
            }
            RequestTokenError::Parse(error, _) => self.malformed(&error),
            RequestTokenError::Other(detail) => self.malformed(&detail),
        })?;
        let lasts = answer
            .expires_in()
            .and_then(|lasts| TimeDelta::from_std(lasts).ok())
            .unwrap_or(TimeDelta::minutes(30));
        let scopes = answer
            .scopes()
            .map(|scopes| scopes.iter().map(|scope| scope.to_string()).collect());
        Ok(IssuedTokens {
            access_token: Secret::new(answer.access_token().secret().clone()),
            refresh_token: answer
                .refresh_token()
                .map(|token| Secret::new(token.secret().clone())),
            expires_at: now + lasts,
            scopes: scopes.unwrap_or_default(),
            id_token: answer.extra_fields().id_token.clone(),
        })
    }

    /// Sends a form to the token endpoint. Maps the statuses 429 and 5xx to errors.
    async fn form(&self, request: HttpRequest) -> Result<HttpResponse> {
        let provider = self.provider;
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| self.malformed(&error))?;
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
        ];
        let call = ProviderRequest {
            method: parts.method,
            url,
            headers: &headers,
            body: Some(body),
        };
        let answer = self.http.call(provider, call).await?;
        if answer.status == 429 {
            let (reason, retry_after) = ("too many token requests".to_owned(), answer.retry_after);
            return Err(ProviderError::Throttled {
                provider,
                reason,
                retry_after,
                is_project_wide: false,
            });
        }
        if answer.status >= 500 {
            return Err(ProviderError::ServerError {
                provider,
                status: answer.status,
            });
        }
        let mut response = HttpResponse::new(answer.body);
        *response.status_mut() =
            http::StatusCode::from_u16(answer.status).map_err(|error| self.malformed(&error))?;
        response.headers_mut().insert(
            "content-type",
            http::HeaderValue::from_static("application/json"),
        );
        Ok(response)
    }

    /// Verifies an ID token: its signature, issuer, audience, lifetime and nonce (OpenID Connect
    /// Core section 3.1.3.7). Returns its claims. `issuer` returns the issuer that a token with
    /// these claims must have.
    pub async fn verify(
        &self,
        id_token: &str,
        nonce: &str,
        now: DateTime<Utc>,
        issuer: impl Fn(&Value) -> Option<String>,
    ) -> Result<Value> {
        let wrong = || self.malformed(&"an ID token that is not for this sign-in");
        let call = ProviderRequest {
            method: Method::GET,
            url: self.keys.clone(),
            headers: &[],
            body: None,
        };
        let answer = self.http.call(self.provider, call).await?;
        let keys: Keys =
            serde_json::from_slice(&answer.body).map_err(|error| self.malformed(&error))?;
        let header = decode_header(id_token).map_err(|error| self.malformed(&error))?;
        let key = keys
            .keys
            .iter()
            .find(|key| Some(&key.kid) == header.kid.as_ref());
        let key = key.ok_or_else(|| self.malformed(&"an unknown signing key"))?;
        let decoding = DecodingKey::from_rsa_components(&key.n, &key.e)
            .map_err(|error| self.malformed(&error))?;
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[&self.client.client_id]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        // Checked below, against `now`.
        validation.validate_exp = false;
        let claims = decode::<Value>(id_token, &decoding, &validation)
            .map_err(|error| self.malformed(&error))?
            .claims;
        let issuer = issuer(&claims).ok_or_else(wrong)?;
        // One JWKS may contain the keys of many issuers. Each key then names the issuer whose
        // tokens it signs.
        let is_issued = claims["iss"] == issuer
            && key
                .issuer
                .as_ref()
                .is_none_or(|named| is_named(named, &claims, &issuer));
        let is_in_time = claims["exp"].as_i64().unwrap_or(0) + 60 >= now.timestamp()
            && claims["nbf"]
                .as_i64()
                .is_none_or(|from| from <= now.timestamp() + 60);
        let is_ours = claims
            .get("azp")
            .is_none_or(|party| *party == self.client.client_id);
        if is_issued && is_in_time && is_ours && claims["nonce"] == nonce {
            Ok(claims)
        } else {
            Err(wrong())
        }
    }
}

/// Returns whether the issuer that a key names is the token's. `{tenantid}` stands for any tenant.
fn is_named(named: &str, claims: &Value, issuer: &str) -> bool {
    named.replace("{tenantid}", claims["tid"].as_str().unwrap_or_default()) == issuer
}

/// Converts an error code of the token endpoint to a refusal. Codes about the client are for the
/// operator to resolve.
pub(super) fn refusal(code: String) -> Refusal {
    if code.contains("client") {
        Refusal::InvalidClient(code)
    } else {
        Refusal::Other(code)
    }
}

/// A function that maps an error response of the token endpoint.
pub(super) type RefusalMapper = fn(TokenErrorResponse) -> ProviderError;
