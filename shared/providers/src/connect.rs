//! How accounts are connected: credentials, sessions, and OAuth where the provider uses it.

use calweave_base::config::OAuthClient;
use calweave_domain::calendar::ProviderKind;
use calweave_domain::grant::Grant;
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};

use super::oauth::{AuthorizationCallback, AuthorizationRequest, AuthorizedAccount};
use super::{CalendarProvider, ProviderFuture, Result};

/// How a session with a provider authenticates. There is one variant for each kind of credential that a provider takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// An OAuth 2.0 access token, sent as a bearer token (RFC 6750).
    AccessToken(Secret),
}

/// A provider that this deployment can connect accounts of.
pub trait Connect: Send + Sync {
    /// The provider.
    fn kind(&self) -> ProviderKind;

    /// The base URL of this deployment, to which the provider sends notifications.
    fn public_url(&self) -> &str;

    /// Calls on behalf of the account that the credentials belong to, whose address is `email`.
    ///
    /// # Errors
    /// When the provider takes no credentials of this kind.
    fn session(&self, credentials: Credentials, email: &str) -> Result<Box<dyn CalendarProvider>>;

    /// The provider's OAuth side; nothing where accounts are connected otherwise.
    fn oauth(&self) -> Option<&dyn OAuthProvider> {
        None
    }
}

/// A provider whose accounts are connected by OAuth 2.0.
pub trait OAuthProvider: Connect {
    /// The client that this deployment is registered as.
    fn client(&self) -> &OAuthClient;

    /// Begins an authorization.
    ///
    /// # Errors
    /// When a configured address is not a URL.
    fn authorize(&self) -> Result<AuthorizationRequest>;

    /// Begins the consent of an administrator for a whole organization; `None` where the provider has no such consent.
    ///
    /// # Errors
    /// When a configured address is not a URL.
    fn authorize_organization(&self) -> Result<Option<AuthorizationRequest>>;

    /// Exchanges the code of an authorization for a grant. Refused with
    /// [`Refusal::MissingScopes`](super::Refusal::MissingScopes) where too little was granted to sync anything.
    fn exchange<'a>(
        &'a self,
        callback: AuthorizationCallback<'a>,
        now: DateTime<Utc>,
    ) -> ProviderFuture<'a, AuthorizedAccount>;

    /// Gets a new access token. Where the provider rotates refresh tokens, the grant has the new one.
    fn refresh<'a>(&'a self, grant: &'a Grant, now: DateTime<Utc>) -> ProviderFuture<'a, Grant>;

    /// Revokes a grant, where the provider has a way to. Succeeds when it is revoked already.
    fn revoke<'a>(&'a self, refresh_token: &'a Secret) -> ProviderFuture<'a, ()>;

    /// The usual reason why a grant of this age is revoked, as a clause for the account's owner.
    fn likely_revocation_cause(&self, age: TimeDelta) -> Option<&'static str>;
}
