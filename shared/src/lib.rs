//! Everything that more than one function of Calweave needs, in floors: each floor is a crate of its own and uses only
//! crates below it. `docs/architecture.md` draws them.

pub mod agenda;
pub mod app;
pub mod boot;
pub mod http;
pub mod sync;

pub use calweave_base::{clock, config, error_chain, telemetry};
pub use calweave_domain as domain;
pub use calweave_egress as egress;
pub use calweave_feeds as feeds;
pub use calweave_providers as providers;
pub use calweave_store as store;
pub use calweave_store::queue;
pub use calweave_vault as vault;
