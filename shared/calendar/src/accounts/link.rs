//! Linking an account: the OAuth authorization code flow (RFC 6749 4.1), with PKCE.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calweave_base::clock::random_bytes;
use calweave_domain::calendar::ProviderKind;
use calweave_domain::connection::{Connection, ConnectionStatus};
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_domain::secret::{Secret, secret_digest};
use calweave_providers::oauth::{AuthorizationCallback, AuthorizedAccount};
use calweave_providers::{Credentials, OAuthProvider, ProviderError, Providers, Refusal};
use calweave_store::WriteOutcome;
use calweave_store::authorizations::{CalendarSelection, PendingAuthorization};
use calweave_vault::SecretLocation;
use chrono::TimeDelta;

use super::access::renew_at;
use super::claim::claim;
use crate::sync_requests::request_sync;
use crate::{AccountContext, BackendError, Error, Result};

/// How long a pending authorization is valid.
pub const CONSENT_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How long a selection of calendars is valid.
pub(super) const SELECTION_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// Maximum length of an authorization code, in bytes.
const MAX_CODE: usize = 4_096;

/// Returns the provider with this path segment.
///
/// # Errors
/// [`Error::NotFound`] for an unknown segment, [`Error::Unavailable`] when this deployment has no client at the
/// provider.
pub fn configured<'a>(
    providers: &'a Providers,
    path: &str,
) -> Result<(ProviderKind, &'a dyn OAuthProvider)> {
    let kind = ProviderKind::of_path(path).ok_or(Error::NotFound)?;
    let missing = |_| {
        let (name, path) = (kind.label(), kind.path());
        Error::Unavailable(format!(
            "this deployment has no {name} client; see docs/{path}.md"
        ))
    };
    Ok((kind, providers.oauth(kind).map_err(missing)?))
}

/// An authorization that was begun.
#[derive(Debug)]
pub struct BegunLink {
    /// URL of the provider's consent page.
    pub auth_url: String,
    /// The OAuth `state`, which the provider returns to the callback.
    pub state: Secret,
    /// Secret for a cookie, which the browser has to present at the callback.
    pub browser_secret: String,
}

/// Begins to link an account. `return_to` is the page that the browser is redirected to at the end.
///
/// # Errors
/// [`Error::Unavailable`] when this deployment has no client at the provider, [`Error::Invalid`] when the provider has
/// no consent for a whole organisation.
pub async fn begin_link(
    context: &AccountContext,
    user: UserId,
    kind: ProviderKind,
    is_admin_consent: bool,
    return_to: String,
) -> Result<BegunLink> {
    let (_, provider) = configured(&context.providers, kind.path())?;
    let authorize = if is_admin_consent {
        provider.authorize_organization()
    } else {
        provider.authorize().map(Some)
    };
    let authorize = authorize.map_err(|error| {
        tracing::error!(
            "the configured URLs of {} are not valid: {error}",
            kind.label()
        );
        Error::Misconfigured(format!("the URLs of {}", kind.label()))
    })?;
    let unsupported = || Error::field("adminConsent", "is not supported by this provider");
    let authorize = authorize.ok_or_else(unsupported)?;
    let browser_secret = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let verifier = context
        .vault
        .seal(verifier_location(user), &authorize.verifier);
    let authorization = PendingAuthorization {
        user_id: user,
        provider: kind,
        browser: secret_digest(&browser_secret),
        verifier: verifier.await?,
        nonce: authorize.nonce,
        is_admin_consent,
        return_to,
        until: context.clock.now() + CONSENT_LIFETIME,
    };
    let state = secret_digest(authorize.state.expose());
    context
        .store
        .begin_authorization(&state, &authorization)
        .await?;
    Ok(BegunLink {
        auth_url: authorize.url,
        state: authorize.state,
        browser_secret,
    })
}

