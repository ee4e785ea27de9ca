//! The `wait` parameter of event writes.

use std::time::Duration;

use serde::Deserialize;
use shared::http::{ApiResult, Problem};
use utoipa::IntoParams;

/// Default limit, in seconds.
const DEFAULT: u64 = 8;
/// Maximum limit, in seconds: API Gateway times out after 30.
const MAX: u64 = 25;

/// The time limit for waiting for the provider.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Seconds to wait for the provider, at most 25. Defaults to 8; 0 does not wait.
    #[serde(default)]
    #[param(minimum = 0, maximum = 25)]
    wait: Option<u64>,
}

impl WaitQuery {
    /// Returns the limit as a duration.
    ///
    /// # Errors
    /// When the limit is more than 25 seconds.
    pub fn limit(self) -> ApiResult<Duration> {
        limit(self.wait)
    }
}

/// Returns a limit in seconds as a duration.
///
/// # Errors
/// When the limit is more than 25 seconds.
pub fn limit(wait: Option<u64>) -> ApiResult<Duration> {
    match wait.unwrap_or(DEFAULT) {
        seconds @ 0..=MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::field("wait", "must be at most 25 seconds")),
    }
}
