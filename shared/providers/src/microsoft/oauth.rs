//! Sign-ins with the Microsoft identity platform v2.0
//! (<https://learn.microsoft.com/entra/identity-platform/v2-oauth2-auth-code-flow>).

use calweave_domain::grant::Grant;
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::super::oauth::{
    AuthorizationCallback, AuthorizationRequest, AuthorizedAccount, Endpoints, TokenErrorResponse,
    refusal,
};
use super::{
    GraphRequest, GraphSession, Microsoft, NAME, ProviderError, Refusal, Result, malformed,
};

/// The requested scopes. Without `offline_access` there is no refresh token. A token response does
/// not list `offline_access` among its scopes.
const SCOPES: [&str; 7] = [
    "openid",
    "profile",
    "email",
    "offline_access",
    "User.Read",
    CALENDARS,
    "MailboxSettings.Read",
];
/// The scope that syncing requires.
const CALENDARS: &str = "Calendars.ReadWrite";

impl Microsoft {
    fn endpoints(&self) -> Result<Endpoints<'_>> {
        let url = |path: &str| {
            self.url(
                "login.microsoftonline.com",
                &format!("/{}/{path}", self.tenant),
            )
        };
        Ok(Endpoints {
            provider: NAME,
            http: &self.http,
            client: &self.client,
            authorize: url("oauth2/v2.0/authorize")?,
            token: url("oauth2/v2.0/token")?,
            keys: url("discovery/v2.0/keys")?,
        })
    }

    pub(super) fn begin(&self) -> Result<AuthorizationRequest> {
        self.endpoints()?.begin(
            &SCOPES,
            &[("response_mode", "query"), ("prompt", "select_account")],
        )
    }

    /// Starts an admin consent, in which an administrator consents for all users of an organisation
    /// (<https://learn.microsoft.com/entra/identity-platform/v2-admin-consent>).
    pub(super) fn begin_for_all(&self) -> Result<AuthorizationRequest> {
        // `common` stands for all accounts, and nobody can consent for all of them.
        let tenant = if &*self.tenant == "common" {
            "organizations"
        } else {
            &self.tenant
        };
        let begun = self.begin()?;
        let mut url = self.url(
            "login.microsoftonline.com",
            &format!("/{tenant}/v2.0/adminconsent"),
        )?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.client.client_id)
            .append_pair("redirect_uri", &self.client.redirect_uri)
            .append_pair(
                "scope",
                &SCOPES.map(|scope| format!("https://graph.microsoft.com/{scope}"))[4..].join(" "),
            )
            .append_pair("state", begun.state.expose());
        Ok(AuthorizationRequest {
            url: url.into(),
            ..begun
        })
    }

    pub(super) async fn sign_in(
        &self,
        callback: AuthorizationCallback<'_>,
        now: DateTime<Utc>,
    ) -> Result<AuthorizedAccount> {
        if callback.issuer.is_some_and(|issuer| !self.is_own(issuer)) {
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
        let claims = endpoints
            .verify(id_token, callback.nonce, now, |claims| self.issuer(claims))
            .await?;
        if !tokens
            .scopes
            .iter()
            .any(|scope| scope.rsplit('/').next() == Some(CALENDARS))
        {
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: Refusal::MissingScopes,
                message: "calendars were not granted".to_owned(),
            });
        }
        let Some(refresh_token) = tokens.refresh_token else {
            return Err(ProviderError::Refused {
                provider: NAME,
                reason: Refusal::MissingScopes,
                message: "offline_access was not granted".to_owned(),
            });
        };
        let text = |name: &str| claims[name].as_str().map(str::to_owned);
        // An email address may pass to another person. The tenant and object ids do not.
        let account_id = text("tid")
            .zip(text("oid"))
            .map(|(tenant, object)| format!("{tenant}.{object}"));
        let session = GraphSession::new(self.clone(), tokens.access_token.clone(), "");
        let me = session.call(GraphRequest::get(&["me"])).await?;
        let email = me["mail"]
            .as_str()
            .or(me["userPrincipalName"].as_str())
            .map(str::to_owned);
        Ok(AuthorizedAccount {
            account_id: account_id.ok_or_else(|| malformed(&"an id token without tid or oid"))?,
            email: email
                .or_else(|| text("email"))
                .or_else(|| text("preferred_username"))
                .unwrap_or_default(),
            scopes: tokens.scopes,
            grant: Grant {
                refresh_token,
                access_token: tokens.access_token,
                expires_at: tokens.expires_at,
            },
        })
    }

    /// Refreshes a grant. Each use of a refresh token returns a new one, which is stored in its
    /// place.
    pub(super) async fn refresh_grant(&self, grant: &Grant, now: DateTime<Utc>) -> Result<Grant> {
        self.endpoints()?.refresh(grant, now, failure).await
    }

    /// Returns the issuer that an id token must have: that of its own tenant. Returns `None` if the
    /// token is invalid, or if this deployment is for another single tenant. A valid signature does
    /// not prove the tenant, because all tenants share one set of keys.
    fn issuer(&self, claims: &Value) -> Option<String> {
        let tenant = claims["tid"].as_str().filter(|tenant| is_guid(tenant))?;
        let is_welcome = !is_guid(&self.tenant) || self.tenant.eq_ignore_ascii_case(tenant);
        if !is_welcome || claims["ver"] != "2.0" {
            return None;
        }
        Some(format!("{}/{tenant}/v2.0", self.issuer_base()?))
    }

    /// Returns whether an issuer is one of the tenants.
    fn is_own(&self, issuer: &str) -> bool {
        let tenant = self
            .issuer_base()
            .and_then(|base| issuer.strip_prefix(base.as_str())?.strip_prefix('/'));
        let tenant = tenant.and_then(|rest| rest.strip_suffix("/v2.0"));
        tenant.is_some_and(is_guid)
    }

    fn issuer_base(&self) -> Option<String> {
        let base = self.url("login.microsoftonline.com", "/").ok()?;
        Some(base.origin().ascii_serialization())
    }
}