/// The parameters of the OAuth callback.
#[derive(Clone, Debug, Default)]
pub struct CallbackParameters {
    /// The authorization code.
    pub code: Option<String>,
    /// The `state` of the authorization request.
    pub state: Option<String>,
    /// The provider's error code (RFC 6749 4.1.2.1).
    pub error: Option<String>,
    /// The issuer of the response (RFC 9207).
    pub issuer: Option<String>,
    /// Whether an administrator has consented for a whole organisation.
    pub is_admin_consent: bool,
    /// Digests of the browser secrets in the request's cookies.
    pub browsers: Vec<String>,
}

/// A finished authorization.
#[derive(Debug)]
pub struct FinishedLink {
    /// The user that began the authorization.
    pub user: UserId,
    /// The page that the browser is redirected to.
    pub return_to: String,
    /// Whether an account was linked.
    pub outcome: Result<Linked, LinkFailure>,
}

/// A successful authorization.
#[derive(Debug)]
pub enum Linked {
    /// An administrator has consented for all users of an organisation; no account was linked.
    Organisation,
    /// An account was linked, and its calendars can be chosen.
    Account {
        /// Id of the selection that offers the calendars.
        session: String,
        /// The connection to the account.
        connection: ConnectionId,
    },
}

/// Why an account was not linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFailure {
    /// The user has denied consent.
    AccessDenied,
    /// An administrator has to consent first.
    ConsentRequired,
    /// The granted scopes are not sufficient for a sync.
    MissingScopes,
    /// Another user has linked this account.
    AccountTaken,
    /// The authorization failed for another reason, such as a code that the provider does not accept.
    AuthFailed,
}

impl LinkFailure {
    /// Returns the slug for the `error` parameter of the page that the browser is redirected to.
    pub fn slug(self) -> &'static str {
        match self {
            Self::AccessDenied => "access_denied",
            Self::ConsentRequired => "consent_required",
            Self::MissingScopes => "missing_scopes",
            Self::AccountTaken => "account_taken",
            Self::AuthFailed => "auth_failed",
        }
    }

    fn of(error: &ProviderError) -> Self {
        match error {
            ProviderError::Refused {
                reason: Refusal::MissingScopes,
                ..
            } => Self::MissingScopes,
            ProviderError::Refused {
                reason: Refusal::InvalidClient(_),
                ..
            } => {
                tracing::error!(
                    alarm = "provider-client",
                    "the provider refuses this deployment: {error}"
                );
                Self::AuthFailed
            }
            _ => {
                tracing::warn!("could not link an account: {error}");
                Self::AuthFailed
            }
        }
    }
}

/// Finishes an authorization: exchanges the code, stores the connection and its grant, and offers the account's
/// calendars. `None` when the `state` belongs to another browser, was used before, or has expired.
pub async fn finish_link(
    context: &AccountContext,
    kind: ProviderKind,
    returned: &CallbackParameters,
) -> Result<Option<FinishedLink>> {
    let state = secret_digest(returned.state.as_deref().unwrap_or_default());
    // The `state` is spent only by the browser that began: anybody may have seen it.
    let store = &context.store;
    let begun = store.take_authorization(&state, &returned.browsers).await?;
    let begun = begun.filter(|begun| begun.provider == kind);
    let Some(begun) = begun else { return Ok(None) };
    let is_consent = returned.error.is_none() && returned.code.is_none();
    let outcome = if begun.is_admin_consent && is_consent && returned.is_admin_consent {
        Ok(Linked::Organisation)
    } else {
        link(context, &begun, returned).await?
    };
    Ok(Some(FinishedLink {
        user: begun.user_id,
        return_to: begun.return_to,
        outcome,
    }))
}

type LinkResult<T> = Result<T, LinkFailure>;

