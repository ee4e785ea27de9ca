//! Journeys through the gateway, the AWS SDK and emulators; contracts between template, code and documents;
//! simulations; and test data of other calendar systems.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]
#![expect(
    clippy::too_many_lines,
    reason = "a journey is one scenario, step by step"
)]

mod conformance;
mod contracts;
mod costs;
mod data;
mod harness;
mod journeys;
mod reports;
mod sandboxes;
mod simulations;
mod wire;
