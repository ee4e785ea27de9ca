//! Why a use case was refused, or could not be carried out.

use calweave_domain::field::FieldError;
use calweave_store::StoreError;
use calweave_store::queue::QueueError;
use calweave_vault::VaultError;

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A table, the vault or the queue did not answer.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// DynamoDB did not answer.
    #[error("could not use the tables")]
    Store(#[from] StoreError),
    /// KMS or the vault table did not answer, or a sealed secret did not open.
    #[error("could not use the vault")]
    Vault(#[from] VaultError),
    /// SQS did not answer.
    #[error("could not use the queue")]
    Queue(#[from] QueueError),
}

/// Why a use case was refused, or could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It does not exist, or belongs to somebody else.
    #[error("not found")]
    NotFound,
    /// The calendar or event can only be read; the text says why.
    #[error("read-only: {0}")]
    ReadOnly(String),
    /// Fields have values that cannot be used.
    #[error("invalid: {0}")]
    Invalid(FieldErrors),
    /// It contradicts what is stored; the text says how.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The event has changed since the caller read it.
    #[error("the event has changed since it was read")]
    Changed,
    /// Concurrent writers won every attempt.
    #[error("concurrent writers changed it at every attempt")]
    Contended,
    /// The address of a feed cannot be used; the text is for whoever gave it.
    #[error("the feed cannot be used: {0}")]
    FeedUnusable(String),
    /// This deployment is not registered with the provider; the text says what to configure.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The deployment's own configuration is at fault; the text is for the operator.
    #[error("misconfigured: {0}")]
    Misconfigured(String),
    /// A table, the vault or the queue did not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

macro_rules! backend {
    ($($error:ty),+) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Backend(error.into())
            }
        })+
    };
}

backend!(StoreError, VaultError, QueueError);

impl Error {
    /// One field cannot be used.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors(vec![FieldError::new(field, message)]))
    }
}

/// Everything that is wrong with a request, collected so that all of it is reported at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// Adds what is wrong with a field.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    /// `value`, or everything that is wrong.
    ///
    /// # Errors
    /// [`Error::Invalid`] when anything was added.
    pub fn or<T>(self, value: T) -> Result<T> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(Error::Invalid(self))
        }
    }
}

impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, FieldError { field, message }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{field} {message}")?;
        }
        Ok(())
    }
}
