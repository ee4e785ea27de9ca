//! The dependencies of layers and extractors, and the state of a router.

use std::ops::Deref;
use std::sync::Arc;

use calweave_base::clock::Clock;
use calweave_base::config::HttpConfig;
use calweave_store::Store;

/// The dependencies of the layers and extractors of every router.
#[derive(Clone)]
pub struct HttpContext {
    /// Access token keys, CORS origins, and whether rate limits are enabled.
    pub config: Arc<HttpConfig>,
    /// Store of sessions, counters, stored responses and the audit log.
    pub store: Store,
    /// Source of the current time.
    pub clock: Clock,
}

impl AsRef<Self> for HttpContext {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The state of a function's router. Dereferences to the context of its use cases.
#[derive(Clone)]
pub struct HandlerState<C> {
    /// The dependencies of the layers and extractors.
    pub http: HttpContext,
    /// The dependencies of the use cases.
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
