//! The domain model of Calweave, without async code, AWS or HTTP.

pub mod account;
pub mod agenda;
pub mod calendar;
pub mod connection;
pub mod content;
pub mod coverage;
pub mod details;
pub mod digest;
pub mod event;
pub mod field;
mod generator;
pub mod grant;
pub mod ids;
pub mod link;
pub mod merge;
#[cfg(test)]
mod properties;
pub mod recurrence;
pub mod rule;
pub mod secret;
pub mod slot;
pub mod sync_state;
pub mod time;
pub mod zones;
