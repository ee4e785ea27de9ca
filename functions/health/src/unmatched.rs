//! Requests that no route matches: API Gateway leads them here, so that they too are answered with a problem.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::response::{IntoResponse, Response};
use shared::http::{Problem, ProblemType};

use crate::paths::PATHS;

/// Returns 405 with the methods of the path if the API has it, else 404 (RFC 9110 15.5.6).
pub async fn unmatched(request: Request) -> Response {
    let path: Vec<&str> = request.uri().path().split('/').collect();
    let matches = |pattern: &str| {
        let mut segments = pattern.split('/');
        pattern.split('/').count() == path.len()
            && path.iter().all(|segment| match segments.next() {
                Some(parameter) if parameter.starts_with('{') => !segment.is_empty(),
                literal => literal == Some(*segment),
            })
    };
    let allowed = PATHS.iter().filter(|(pattern, _)| matches(pattern));
    // A path without a parameter comes before one with it: `/events/upcoming` is not an event.
    let Some((_, methods)) = allowed.min_by_key(|(pattern, _)| pattern.matches('{').count()) else {
        return Problem::not_found().into_response();
    };
    let mut response = Problem::new(ProblemType::MethodNotAllowed).into_response();
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(methods));
    response
}
