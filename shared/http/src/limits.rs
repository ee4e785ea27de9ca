//! Rate limits. The strict limits are counted in DynamoDB for all instances. The broad limit per client address is
//! counted in memory and written in steps, so that not every request costs a write.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::caller::Caller;
use super::origin::RequestOrigin;
use super::problem::{Problem, ProblemType};
use super::{HttpContext, HttpState};

/// A rate limit: at most `quota` calls in a window of `seconds`.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitPolicy {
    /// Name in the response headers and in storage keys.
    pub name: &'static str,
    /// Maximum number of calls in a window.
    pub quota: u64,
    /// Length of the window, in seconds.
    pub seconds: i64,
}

/// All calls, per client address.
pub const EVERYTHING: RateLimitPolicy = RateLimitPolicy {
    name: "everything",
    quota: 100,
    seconds: 60,
};
/// Signing up and signing in, per client address.
pub const SIGN_IN: RateLimitPolicy = RateLimitPolicy {
    name: "sign-in",
    quota: 30,
    seconds: 60,
};
/// Requesting a sync, per user.
pub const SYNC: RateLimitPolicy = RateLimitPolicy {
    name: "sync",
    quota: 5,
    seconds: 60,
};
/// Beginning to link an account, per user.
pub const OAUTH: RateLimitPolicy = RateLimitPolicy {
    name: "oauth",
    quota: 10,
    seconds: 60,
};
/// Writing events and slots, per user.
pub const EVENT_WRITES: RateLimitPolicy = RateLimitPolicy {
    name: "event-writes",
    quota: 30,
    seconds: 60,
};
/// Validating, connecting and changing feeds, per user. Each of these calls fetches a URL.
pub const FEEDS: RateLimitPolicy = RateLimitPolicy {
    name: "feeds",
    quota: 20,
    seconds: 60,
};

/// Number of calls that are counted in memory before they are written.
const STEP: u64 = 10;
/// Maximum number of addresses that are counted in memory. Calls from further addresses are not limited.
const MAX_ADDRESSES: usize = 10_000;

/// The status of a rate limit for one subject.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitStatus {
    policy: RateLimitPolicy,
    used: u64,
    reset: i64,
}

impl RateLimitStatus {
    fn is_over(&self) -> bool {
        self.used > self.policy.quota
    }

    /// Sets the `RateLimit` and `RateLimit-Policy` headers (draft-ietf-httpapi-ratelimit-headers).
    pub fn write(&self, headers: &mut HeaderMap) {
        let RateLimitPolicy {
            name,
            quota,
            seconds,
        } = self.policy;
        let left = quota.saturating_sub(self.used);
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set(
            "ratelimit-policy",
            format!("\"{name}\";q={quota};w={seconds}"),
        );
        set("ratelimit", format!("\"{name}\";r={left};t={}", self.reset));
    }

    fn check(self) -> Result<Self, (Self, Problem)> {
        if self.is_over() {
            let RateLimitPolicy { quota, seconds, .. } = self.policy;
            let problem = Problem::because(
                ProblemType::RateLimited,
                format!("at most {quota} requests in {seconds} seconds"),
            );
            return Err((self, problem.retry_after(self.reset)));
        }
        Ok(self)
    }
}

/// Returns the start of the window that contains `now`, and the seconds until its end.
fn window(policy: RateLimitPolicy, now: i64) -> (i64, i64) {
    let start = now - now.rem_euclid(policy.seconds);
    (start, start + policy.seconds - now)
}

async fn count(
    http: &HttpContext,
    policy: RateLimitPolicy,
    subject: &str,
) -> Result<RateLimitStatus, Problem> {
    let (start, reset) = window(policy, http.clock.now().timestamp());
    let used = http
        .store
        .count_calls(policy.name, subject, start, policy.seconds, 1)
        .await?;
    Ok(RateLimitStatus {
        policy,
        used,
        reset,
    })
}

