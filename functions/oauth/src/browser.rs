//! Binds an authorization to the browser that began it, and checks where a browser is redirected to.

use axum::http::{HeaderMap, header};
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problem};
use url::Url;

use crate::Context;

/// Name of the cookie. With the prefix, browsers accept it from this host and over TLS only, so that no other host of the
/// domain can set it.
const COOKIE: &str = "__Host-calweave_oauth";
/// Name of the cookie without TLS, in development.
const LOCAL_COOKIE: &str = "calweave_oauth";
/// Maximum number of secrets of one request that are compared.
const MAX_SECRETS: usize = 5;

fn name(own_base: &str) -> &'static str {
    if own_base.starts_with("https:") {
        COOKIE
    } else {
        LOCAL_COOKIE
    }
}

/// Returns the cookie with the browser's secret. Over TLS it is sent across sites, because a frontend on another site
/// can begin an authorization. The secret alone gives no access.
pub fn cookie(secret: &str, own_base: &str, seconds: i64) -> String {
    let name = name(own_base);
    let site = if name == COOKIE {
        "SameSite=None; Secure"
    } else {
        "SameSite=Lax"
    };
    format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; {site}")
}

/// Returns the digests of the browser secrets in a request's cookies.
pub fn shown(headers: &HeaderMap, own_base: &str) -> Vec<String> {
    let wanted = name(own_base);
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, _)| *name == wanted)
        .map(|(_, secret)| secret_digest(secret))
        .take(MAX_SECRETS)
        .collect()
}

/// Returns the page that the browser is redirected to at the end. Its origin must be in `CORS_ORIGINS`, or be that of
/// this API. Without a page, returns the root of the first configured origin, or else the documentation page of this
/// API.
///
/// # Errors
/// When the page has another origin, a fragment or credentials.
pub fn return_to(context: &Context, own_base: &str, wanted: Option<&str>) -> ApiResult<String> {
    let own_origin = Url::parse(own_base)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let allowed = || context.http.config.cors_origins.iter().chain([&own_origin]);
    let Some(wanted) = wanted else {
        // Without a configured origin there is no frontend.
        let first = context.http.config.cors_origins.first();
        return Ok(first.map_or_else(|| format!("{own_base}/docs"), |origin| format!("{origin}/")));
    };
    let url = Url::parse(wanted).ok().filter(|url| {
        url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
    });
    let origin = url.as_ref().map(|url| url.origin().ascii_serialization());
    match (url, origin) {
        (Some(url), Some(origin)) if allowed().any(|allowed| *allowed == origin) => Ok(url.into()),
        _ => Err(Problem::field(
            "returnTo",
            "must be a page of an origin that this deployment lists in CORS_ORIGINS",
        )),
    }
}

/// Adds a query parameter to the URL of a page.
pub fn with(page: &str, name: &str, value: &str) -> String {
    match Url::parse(page) {
        Ok(mut url) => {
            url.query_pairs_mut().append_pair(name, value);
            url.into()
        }
        Err(_) => page.to_owned(),
    }
}
