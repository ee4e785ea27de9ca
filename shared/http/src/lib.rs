//! What every endpoint shares: problems, the caller, extractors, limits, idempotency, and the layers around a router.

pub mod audit;
pub mod caller;
mod context;
pub mod extract;
pub mod idempotency;
pub mod layers;
pub mod limits;
pub mod origin;
pub mod page;
pub mod problem;
pub mod sync;
pub mod token;
pub mod views;

pub use audit::AuditLog;
pub use caller::Caller;
pub use context::{HandlerState, HttpContext};
pub use extract::{Id, Json, Query};
pub use layers::{alias, service};
pub use problem::{Problem, ProblemType, Problems};

/// The answer of an endpoint.
pub type ApiResult<T> = Result<T, Problem>;

/// A state that extractors can work with.
pub trait HttpState: AsRef<HttpContext> + Send + Sync {}

impl<S: AsRef<HttpContext> + Send + Sync> HttpState for S {}
