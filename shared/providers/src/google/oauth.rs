//! Google's OAuth 2.0 and OpenID Connect (<https://developers.google.com/identity/protocols/oauth2/web-server>).

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

/// What is asked for. `calendar.events` reads and writes events, the list of calendars needs a scope of its own.
pub const SCOPES: [&str; 5] = ["openid", "email", "profile", EVENTS, CALENDAR_LIST];
/// Without this nothing can be synced.
const EVENTS: &str = "https://www.googleapis.com/auth/calendar.events";
/// Without this the account's calendars cannot be listed.
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

    /// With consent each time, as Google hands out a refresh token at the first consent only.
    pub(super) fn begin(&self) -> Result<AuthorizationRequest> {
        self.endpoints()?.begin(
            &SCOPES,
            &[
                ("access_type", "offline"),
                ("prompt", "consent select_account"),
            ],
        )
    }

    pub(super) async fn sign_in(
        &self,
        callback: AuthorizationCallback<'_>,
        now: DateTime<Utc>,
    ) -> Result<AuthorizedAccount> {
        let endpoints = self.endpoints()?;
        let tokens = endpoints
            .exchange(callback.code, callback.verifier, now, failure)
            .await?;
        let id_token = tokens
            .id_token
            .as_deref()
            .ok_or_else(|| malformed(&"no id token"))?;
        let own = self
            .client
            .endpoint
            .clone()
            .unwrap_or_else(|| "https://accounts.google.com".to_owned());
        // Google has two names for itself.
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
            // Kept at Google as far as it was granted; nothing of it is stored here.
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: Refusal::MissingScopes,
                message: "calendars and events were not granted".to_owned(),
            });
        }
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        Ok(AuthorizedAccount {
            account_id: text("sub").ok_or_else(|| malformed(&"an id token of nobody"))?,
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

    /// Google keeps the refresh token as it is; should it ever send another, that one counts.
    pub(super) async fn refresh_grant(&self, grant: &Grant, now: DateTime<Utc>) -> Result<Grant> {
        self.endpoints()?.refresh(grant, now, failure).await
    }

    /// Takes back everything that the account's owner has granted to this deployment.
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

/// What a refused token request means (<https://developers.google.com/identity/protocols/oauth2#expiration>).
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
