//! The providers on one machine: a Google and a Microsoft for development and tests, as strict and as odd as the real ones are
//! reported to be. Each has its sign-in, its API, its push notifications, a page to look at, and controls below `/sandbox/` by
//! which a test makes it fail. `docs/google.md` and `docs/microsoft.md` say how sure each assumption is.

mod forms;
pub mod google;
pub mod microsoft;
mod parts;
