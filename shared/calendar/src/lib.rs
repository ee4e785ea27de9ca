//! The use cases. A function extracts a request, calls one of these, and renders the result; whatever else changes or
//! reads calendars for a person calls the same functions.
//!
//! Nothing here knows HTTP. A refusal is a value of [`Error`] that says what kind it is and which field is to blame.
//! Every use case fails with [`Error::Backend`] when a table, the vault or the queue does not answer.

pub mod accounts;
pub mod agenda;
pub mod calendars;
mod context;
mod error;
pub mod events;
pub mod feeds;
pub mod removal;
pub mod slots;
pub mod sync_requests;

pub use calweave_domain::field::FieldError;
pub use context::{AccountContext, Context, EventContext, FeedContext};
pub use error::{BackendError, Error, FieldErrors, Result};
