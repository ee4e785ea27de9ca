//! What every endpoint shares: problems, the caller, extractors, limits, idempotency, and the layers around a router.

pub mod caller;
pub mod extract;
pub mod idempotency;
pub mod layers;
pub mod limits;
pub mod page;
pub mod problem;
pub mod sync;
pub mod token;
pub mod trail;
pub mod views;

pub use caller::Caller;
pub use extract::{Id, Json, Query};
pub use layers::{alias, service};
pub use problem::{Problem, ProblemType, Problems};

/// The answer of an endpoint.
pub type Answer<T> = Result<T, Problem>;