/// Whether a text has the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, in hexadecimal digits.
fn is_guid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == lengths.len()
        && parts.iter().zip(lengths).all(|(part, length)| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
}

/// Maps the error response of a token request to an error
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>). The numbers in
/// the message are for people and are not parsed.
fn failure(TokenErrorResponse { error, message }: TokenErrorResponse) -> ProviderError {
    let message: String = message
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(300)
        .collect();
    match error.as_str() {
        "invalid_grant" | "interaction_required" | "login_required" | "consent_required" => {
            ProviderError::GrantRevoked {
                provider: NAME,
                reason: message,
            }
        }
        "temporarily_unavailable" => ProviderError::ServerError {
            provider: NAME,
            status: 503,
        },
        _ => ProviderError::Refused {
            provider: NAME,
            reason: refusal(error),
            message,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use calweave_base::clock::Clock;
    use calweave_base::config::OAuthClient;

    fn microsoft(tenant: &str) -> Microsoft {
        let client = OAuthClient {
            client_id: "id".into(),
            client_secret: String::new().into(),
            redirect_uri: "https://api.example.org/back".into(),
            endpoint: None,
        };
        Microsoft::new(client, tenant, Clock::System)
    }

    #[test]
    fn a_token_comes_from_its_own_tenant() {
        let (home, other) = (
            "11111111-2222-3333-4444-555555555555",
            "99999999-2222-3333-4444-555555555555",
        );
        let claims = |tenant: &str| json!({ "tid": tenant, "ver": "2.0" });
        let issuer = Some(format!("https://login.microsoftonline.com/{home}/v2.0"));
        assert_eq!(microsoft("common").issuer(&claims(home)), issuer);
        assert_eq!(microsoft(home).issuer(&claims(home)), issuer);
        assert_eq!(
            microsoft(home).issuer(&claims(other)),
            None,
            "a deployment for one tenant accepts no other"
        );
        for wrong in ["{tenantid}", "", "../common"] {
            assert_eq!(microsoft("common").issuer(&claims(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_has_expired_is_no_fault_of_the_persons() {
        let refused = |error: &str| {
            failure(TokenErrorResponse {
                error: error.into(),
                message: "AADSTS7000222: expired\r\nTrace".into(),
            })
        };
        assert!(
            matches!(refused("invalid_client"), ProviderError::Refused { message, .. } if message == "AADSTS7000222: expired")
        );
        assert!(matches!(
            refused("unauthorized_client"),
            ProviderError::Refused { .. }
        ));
        assert!(matches!(
            refused("interaction_required"),
            ProviderError::GrantRevoked { .. }
        ));
    }
}
