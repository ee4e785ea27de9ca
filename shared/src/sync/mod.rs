//! Keeps the copy of a calendar fresh. The only part that joins store, vault and providers.

pub mod access;
mod account;
mod discover;
pub mod edit;
mod engine;
mod erase;
mod feed;
mod names;
mod occurrences;
pub mod plan;
mod pull;
mod push;
mod reconcile;
mod schedule;
mod throttle;
mod watch;

pub use engine::{Synced, push_soon, request_sync, sync_calendar, wait_for};
pub use erase::{disconnect, erase_account, erase_calendar, request_account_erasure};
pub use schedule::{refresh_due, refresh_tokens, renew_channels, resume_erasures};
pub use watch::request_watched;

use crate::queue::QueueError;
use crate::store::StoreError;
use crate::vault::VaultError;

/// A sync could not be carried out for reasons of our own; a provider's failure is no error but an outcome.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The tables did not answer.
    #[error("could not use the tables")]
    Store(#[from] StoreError),
    /// The vault did not answer.
    #[error("could not use the vault")]
    Vault(#[from] VaultError),
    /// The queue did not answer.
    #[error("could not use the queue")]
    Queue(#[from] QueueError),
    /// An event is not any more as it was read.
    #[error("the event is another by now")]
    Changed,
    /// An event was written by somebody else each time that it was to be written.
    #[error("an event is being written over and over again by somebody else")]
    Contended,
    /// Somebody else has taken the lease meanwhile; what was written is what the next run would have written too.
    #[error("lost the lease of the calendar")]
    LeaseLost,
}
