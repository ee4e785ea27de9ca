//! What the layers and extractors of a function hold, beside what its use cases hold.

use std::ops::Deref;
use std::sync::Arc;

use calweave_base::clock::Clock;
use calweave_base::config::HttpConfig;
use calweave_store::Store;

/// For the layers and extractors around every router.
#[derive(Clone)]
pub struct HttpContext {
    /// Keys of access tokens, origins, and whether callers are limited.
    pub config: Arc<HttpConfig>,
    /// Sessions, counters, stored responses, the audit log.
    pub store: Store,
    /// The current time.
    pub clock: Clock,
}

impl AsRef<Self> for HttpContext {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The state of a function's router: what its use cases hold, which it derefs to, and what the layers hold.
#[derive(Clone)]
pub struct HandlerState<C> {
    /// For the layers and extractors.
    pub http: HttpContext,
    /// For the use cases.
    pub context: C,
}

impl<C> Deref for HandlerState<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.context
    }
}

impl<C> AsRef<HttpContext> for HandlerState<C> {
    fn as_ref(&self) -> &HttpContext {
        &self.http
    }
}
