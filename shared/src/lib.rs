//! Everything that more than one function of Calweave needs, in floors: a module uses only modules on lower floors.
//! `docs/architecture.md` draws them, and a test holds it.

pub mod agenda;
pub mod app;
pub mod boot;
pub mod clock;
pub mod config;
pub mod domain;
pub mod error_chain;
pub mod http;
pub mod providers;
pub mod queue;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod vault;