macro_rules! limited {
    ($(#[$doc:meta])* $name:ident, $policy:expr, caller) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl<S: HttpState> FromRequestParts<S> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let subject = Caller::from_request_parts(parts, state).await?.user().to_string();
                strictly(state.as_ref(), parts, $policy, &subject).await.map(|()| Self)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $policy:expr, address) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl<S: HttpState> FromRequestParts<S> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
                let subject = parts.extensions.get::<RequestOrigin>().map(|origin| origin.ip.clone()).unwrap_or_default();
                strictly(state.as_ref(), parts, $policy, &subject).await.map(|()| Self)
            }
        }
    };
}

limited!(
    /// Extractor that enforces [`SYNC`].
    SyncLimit, SYNC, caller
);
limited!(
    /// Extractor that enforces [`OAUTH`].
    OAuthLimit, OAUTH, caller
);
limited!(
    /// Extractor that enforces [`EVENT_WRITES`].
    EventWriteLimit, EVENT_WRITES, caller
);
limited!(
    /// Extractor that enforces [`FEEDS`].
    FeedLimit, FEEDS, caller
);
limited!(
    /// Extractor that enforces [`SIGN_IN`].
    SignInLimit, SIGN_IN, address
);

/// Counts a call under a strict policy. The response headers then show the status of that policy.
async fn strictly(
    http: &HttpContext,
    parts: &Parts,
    policy: RateLimitPolicy,
    subject: &str,
) -> Result<(), Problem> {
    if !http.config.rate_limits {
        return Ok(());
    }
    let status = count(http, policy, subject).await?;
    if let Some(rate_limit_headers) = parts.extensions.get::<RateLimitHeaders>() {
        rate_limit_headers.set(status);
    }
    status.check().map(drop).map_err(|(_, problem)| problem)
}

/// The status of a strict policy, which replaces that of the broad limit in the response headers.
#[derive(Clone, Debug, Default)]
pub struct RateLimitHeaders(std::sync::Arc<Mutex<Option<RateLimitStatus>>>);

impl RateLimitHeaders {
    fn set(&self, status: RateLimitStatus) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
    }

    /// Takes the status; `None` when no strict policy was applied.
    pub fn take(&self) -> Option<RateLimitStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Counts the calls of each client address in memory, and writes the counts in steps.
#[derive(Debug, Default)]
pub struct LocalCounter(Mutex<HashMap<String, WindowCount>>);

#[derive(Clone, Copy, Debug, Default)]
struct WindowCount {
    window: i64,
    /// Calls that are counted in memory and not written yet.
    pending: u64,
    /// Calls of all instances, as of the last write.
    known: u64,
}

impl LocalCounter {
    /// Counts a call from `address`.
    ///
    /// # Errors
    /// The status and the problem, when the limit is exceeded.
    pub async fn count(
        &self,
        http: &HttpContext,
        address: &str,
    ) -> Result<RateLimitStatus, (RateLimitStatus, Problem)> {
        let policy = EVERYTHING;
        let (start, reset) = window(policy, http.clock.now().timestamp());
        let (used, flush) = self.add(address, start);
        let mut status = RateLimitStatus {
            policy,
            used,
            reset,
        };
        if flush {
            match http
                .store
                .count_calls(policy.name, address, start, policy.seconds, STEP)
                .await
            {
                Ok(known) => {
                    self.flushed(address, start, known);
                    status.used = status.used.max(known);
                }
                // A failure to count does not block the request; the strict limits still apply.
                Err(error) => {
                    tracing::warn!(error.chain = %calweave_base::error_chain::Chain(&error), "could not count the calls of an address");
                }
            }
        }
        status.check()
    }

    fn add(&self, address: &str, window: i64) -> (u64, bool) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() >= MAX_ADDRESSES {
            steps.retain(|_, step| step.window == window);
        }
        if steps.len() >= MAX_ADDRESSES && !steps.contains_key(address) {
            return (1, false);
        }
        let step = steps.entry(address.to_owned()).or_default();
        if step.window != window {
            *step = WindowCount {
                window,
                ..WindowCount::default()
            };
        }
        step.pending += 1;
        let used = step.known + step.pending;
        let flush = step.pending >= STEP;
        if flush {
            step.pending -= STEP;
            step.known += STEP;
        }
        (used, flush)
    }

    fn flushed(&self, address: &str, window: i64, known: u64) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = steps.get_mut(address).filter(|step| step.window == window) {
            step.known = step.known.max(known);
        }
    }
}
