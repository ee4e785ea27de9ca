//! The facade that functions depend on. It re-exports the crates of `shared`, which form layers: each crate uses only
//! crates of lower layers (see `docs/architecture.md`).

pub mod boot;
pub mod in_process;
pub mod roles;
pub mod setup;

pub use calweave_base::{clock, config, error_chain, telemetry};
pub use calweave_calendar as calendar;
pub use calweave_domain as domain;
pub use calweave_egress as egress;
pub use calweave_feeds as feeds;
pub use calweave_http as http;
pub use calweave_providers as providers;
pub use calweave_store as store;
pub use calweave_store::queue;
pub use calweave_sync as sync;
pub use calweave_vault as vault;
