//! How long an answer waits for the provider.

use std::time::Duration;

use serde::Deserialize;
use shared::http::{ApiResult, Problem};
use utoipa::IntoParams;

/// Seconds, unless the caller says otherwise.
const DEFAULT: u64 = 8;
/// A gateway gives up after 30.
const MAX: u64 = 25;

/// How long to wait.
#[derive(Clone, Copy, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Seconds to wait for the provider, at most 25; 8 unless given, 0 for not at all.
    #[serde(default)]
    wait: Option<u64>,
}

impl WaitQuery {
    /// As a duration.
    pub fn limit(self) -> ApiResult<Duration> {
        limit(self.wait)
    }
}

/// As a duration.
pub fn limit(wait: Option<u64>) -> ApiResult<Duration> {
    match wait.unwrap_or(DEFAULT) {
        seconds @ 0..=MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(Problem::field("wait", "must be at most 25 seconds")),
    }
}
