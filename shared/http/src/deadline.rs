//! When a function stops to work on a request.

use std::convert::Infallible;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};

use super::problem::{Problem, ProblemType};

/// Work ends this long before Lambda ends the invocation, so that there is a response, and what the request holds is released.
const MARGIN: Duration = Duration::from_millis(1_500);

/// When Lambda ends the invocation that handles a request. The default is that it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestDeadline(Option<Instant>);

impl RequestDeadline {
    /// Reads the deadline of Lambda's context, in Unix milliseconds. One in the past means that there is none: Lambda begins no
    /// invocation after its end, but a local Runtime API may give any number.
    pub fn from_epoch(ends_at: u64, now: DateTime<Utc>) -> Self {
        let now = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let left = Duration::from_millis(ends_at.saturating_sub(now));
        Self((left > Duration::ZERO).then(|| Instant::now() + left))
    }

    /// Returns a deadline that is earlier by `time`.
    #[must_use]
    pub fn earlier(self, time: Duration) -> Self {
        Self(self.0.map(|at| at.checked_sub(time).unwrap_or(at)))
    }

    /// Works until shortly before the deadline. Returns `None` if the work is not done by then; it is then stopped.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Option<T> {
        let Some(at) = self.0 else {
            return Some(work.await);
        };
        let at = at.checked_sub(MARGIN).unwrap_or(at);
        tokio::time::timeout_at(at.into(), work).await.ok()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestDeadline {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_default())
    }
}

/// Middleware that stops a handler at its deadline.
pub async fn layer(request: Request, next: Next) -> Response {
    let deadline = request.extensions().get::<RequestDeadline>().copied();
    match deadline.unwrap_or_default().limit(next.run(request)).await {
        Some(response) => response,
        None => {
            let detail = "the request took too long; its work may be done in part";
            Problem::because(ProblemType::Unavailable, detail)
                .retry_after(5)
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_in_the_past_is_none() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for ends_at in [0, 600_000, 1_799_999_999_000] {
            assert!(RequestDeadline::from_epoch(ends_at, now).0.is_none());
        }
        assert!(
            RequestDeadline::from_epoch(1_800_000_029_000, now)
                .0
                .is_some()
        );
    }
}
