//! Invokes a function's router without the Lambda runtime.

use std::sync::Arc;

use axum::Router;
use calweave_http::HandlerState;
use lambda_runtime::LambdaEvent;
use utoipa_axum::router::OpenApiRouter;

use crate::boot::router;

/// Handles API Gateway events with a router, for the local gateway.
#[derive(Clone)]
pub struct InProcess(Arc<tokio::sync::Mutex<Router>>);

impl InProcess {
    /// Mounts a function's routes.
    pub fn new<C>(routes: OpenApiRouter<HandlerState<C>>, web: HandlerState<C>) -> Self
    where
        C: Clone + Send + Sync + 'static,
    {
        Self(Arc::new(tokio::sync::Mutex::new(router(routes, web))))
    }

    /// Handles one event (payload format 2.0) and returns the response that Lambda would return.
    ///
    /// # Errors
    /// When the event is not an API Gateway event.
    pub async fn invoke(
        &self,
        event: serde_json::Value,
    ) -> Result<serde_json::Value, serde_json::Error> {
        self.invoke_until(event, 0).await
    }

    /// As [`InProcess::invoke`], with the time at which Lambda would end the invocation, in Unix milliseconds.
    ///
    /// # Errors
    /// When the event is not an API Gateway event.
    pub async fn invoke_until(
        &self,
        event: serde_json::Value,
        ends_at: u64,
    ) -> Result<serde_json::Value, serde_json::Error> {
        use lambda_http::Service;
        let request: lambda_http::request::LambdaRequest = serde_json::from_value(event)?;
        let router = self.0.lock().await.clone();
        // The adapter itself cannot be held across an await point; the future that it returns can.
        let mut context = lambda_http::Context::default();
        context.deadline = ends_at;
        let answer = lambda_http::Adapter::from(router).call(LambdaEvent::new(request, context));
        match answer.await {
            Ok(answer) => serde_json::to_value(answer),
            Err(never) => match never {},
        }
    }
}
