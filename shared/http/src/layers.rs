//! The middleware of every router: request id, log line, rate limits, idempotency, problems, CORS and security headers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::{Instrument, info, info_span};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::deadline;
use super::idempotency;
use super::limits::{LocalCounter, RateLimitHeaders};
use super::origin::RequestOrigin;
use super::problem::{Problem, ProblemType};
use super::{HandlerState, HttpContext};

/// Maximum size of a request body, in bytes.
const MAX_BODY: usize = 256 << 10;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Builds a function's router: its routes with all layers.
pub fn service<C>(routes: OpenApiRouter<HandlerState<C>>, web: HandlerState<C>) -> Router
where
    C: Clone + Send + Sync + 'static,
{
    let (router, _) = routes.split_for_parts();
    let http = web.http.clone();
    let cors = cors(&http.config.cors_origins);
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::new(ProblemType::MethodNotAllowed) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(deadline::layer))
        .layer(middleware::from_fn_with_state(
            http.clone(),
            idempotency::layer,
        ))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::new(ProblemType::Internal).into_response()
        }))
        .layer(middleware::from_fn_with_state(
            (http.clone(), Arc::<LocalCounter>::default()),
            limit,
        ))
        .layer(cors)
        .layer(middleware::from_fn_with_state(http, frame))
        .with_state(web)
}

/// Mounts an endpoint at another path, in the router and in the OpenAPI document. The operation id ends with the path there, as
/// in `signUpAtRegister`.
pub fn alias<S>(
    (schemas, mut paths, methods): UtoipaMethodRouter<S>,
    path: &str,
) -> UtoipaMethodRouter<S> {
    let path_below_version = path.strip_prefix("/api/v1").unwrap_or(path);
    let words = path_below_version.split(|c: char| !c.is_ascii_alphanumeric());
    let capitalized = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    let suffix: String = words.map(capitalized).collect();
    for (_, mut item) in std::mem::take(&mut paths.paths) {
        for operation in [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ]
        .into_iter()
        .flatten()
        {
            if let Some(id) = &mut operation.operation_id {
                id.push_str("At");
                id.push_str(&suffix);
            }
        }
        paths.paths.insert(path.to_owned(), item);
    }
    (schemas, paths, methods)
}

/// The outermost layer: logs each request once, and writes problem bodies, the request id and security headers.
async fn frame(State(http): State<HttpContext>, mut request: Request, next: Next) -> Response {
    let origin = request.extensions().get::<RequestOrigin>().cloned();
    let origin = origin.unwrap_or_default();
    let (method, route) = (
        request.method().clone(),
        request
            .extensions()
            .get::<MatchedPath>()
            .map(|path| path.as_str().to_owned()),
    );
    let route = route.unwrap_or_else(|| "unknown".to_owned());
    let rate_limit_headers = RateLimitHeaders::default();
    request.extensions_mut().insert(rate_limit_headers.clone());
    let started = http.clock.now();
    let span = info_span!("request", request.id = %origin.request_id);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let headers = std::mem::take(response.headers_mut());
        let body = serde_json::to_string(&problem.body(&origin.request_id)).unwrap_or_default();
        let status = response.status();
        response = Response::new(Body::from(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        // It is the length of the empty body that the problem replaces.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if let Some(status) = rate_limit_headers.take() {
        status.write(response.headers_mut());
    }
    secure(response.headers_mut(), &origin);
    let millis = (http.clock.now() - started).num_milliseconds();
    let status = response.status().as_u16();
    span.in_scope(
        || info!(http.method = %method, http.route = route, http.status = status, duration_ms = millis, "{method} {route} {status}"),
    );
    response
}

fn secure(headers: &mut HeaderMap, origin: &RequestOrigin) {
    let always = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::STRICT_TRANSPORT_SECURITY,
            "max-age=31536000; includeSubDomains",
        ),
    ];
    for (name, value) in always {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(
            "default-src 'none'; frame-ancestors 'none'",
        ));
    if let Ok(id) = HeaderValue::from_str(&origin.request_id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Applies the broad limit per client address. Health checks are not counted, and neither are notifications of
/// providers: they come in bursts from few addresses, and each is verified by its secret.
async fn limit(
    State((http, steps)): State<(HttpContext, Arc<LocalCounter>)>,
    request: Request,
    next: Next,
) -> Response {
    let address = request
        .extensions()
        .get::<RequestOrigin>()
        .map(|origin| origin.ip.clone())
        .unwrap_or_default();
    let route = request.extensions().get::<MatchedPath>();
    let is_uncounted = route.is_some_and(|route| UNCOUNTED.contains(&route.as_str()));
    if !http.config.rate_limits || address.is_empty() || is_uncounted {
        return next.run(request).await;
    }
    match steps.count(&http, &address).await {
        Ok(status) => {
            let mut response = next.run(request).await;
            status.write(response.headers_mut());
            response
        }
        Err((status, problem)) => {
            let mut response = problem.into_response();
            status.write(response.headers_mut());
            response
        }
    }
}

/// The routes that the broad limit does not count.
const UNCOUNTED: [&str; 7] = [
    "/health",
    "/api/v1/health/live",
    "/api/v1/health/ready",
    "/api/v1/calendar/webhooks/google",
    "/api/v1/webhooks/google-calendar",
    "/api/v1/calendar/webhooks/microsoft",
    "/api/v1/calendar/webhooks/microsoft/lifecycle",
];

/// Returns the CORS layer, which allows the configured origins only. Tokens are sent in a header; credentials are
/// allowed for the one cookie that binds an OAuth authorization to its browser.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect();
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        HeaderName::from_static("idempotency-key"),
    ];
    let read = [
        "etag",
        "ratelimit",
        "ratelimit-policy",
        "retry-after",
        "x-request-id",
        "idempotency-replayed",
    ]
    .map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods(methods)
        .allow_headers(sent)
        .expose_headers(read)
        .allow_credentials(true)
        .max_age(Duration::from_secs(600))
}

/// Returns `304 Not Modified` when `If-None-Match` contains `etag`, else the response with its `ETag` (RFC 9110
/// 13.1.2).
pub fn conditional(headers: &HeaderMap, etag: &str, answer: impl IntoResponse) -> Response {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("");
    let matches = known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*");
    let mut response = if matches {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        answer.into_response()
    };
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    response
}
