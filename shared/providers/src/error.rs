//! Why a call of a provider failed, and what to do about it.

use std::fmt;
use std::time::Duration;

/// A call of a provider failed.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No answer, or the connection broke.
    #[error("could not reach {provider}")]
    Unreachable {
        /// Whom.
        provider: &'static str,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Something failed over there.
    #[error("{provider} answered {status}")]
    ServerError {
        /// Who.
        provider: &'static str,
        /// HTTP status.
        status: u16,
    },
    /// Too many calls.
    #[error("{provider} wants to be called less often ({reason})")]
    Throttled {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
        /// How long to wait, where it is said.
        retry_after: Option<Duration>,
    },
    /// The access token is not taken.
    #[error("{provider} does not take the access token")]
    Unauthorized {
        /// Who.
        provider: &'static str,
    },
    /// The grant is gone: the person has to grant anew.
    #[error("{provider} does not accept the grant any more: {reason}")]
    GrantRevoked {
        /// Who.
        provider: &'static str,
        /// The provider's word for it.
        reason: String,
    },
    /// The position is too old: everything has to be read again.
    #[error("{provider} has forgotten what was read before")]
    SyncStateExpired {
        /// Who.
        provider: &'static str,
    },
    /// It has changed since the version that the call named.
    #[error("the event was changed at {provider} meanwhile")]
    PreconditionFailed {
        /// Who.
        provider: &'static str,
    },
    /// The id is taken already.
    #[error("{provider} has an event of this id already")]
    AlreadyExists {
        /// Who.
        provider: &'static str,
    },
    /// It is not there, or not any more.
    #[error("{provider} does not know it")]
    NotFound {
        /// Who.
        provider: &'static str,
    },
    /// The calendar cannot be watched.
    #[error("{provider} does not push changes of this calendar")]
    PushUnsupported {
        /// Who.
        provider: &'static str,
    },
    /// Anything else that was refused: trying again changes nothing.
    #[error("{provider} refused: {message} ({reason})")]
    Refused {
        /// Who.
        provider: &'static str,
        /// Why.
        reason: Refusal,
        /// The provider's explanation.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{provider} answered something that cannot be read: {detail}")]
    Malformed {
        /// Who.
        provider: &'static str,
        /// What.
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

/// What to do about a failure. Whoever drives a provider decides by this and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Try again, not before the time that is given.
    Retry(Option<Duration>),
    /// Renew the access token, once.
    RefreshToken,
    /// Read everything anew.
    FullSync,
    /// The person has to grant anew.
    Reconnect,
    /// Nothing: it was refused for good.
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

/// The answer of a provider.
pub type Result<T> = std::result::Result<T, ProviderError>;
