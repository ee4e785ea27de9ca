//! Errors of the use cases.

use calweave_domain::field::FieldError;
use calweave_store::StoreError;
use calweave_store::queue::QueueError;
use calweave_vault::VaultError;

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a table, the vault or the queue.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// DynamoDB did not answer.
    #[error("could not use the tables")]
    Store(#[from] StoreError),
    /// KMS or the vault table did not answer, or a sealed secret could not be opened.
    #[error("could not use the vault")]
    Vault(#[from] VaultError),
    /// SQS did not answer.
    #[error("could not use the queue")]
    Queue(#[from] QueueError),
}

/// Why a use case was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The resource does not exist, or belongs to another user.
    #[error("not found")]
    NotFound,
    /// The calendar or event is read-only; the text is the reason.
    #[error("read-only: {0}")]
    ReadOnly(String),
    /// One or more fields are invalid.
    #[error("invalid: {0}")]
    Invalid(FieldErrors),
    /// The request conflicts with the stored state; the text is the reason.
    #[error("conflict: {0}")]
    Conflict(String),
    /// A quota of the user is used up; the text names it.
    #[error("quota: {0}")]
    Quota(String),
    /// The event has changed since the caller read it.
    #[error("the event has changed since it was read")]
    Changed,
    /// Concurrent writers won every attempt.
    #[error("concurrent writers changed the event at every attempt")]
    Contended,
    /// The address of a feed cannot be used; the text is for the caller.
    #[error("the feed cannot be used: {0}")]
    FeedUnusable(String),
    /// This deployment is not registered with the provider; the text names the missing configuration.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The configuration of this deployment is invalid; the text is for the operator.
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
    /// Creates an [`Error::Invalid`] for one field.
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(FieldErrors(vec![FieldError::new(field, message)]))
    }
}

/// The validation errors of a request, collected so that all of them are reported at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(pub Vec<FieldError>);

impl FieldErrors {
    /// Adds an error for a field. `message` completes a sentence that starts with the field's name.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError::new(field, message));
    }

    /// Returns `value` if there are no errors.
    ///
    /// # Errors
    /// [`Error::Invalid`] with all errors that were added.
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
