//! The base of all other crates: clock, configuration, error chains and logging.

pub mod clock;
pub mod config;
pub mod error_chain;
pub mod telemetry;
