//! Google's OAuth 2.0 and OpenID Connect
//! (<https://developers.google.com/identity/protocols/oauth2/web-server>).

use calweave_domain::grant::Grant;
use calweave_domain::secret::Secret;
use chrono::{DateTime, Utc};
use reqwest::Method;

use super::super::http::ProviderRequest;
use super::super::oauth::{
    AuthorizationCallback, AuthorizationRequest, AuthorizedAccount, Endpoints, TokenErrorResponse,
    refusal,
};
use super::{Google, NAME, ProviderError, Refusal, Result, malformed};

/// The requested scopes. `calendar.events` permits reading and writing events. Listing the
/// calendars requires a separate scope.
pub const SCOPES: [&str; 5] = ["openid", "email", "profile", EVENTS, CALENDAR_LIST];
/// Permits reading and writing events. Without this scope nothing can be synced.
const EVENTS: &str = "https://www.googleapis.com/auth/calendar.events";
/// Permits listing the calendars. Without this scope they cannot be listed.
const CALENDAR_LIST: &str = "https://www.googleapis.com/auth/calendar.calendarlist.readonly";

impl Google {
    fn endpoints(&self) -> Result<Endpoints<'_>> {
        Ok(Endpoints {
            provider: NAME,
            http: &self.http,
            client: &self.client,
            authorize: self.url("accounts.google.com", "/o/oauth2/v2/auth")?,
            token: self.url("oauth2.googleapis.com", "/token")?,
            keys: self.url("www.googleapis.com", "/oauth2/v3/certs")?,
        })
    }

    /// Begins an authorization. The consent page is shown each time, because Google otherwise
    /// issues a refresh token only at the first consent.
    pub(super) fn begin(&self) -> Result<AuthorizationRequest> {
        self.endpoints()?.begin(
            &SCOPES,
            &[
                ("access_type", "offline"),
                ("prompt", "consent select_account"),
            ],
        )
    }

    /// Exchanges the code of an authorization for a grant, and verifies the ID token.
    ///
    /// # Errors
    /// [`Refusal::MissingScopes`] if a required scope was not granted.
    pub(super) async fn sign_in(
        &self,
        callback: AuthorizationCallback<'_>,
        now: DateTime<Utc>,
    ) -> Result<AuthorizedAccount> {
        let own = self
            .client
            .endpoint
            .clone()
            .unwrap_or_else(|| "https://accounts.google.com".to_owned());
        if callback.issuer.is_some_and(|issuer| issuer != own) {
            return Err(malformed(&"the response is of another issuer"));
        }
        let endpoints = self.endpoints()?;
        let tokens = endpoints
            .exchange(callback.code, callback.verifier, now, failure)
            .await?;
        let id_token = tokens
            .id_token
            .as_deref()
            .ok_or_else(|| malformed(&"no id token"))?;
        // Google uses two issuer names: with `https://` and without.
        let issuer = |claims: &serde_json::Value| {
            let issuer = claims["iss"].as_str()?;
            (issuer == own || issuer == "accounts.google.com").then(|| issuer.to_owned())
        };
        let claims = endpoints
            .verify(id_token, callback.nonce, now, issuer)
            .await?;
        if [EVENTS, CALENDAR_LIST]
            .iter()
            .any(|needed| !tokens.scopes.iter().any(|scope| scope == needed))
        {
            // The partial grant remains at Google. Nothing of it is stored here.
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: Refusal::MissingScopes,
                message: "calendars and events were not granted".to_owned(),
            });
        }
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        Ok(AuthorizedAccount {
            account_id: text("sub").ok_or_else(|| malformed(&"an ID token without a subject"))?,
            email: text("email").unwrap_or_default(),
            scopes: tokens.scopes,
            grant: Grant {
                refresh_token: tokens
                    .refresh_token
                    .ok_or_else(|| malformed(&"no refresh token"))?,
                access_token: tokens.access_token,
                expires_at: tokens.expires_at,
            },
        })
    }

    /// Gets a new access token. Google does not rotate refresh tokens. If a response has a refresh
    /// token nevertheless, it replaces the old one.
    pub(super) async fn refresh_grant(&self, grant: &Grant, now: DateTime<Utc>) -> Result<Grant> {
        self.endpoints()?.refresh(grant, now, failure).await
    }

    /// Revokes everything that the account's owner has granted to this deployment.
    pub(super) async fn revoke_token(&self, refresh_token: &Secret) -> Result<()> {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("token", refresh_token.expose())
            .finish();
        let url = self.url("oauth2.googleapis.com", "/revoke")?;
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let answer = self
            .http
            .call(
                NAME,
                ProviderRequest {
                    method: Method::POST,
                    url,
                    headers: &headers,
                    body: Some(body.into_bytes()),
                },
            )
            .await?;
        if answer.status >= 500 {
            Err(ProviderError::ServerError {
                provider: NAME,
                status: answer.status,
            })
        } else {
            Ok(())
        }
    }
}

/// Maps an error response of the token endpoint
/// (<https://developers.google.com/identity/protocols/oauth2#expiration>).
fn failure(TokenErrorResponse { error, message }: TokenErrorResponse) -> ProviderError {
    match error.as_str() {
        "invalid_grant" | "admin_policy_enforced" => ProviderError::GrantRevoked {
            provider: NAME,
            reason: message,
        },
        _ => ProviderError::Refused {
            provider: NAME,
            reason: refusal(error),
            message,
        },
    }
}
