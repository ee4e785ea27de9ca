//! Ties a sign-in to the browser that began it, and knows where a browser may be sent.

use axum::http::{HeaderMap, header};
use shared::domain::secret::secret_digest;
use shared::http::{ApiResult, Problem};
use url::Url;

use crate::Context;

const COOKIE: &str = "calweave_oauth";

/// The cookie that gives a browser its secret to keep. A page of another site may ask for it, so over TLS it is sent
/// across sites; it opens nothing by itself.
pub fn cookie(secret: &str, own_base: &str, seconds: i64) -> String {
    let site = if own_base.starts_with("https:") {
        "SameSite=None; Secure"
    } else {
        "SameSite=Lax"
    };
    let below = Url::parse(own_base)
        .map(|url| url.path().trim_end_matches('/').to_owned())
        .unwrap_or_default();
    format!(
        "{COOKIE}={secret}; Path={below}/api/v1/calendar/oauth; Max-Age={seconds}; HttpOnly; {site}"
    )
}

/// The digests of the secrets that this browser shows.
pub fn shown(headers: &HeaderMap) -> Vec<String> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let pairs = cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, secret)| secret_digest(secret))
        .collect()
}

/// Where to send the browser in the end: to a page of a configured origin, or of this API itself.
///
/// # Errors
/// When the page is anywhere else.
pub fn return_to(context: &Context, own_base: &str, wanted: Option<&str>) -> ApiResult<String> {
    let own_origin = Url::parse(own_base)
        .map(|url| url.origin().ascii_serialization())
        .unwrap_or_default();
    let allowed = || context.http.config.cors_origins.iter().chain([&own_origin]);
    let Some(wanted) = wanted else {
        // Without a frontend of its own there is this API's page.
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

/// The page with one more parameter.
pub fn with(page: &str, name: &str, value: &str) -> String {
    match Url::parse(page) {
        Ok(mut url) => {
            url.query_pairs_mut().append_pair(name, value);
            url.into()
        }
        Err(_) => page.to_owned(),
    }
}
