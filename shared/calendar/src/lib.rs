//! The use cases of the API. A handler extracts a request, calls one use case, and renders the result.
//!
//! This crate does not depend on HTTP. A refusal is an [`Error`] with its kind and, where it applies, the invalid
//! fields. Every use case fails with [`Error::Backend`] when a table, the vault or the queue does not answer.

pub mod accounts;
pub mod agenda;
pub mod calendars;
mod context;
mod error;
pub mod events;
pub mod feeds;
pub mod filter;
pub mod quotas;
pub mod removal;
pub mod slots;
pub mod sync_requests;

pub use calweave_domain::field::FieldError;
pub use context::{AccountContext, Context, EventContext, FeedContext, LinkContext};
pub use error::{BackendError, Error, FieldErrors, Result};
