//! Calweave on one machine: what `cargo run` starts, and what the tests run on.
//!
//! - [`runner`]: the gateway, the functions behind it, the queue's worker and the schedules, as `template.yaml` has them.
//! - [`aws`]: DynamoDB, KMS and SQS as emulators in this process.
//! - [`demo`]: a user, a feed and a page to try two-way sync in the browser.
//!
//! The providers are a crate of their own, `sandboxes`.

pub mod aws;
pub mod demo;
pub mod runner;

pub use aws::{emulators, services};
pub use runner::{functions, gateway, openapi, stack, template};

/// The template that this build was made with.
pub const TEMPLATE: &str = include_str!("../../template.yaml");
