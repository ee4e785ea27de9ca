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
    /// Which one it is.
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
    /// What this deployment is known as.
    fn client(&self) -> &OAuthClient;

    /// Begins a sign-in.
    ///
    /// # Errors
    /// When the configured addresses are none.
    fn authorize(&self) -> Result<AuthorizationRequest>;

    /// Begins the consent of an administrator for all of an organisation's people, where the provider has such a thing.
    ///
    /// # Errors
    /// When the configured addresses are none.
    fn authorize_organization(&self) -> Result<Option<AuthorizationRequest>>;

    /// Exchanges what somebody came back with. Refused with [`Refusal::MissingScopes`](super::Refusal::MissingScopes) where
    /// too little was granted to sync anything.
    fn exchange<'a>(
        &'a self,
        callback: AuthorizationCallback<'a>,
        now: DateTime<Utc>,
    ) -> ProviderFuture<'a, AuthorizedAccount>;

    /// A new access token. Where the provider sends a new refresh token too, that one counts from now on.
    fn refresh<'a>(&'a self, grant: &'a Grant, now: DateTime<Utc>) -> ProviderFuture<'a, Grant>;

    /// Takes back what the account's owner has granted, where the provider has a way to. That it is gone already is fine.
    fn revoke<'a>(&'a self, refresh_token: &'a Secret) -> ProviderFuture<'a, ()>;

    /// What is often the reason why a grant of this age is lost.
    fn likely_revocation_cause(&self, age: TimeDelta) -> Option<&'static str>;
}
