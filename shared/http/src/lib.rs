//! What all endpoints share: problems, authentication, extractors, rate limits, idempotency, and middleware layers.

pub mod audit;
pub mod caller;
mod context;
pub mod deadline;
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
pub use caller::{Bearer, Caller};
pub use context::{HandlerState, HttpContext};
pub use extract::{Id, Json, Query};
pub use layers::{alias, service};
pub use problem::{Problem, ProblemType, Problems};

/// The result of a handler.
pub type ApiResult<T> = Result<T, Problem>;

/// A router state that the extractors of this crate accept.
pub trait HttpState: AsRef<HttpContext> + Send + Sync {}

impl<S: AsRef<HttpContext> + Send + Sync> HttpState for S {}
