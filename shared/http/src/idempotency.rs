//! `Idempotency-Key`: a mutation that is sent twice with the same key is processed once, and both requests get the same
//! response.
//!
//! Applies to authenticated requests only, and not to endpoints that issue tokens, because tokens are never stored.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calweave_store::idempotency::StoredResponse;
use http_body_util::BodyExt;

use super::HttpContext;
use super::caller::Caller;
use super::problem::{Problem, ProblemType};

/// Request header with the client's key, 1 to 255 characters.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Maximum size of a stored response body, in bytes.
const MAX_KEPT: usize = 256 << 10;

/// Middleware that handles the `Idempotency-Key` header.
pub async fn layer(State(http): State<HttpContext>, request: Request, next: Next) -> Response {
    let mutation = matches!(
        *request.method(),
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    );
    let issues_tokens = request.uri().path().starts_with("/api/v1/auth/");
    match request.headers().get(KEY).cloned() {
        Some(key) if mutation && !issues_tokens => once(&http, key, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        _ => next.run(request).await,
    }
}

async fn once(
    http: &HttpContext,
    key: HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if key.is_empty() || key.len() > 255 {
        return Err(Problem::field(
            "Idempotency-Key",
            "must have 1 to 255 characters",
        ));
    }
    let (mut parts, body) = request.into_parts();
    // Not authenticated: the endpoint itself returns the error.
    let Ok(caller) = Caller::from_request_parts(&mut parts, http).await else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let body = body
        .collect()
        .await
        .map_err(|_| Problem::new(ProblemType::TooLarge))?
        .to_bytes();
    let key = hash(&[key.as_bytes()]);
    let request_hash = hash(&[
        parts.method.as_str().as_bytes(),
        parts.uri.to_string().as_bytes(),
        &body,
    ]);
    if let Some(earlier) = http
        .store
        .claim_idempotency(caller.user(), &key, &request_hash)
        .await?
    {
        if earlier.request_hash != request_hash {
            return Err(Problem::because(
                ProblemType::IdempotencyConflict,
                "this key was used for another request",
            ));
        }
        return match earlier.answer {
            Some(answer) => Ok(replay(answer)),
            None => Err(Problem::because(
                ProblemType::IdempotencyConflict,
                "the first request with this key is not finished",
            )
            .retry_after(1)),
        };
    }
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(http, caller, &key, &request_hash, response).await
}

async fn keep(
    http: &HttpContext,
    caller: Caller,
    key: &str,
    request_hash: &str,
    response: Response,
) -> Result<Response, Problem> {
    let status = response.status();
    // Server errors, rate limits and other problems are not stored: the client can retry with the same key.
    if status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || response.extensions().get::<Problem>().is_some()
    {
        http.store.release_idempotency(caller.user(), key).await?;
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body: Bytes = body
        .collect()
        .await
        .map_err(|_| Problem::new(ProblemType::Internal))?
        .to_bytes();
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    match std::str::from_utf8(&body) {
        Ok(text) if text.len() <= MAX_KEPT => {
            let answer = StoredResponse {
                status: status.as_u16(),
                content_type,
                body: text.to_owned(),
            };
            http.store
                .store_response(caller.user(), key, request_hash, answer)
                .await?;
        }
        _ => http.store.release_idempotency(caller.user(), key).await?,
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: StoredResponse) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    if let Some(content_type) = answer
        .content_type
        .and_then(|text| HeaderValue::from_str(&text).ok())
    {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn hash(parts: &[&[u8]]) -> String {
    let all = parts.join(&b"\n"[..]);
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &all))
}
