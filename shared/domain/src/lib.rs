//! The domain model of Calweave, without async code, AWS or HTTP.

pub mod account;
pub mod agenda;
pub mod calendar;
pub mod connection;
pub mod content;
mod content_lines;
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
pub mod own_zone;
mod periods;
#[cfg(test)]
mod properties;
pub mod recurrence;
pub mod rule;
mod rule_parser;
pub mod secret;
pub mod slot;
mod starts;
pub mod sync_state;
pub mod time;
pub mod work;
pub mod zones;
