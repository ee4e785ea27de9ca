//! Why a call of a provider failed, and what to do about it.

use std::fmt;
use std::time::Duration;

/// A call of a provider failed. `provider` is the provider's name in sentences.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The request got no response.
    #[error("could not reach {provider}")]
    Unreachable {
        /// The provider.
        provider: &'static str,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The provider failed (5xx).
    #[error("{provider} answered {status}")]
    ServerError {
        /// The provider.
        provider: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// Too many calls (429, or the provider's equivalent).
    #[error("{provider} wants to be called less often ({reason})")]
    Throttled {
        /// The provider.
        provider: &'static str,
        /// The provider's error code.
        reason: String,
        /// The delay that the provider asks for (`Retry-After`).
        retry_after: Option<Duration>,
        /// Whether the limit is one of this deployment, and not of the account.
        is_project_wide: bool,
    },
    /// The access token is not accepted (401).
    #[error("{provider} does not take the access token")]
    Unauthorized {
        /// The provider.
        provider: &'static str,
    },
    /// The grant is revoked or has expired: the account has to be linked again.
    #[error("{provider} does not accept the grant any more: {reason}")]
    GrantRevoked {
        /// The provider.
        provider: &'static str,
        /// The provider's explanation.
        reason: String,
    },
    /// The sync state has expired: a full sync is needed (410).
    #[error("{provider} has forgotten what was read before")]
    SyncStateExpired {
        /// The provider.
        provider: &'static str,
    },
    /// The event has changed since the version that the call named (412).
    #[error("the event was changed at {provider} meanwhile")]
    PreconditionFailed {
        /// The provider.
        provider: &'static str,
    },
    /// An event of this id exists already (409).
    #[error("{provider} has an event of this id already")]
    AlreadyExists {
        /// The provider.
        provider: &'static str,
    },
    /// The resource does not exist (404), or is deleted.
    #[error("{provider} does not know it")]
    NotFound {
        /// The provider.
        provider: &'static str,
    },
    /// The provider does not push changes of this calendar.
    #[error("{provider} does not push changes of this calendar")]
    PushUnsupported {
        /// The provider.
        provider: &'static str,
    },
    /// Any other refusal: a retry changes nothing.
    #[error("{provider} refused: {message} ({reason})")]
    Refused {
        /// The provider.
        provider: &'static str,
        /// The reason.
        reason: Refusal,
        /// The provider's explanation.
        message: String,
    },
    /// The response cannot be read.
    #[error("{provider} answered something that cannot be read: {detail}")]
    Malformed {
        /// The provider.
        provider: &'static str,
        /// What cannot be read.
        detail: String,
    },
}

/// Why a provider refuses a call for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too little was granted to sync anything.
    MissingScopes,
    /// The provider does not accept this deployment's client, such as one whose secret has expired. A matter for the
    /// operator. The text is the provider's error code.
    InvalidClient(String),
    /// This deployment has no client at the provider.
    NotConfigured,
    /// The provider cannot keep the value of this field.
    Field(String),
    /// Any other reason, by the provider's error code.
    Other(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MissingScopes => "missing_scopes",
            Self::NotConfigured => "not configured",
            Self::InvalidClient(code) | Self::Field(code) | Self::Other(code) => code,
        })
    }
}

/// What to do about a failure. Callers decide by this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again, not before this delay.
    Retry(Option<Duration>),
    /// Renew the access token, and try again once.
    RefreshToken,
    /// Do a full sync.
    FullSync,
    /// The owner has to link the account again.
    Reconnect,
    /// Nothing: the refusal is final.
    GiveUp,
}

impl ProviderError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::ServerError { .. } | Self::Malformed { .. } => {
                Remedy::Retry(None)
            }
            Self::Throttled { retry_after, .. } => Remedy::Retry(*retry_after),
            Self::Unauthorized { .. } => Remedy::RefreshToken,
            Self::GrantRevoked { .. } => Remedy::Reconnect,
            Self::SyncStateExpired { .. } => Remedy::FullSync,
            Self::PreconditionFailed { .. }
            | Self::AlreadyExists { .. }
            | Self::NotFound { .. }
            | Self::PushUnsupported { .. }
            | Self::Refused { .. } => Remedy::GiveUp,
        }
    }
}

/// The result of a provider's call.
pub type Result<T> = std::result::Result<T, ProviderError>;
