//! Calweave on one machine, for `cargo run` and for tests.
//!
//! - [`runner`]: the gateway, the functions behind it, the queue's worker and the schedules, as
//!   defined in `template.yaml`.
//! - [`aws`]: DynamoDB, KMS and SQS as emulators in this process.
//! - [`live_check`]: asks a real provider what Calweave assumes about it.
//! - [`demo`]: a user, a feed and a page to try two-way sync in the browser.
//!
//! The provider sandboxes are in a separate crate, `sandboxes`.

pub mod aws;
pub mod demo;
pub mod live_check;
pub mod runner;

pub use aws::{emulators, services};
pub use runner::{functions, gateway, openapi, stack, template};

/// The template that is compiled into this build.
pub const TEMPLATE: &str = include_str!("../../template.yaml");
