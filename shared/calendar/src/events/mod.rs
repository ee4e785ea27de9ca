//! Reading, creating, changing and removing events, and answering invitations.
//!
//! A change is stored first and then written to the provider by the worker; a use case waits for that as long as its caller
//! asks it to.

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
