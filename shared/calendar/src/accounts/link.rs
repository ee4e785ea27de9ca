//! Linking an account: to the provider's consent page, and back with a code.

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
use calweave_store::connections::AccountOwner;
use calweave_vault::SecretLocation;
use chrono::TimeDelta;

use super::access::renew_at;
use crate::sync_requests::request_sync;
use crate::{AccountContext, BackendError, Error, Result};

/// How long somebody may take on the provider's pages.
pub const CONSENT_LIFETIME: TimeDelta = TimeDelta::minutes(15);
/// How long somebody may take to choose calendars afterwards.
const SELECTION_LIFETIME: TimeDelta = TimeDelta::minutes(10);
/// The longest code that is exchanged, in bytes.
const MAX_CODE: usize = 4_096;

/// The provider that a path segment names, where this deployment is registered with it.
///
/// # Errors
/// [`Error::NotFound`] for a segment that names none, [`Error::Unavailable`] where there is no client for it.
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

/// A link that was begun.
#[derive(Debug)]
pub struct BegunLink {
    /// The provider's consent page.
    pub auth_url: String,
    /// What the provider sends back with the browser.
    pub state: Secret,
    /// What the browser has to show when it comes back.
    pub browser_secret: String,
}

/// Begins to link an account. `return_to` is the page that the browser is sent to in the end.
///
/// # Errors
/// [`Error::Unavailable`] where this deployment is not registered with the provider, [`Error::Invalid`] where the
/// provider has no consent for a whole organisation.
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
            "the configured addresses of {} cannot be used: {error}",
            kind.label()
        );
        Error::Misconfigured(format!("the addresses of {}", kind.label()))
    })?;
    let unsupported = || Error::field("adminConsent", "is nothing that this provider knows");
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

/// What a browser comes back with from the provider.
#[derive(Clone, Debug, Default)]
pub struct CallbackParameters {
    /// The code to be exchanged for tokens.
    pub code: Option<String>,
    /// The state that was sent along.
    pub state: Option<String>,
    /// The provider's reason why there is no code.
    pub error: Option<String>,
    /// Whether an administrator has consented for a whole organisation.
    pub is_admin_consent: bool,
    /// Digests of the browser secrets that the browser shows.
    pub browsers: Vec<String>,
}

/// A link that came to its end, one way or the other.
#[derive(Debug)]
pub struct FinishedLink {
    /// Who began it.
    pub user: UserId,
    /// The page that the browser is sent to.
    pub return_to: String,
    /// What came of it.
    pub outcome: Result<Linked, LinkFailure>,
}

/// What somebody has granted.
#[derive(Debug)]
pub enum Linked {
    /// Consent for all of an organisation's people; no account was linked.
    Organisation,
    /// An account, whose calendars are offered under the session's id.
    Account {
        /// Id of the offer.
        session: String,
        /// The connection.
        connection: ConnectionId,
    },
}

/// Why no account was linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFailure {
    /// The person has refused.
    AccessDenied,
    /// An administrator has to consent first.
    ConsentRequired,
    /// Too little was granted to sync anything.
    MissingScopes,
    /// Somebody else has linked this account.
    AccountTaken,
    /// The provider did not accept the code.
    AuthFailed,
}

impl LinkFailure {
    /// The word by which pages know it.
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
                tracing::warn!("a link failed: {error}");
                Self::AuthFailed
            }
        }
    }
}

/// Finishes a link: exchanges the code, stores connection and grant, and offers the account's calendars. `None` when the
/// state is not this browser's, was used before, or has expired.
pub async fn finish_link(
    context: &AccountContext,
    kind: ProviderKind,
    returned: &CallbackParameters,
) -> Result<Option<FinishedLink>> {
    let state = secret_digest(returned.state.as_deref().unwrap_or_default());
    let begun = context.store.take_authorization(&state).await?;
    let begun =
        begun.filter(|begun| begun.provider == kind && returned.browsers.contains(&begun.browser));
    let Some(begun) = begun else { return Ok(None) };
    let is_consent = returned.error.is_none() && returned.code.is_none();
    let outcome = if is_consent && returned.is_admin_consent {
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

/// Stores the connection, a new one or the one that this account had before, and has its calendars synced again.
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
    // The grant first: a connection that is active has a grant.
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
        channel: known.and_then(|known| known.channel),
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

/// Claims the account for this person; answers with the id of its connection, or with `None` when somebody else has it.
async fn claim(
    context: &AccountContext,
    user: UserId,
    kind: ProviderKind,
    signed_in: &AuthorizedAccount,
    known: Option<&Connection>,
) -> Result<Option<ConnectionId>, BackendError> {
    let (store, account) = (&context.store, &signed_in.account_id);
    // An earlier attempt may have been interrupted after it had claimed the account: that claim is used.
    let claimed = store.account_owner(kind, account).await?;
    let claimed = claimed.filter(|owner| owner.user_id == user);
    let id = claimed
        .map(|owner| owner.connection_id)
        .or(known.map(|known| known.id))
        .unwrap_or_else(|| ConnectionId::new(&context.clock));
    let owner = AccountOwner {
        user_id: user,
        connection_id: id,
    };
    if store.claim_account(kind, account, owner).await? == WriteOutcome::Written {
        return Ok(Some(id));
    }
    let other = store.account_owner(kind, account).await?;
    if other.is_some_and(|other| other.user_id == user && other.connection_id == id) {
        return Ok(Some(id));
    }
    if !release_unused(context, other).await? {
        return Ok(None);
    }
    let claimed = store.claim_account(kind, account, owner).await?;
    Ok((claimed == WriteOutcome::Written).then_some(id))
}

/// Releases an account that somebody else has linked but never chosen a calendar of, once the time for that is over. Answers
/// whether it is free.
async fn release_unused(
    context: &AccountContext,
    owner: Option<AccountOwner>,
) -> Result<bool, BackendError> {
    let Some(owner) = owner else { return Ok(true) };
    let (store, user) = (&context.store, owner.user_id);
    let Some(connection) = store.connection(user, owner.connection_id).await? else {
        return Ok(false);
    };
    let calendars = store.calendars(user).await?;
    let is_used = calendars
        .iter()
        .any(|state| state.calendar.connection_id == connection.id && state.calendar.is_connected);
    if is_used || context.clock.now() - connection.granted_at < SELECTION_LIFETIME {
        return Ok(false);
    }
    if store.end_connection(&connection).await? == WriteOutcome::Written {
        store.release_account(&connection).await?;
    }
    Ok(true)
}

/// Where the code verifier is sealed: no connection exists yet.
fn verifier_location(user: UserId) -> SecretLocation {
    SecretLocation {
        user,
        connection: ConnectionId::from_bytes([0; 16]),
        field: "verifier",
    }
}