async fn link(
    context: &AccountContext,
    begun: &PendingAuthorization,
    returned: &CallbackParameters,
) -> Result<LinkResult<Linked>> {
    if let Some(error) = &returned.error {
        return Ok(Err(match error.as_str() {
            "access_denied" => LinkFailure::AccessDenied,
            "consent_required" => LinkFailure::ConsentRequired,
            _ => LinkFailure::AuthFailed,
        }));
    }
    let code = returned.code.as_deref();
    let Some(code) = code.filter(|code| code.len() <= MAX_CODE) else {
        return Ok(Err(LinkFailure::AuthFailed));
    };
    let (user, kind) = (begun.user_id, begun.provider);
    let (_, provider) = configured(&context.providers, kind.path())?;
    let verifier = context
        .vault
        .open(verifier_location(user), &begun.verifier)
        .await?;
    let callback = AuthorizationCallback {
        code,
        verifier: &verifier,
        nonce: &begun.nonce,
        issuer: returned.issuer.as_deref(),
    };
    let signed_in = match provider.exchange(callback, context.clock.now()).await {
        Ok(signed_in) => signed_in,
        Err(error) => return Ok(Err(LinkFailure::of(&error))),
    };
    let credentials = Credentials::AccessToken(signed_in.grant.access_token.clone());
    let listed = match provider.session(credentials, &signed_in.email) {
        Ok(session) => session.list_calendars().await,
        Err(error) => Err(error),
    };
    let calendars = match listed {
        Ok(calendars) => calendars,
        Err(error) => return Ok(Err(LinkFailure::of(&error))),
    };
    let connection = match store(context, user, kind, &signed_in).await? {
        Ok(connection) => connection,
        Err(failure) => return Ok(Err(failure)),
    };
    let id = BASE64_URL_SAFE_NO_PAD.encode(random_bytes::<24>());
    let selection = CalendarSelection {
        connection_id: connection,
        provider: kind,
        email: signed_in.email,
        calendars,
        until: context.clock.now() + SELECTION_LIFETIME,
    };
    context.store.put_selection(user, &id, &selection).await?;
    Ok(Ok(Linked::Account {
        session: id,
        connection,
    }))
}

/// Stores the grant and the connection, a new one or the earlier one of this account, and requests a sync of its
/// calendars.
async fn store(
    context: &AccountContext,
    user: UserId,
    kind: ProviderKind,
    signed_in: &AuthorizedAccount,
) -> Result<LinkResult<ConnectionId>, BackendError> {
    let now = context.clock.now();
    let known = context.store.connections(user).await?.into_iter();
    let mut known =
        known.filter(|known| known.provider == kind && known.account_id == signed_in.account_id);
    let known = known.next();
    let Some(id) = claim(context, user, kind, signed_in, known.as_ref()).await? else {
        return Ok(Err(LinkFailure::AccountTaken));
    };
    // The grant is stored first: an active connection always has a grant.
    let _: WriteOutcome = context
        .vault
        .put_grant(user, id, &signed_in.grant, None)
        .await?;
    let connection = Connection {
        id,
        user_id: user,
        provider: kind,
        account_id: signed_in.account_id.clone(),
        email: signed_in.email.clone(),
        scopes: signed_in.scopes.clone(),
        status: ConnectionStatus::Active,
        status_reason: None,
        granted_at: now,
        created_at: known.as_ref().map_or(now, |known| known.created_at),
        paused_until: known.and_then(|known| known.paused_until),
        listed_at: Some(now),
    };
    let renew_at = renew_at(&signed_in.grant);
    context.store.put_connection(&connection, renew_at).await?;
    for state in context.store.calendars(user).await? {
        if state.calendar.connection_id == id && state.calendar.is_connected {
            request_sync(context, user, state.calendar.id, 0).await?;
        }
    }
    Ok(Ok(id))
}

/// Returns the vault location of the PKCE code verifier. No connection exists at that time, so its id is zero.
fn verifier_location(user: UserId) -> SecretLocation {
    SecretLocation {
        user,
        connection: ConnectionId::from_bytes([0; 16]),
        field: "verifier",
    }
}
