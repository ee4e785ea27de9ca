//! Reading, creating, changing and removing events, and responding to invitations.
//!
//! A change is stored first. The worker then writes it to the provider; the `push` functions wait for that up to a
//! limit that the caller gives.

mod apply;
mod draft;
mod edits;
mod overrides;
mod read;
mod recurrence;
mod respond;
mod times;
mod write;

pub use draft::{EventDraft, WhenInexpressible};
pub use edits::{EditOptions, change_event, create_event, remove_event, retry_edit};
pub use overrides::realign_overrides;
pub use read::{ReadEvent, read_event};
pub use respond::{Reply, push_reply, respond};
pub use write::{
    Create, Created, Precondition, Removed, Update, UpdatedEvent, create, push_removal, remove,
    retry, update,
};
