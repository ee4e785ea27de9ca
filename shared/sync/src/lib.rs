//! The sync engine: keeps the copy of each calendar fresh, and writes local changes to its provider. Knows nothing of HTTP.
//!
//! Every call fails with [`SyncError`] when a table, the vault or the queue does not answer; the message that led to it should
//! then be received again. `docs/sync.md` follows a pull, a write and a notification through these files.

mod account;
mod context;
mod discover;
mod engine;
mod erase;
mod feed;
mod names;
mod occurrences;
mod plan;
mod pull;
mod push;
mod reconciliation;
mod removal;
mod schedule;
mod stop;
mod throttle;
mod unlink;
mod watch;

pub use context::{ScheduleContext, SyncContext};
pub use engine::{SyncOutcome, sync_calendar};
pub use erase::{erase_account, erase_calendar};
pub use schedule::{refresh_due, refresh_tokens, renew_channels, resume_erasures};

use calweave_calendar::BackendError;
use calweave_store::StoreError;
use calweave_store::queue::QueueError;
use calweave_vault::VaultError;

/// A sync could not be carried out for reasons of our own; a provider's failure is no error but an outcome.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A table, the vault or the queue did not answer.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Concurrent writers won every attempt to write an event.
    #[error("concurrent writers changed an event at every attempt")]
    Contended,
    /// Another worker holds the lease; what was written is what its run would have written too.
    #[error("lost the lease of the calendar")]
    LeaseLost,
}

macro_rules! backend {
    ($($error:ty),+) => {
        $(impl From<$error> for SyncError {
            fn from(error: $error) -> Self {
                Self::Backend(error.into())
            }
        })+
    };
}

backend!(StoreError, VaultError, QueueError);

/// The warning about an event that is left out because it does not fit into an item.
fn too_large(event: &calweave_domain::event::Event) -> String {
    let title: String = event.details.title.chars().take(60).collect();
    format!("{title:?} is too large to be stored; it is not shown.")
}
