//! Journeys through the real gateway, SDK and emulators; contracts between template, code and documents; simulations;
//! and the data that other calendar systems are tested with.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue panics")]
#![expect(
    clippy::too_many_lines,
    reason = "a journey is one story, told from its beginning to its end"
)]

mod conformance;
mod contracts;
mod data;
mod harness;
mod journeys;
mod sandboxes;
mod simulations;
