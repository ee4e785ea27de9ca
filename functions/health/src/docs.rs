//! The OpenAPI document, and a page to browse it. All files are compiled into the function; the page loads nothing from
//! other sites.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

/// Content security policy of the page: it can load its own script and style, and call this API.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'";

fn asset(content_type: &'static str, body: &'static str) -> Response {
    let headers = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "public, max-age=300"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, body).into_response()
}

/// Returns the OpenAPI 3.1 document of the whole API.
#[utoipa::path(get, path = "/api/v1/openapi.json", operation_id = "getOpenApi", tag = "health", responses((status = 200, content_type = "application/json")))]
pub async fn openapi() -> Response {
    // Generated from the code of all functions; `tests/contracts/derived.rs` fails when it is out of date.
    asset("application/json", include_str!("openapi.json"))
}

/// Returns a page to browse and try the API.
#[utoipa::path(get, path = "/docs", operation_id = "getDocs", tag = "health", responses((status = 200, content_type = "text/html")))]
pub async fn page() -> Response {
    asset("text/html; charset=utf-8", include_str!("docs.html"))
}

/// Returns the style sheet of the page.
#[utoipa::path(get, path = "/docs/docs.css", operation_id = "getDocsStyle", tag = "health", responses((status = 200, content_type = "text/css")))]
pub async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("docs.css"))
}

/// Returns the script of the page.
#[utoipa::path(get, path = "/docs/docs.js", operation_id = "getDocsScript", tag = "health", responses((status = 200, content_type = "text/javascript")))]
pub async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("docs.js"))
}
