//! Fake providers: a Google and a Microsoft that run locally, for development and tests, with the
//! constraints and quirks that are documented or reported for the real ones. Each has sign-in, the
//! calendar API, push notifications, an HTML page, and control endpoints below `/sandbox/` with
//! which a test injects failures. `docs/google.md` and `docs/microsoft.md` list the assumptions,
//! and how certain each one is.

mod forms;
pub mod google;
pub mod microsoft;
mod parts;
