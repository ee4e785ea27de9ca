//! Journeys through the real gateway, SDK and emulators; contracts between template, code and documents; simulations;
//! and the data that other calendar systems are tested with.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod contracts;
mod data;
mod google;
mod journeys;
mod microsoft;
mod properties;
mod sandboxes;
mod side;
mod simulations;
mod world;
