//! Requests to Graph on behalf of one account, and what its error responses mean.

use calweave_base::clock::random_bytes;
use calweave_domain::secret::Secret;
use reqwest::Method;
use serde_json::Value;
use url::Url;

use super::{Microsoft, NAME, malformed};
use crate::http::{ProviderRequest, ProviderResponse};
use crate::{ProviderError, Refusal, Result};

/// A session with Graph on behalf of one account.
pub struct GraphSession {
    pub(super) microsoft: Microsoft,
    pub(super) access_token: Secret,
    /// The account's address. It identifies the account's owner among the attendees.
    pub(super) email: String,
}

/// The default `Prefer` header: ids that stay the same when an event is moved, times in UTC, and
/// bodies as plain text.
pub(super) const PREFER: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text""#;
/// As [`PREFER`], but with the original HTML of bodies.
pub(super) const PREFER_HTML: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="html""#;
/// As [`PREFER`], with the page size of a delta query.
pub(super) const PREFER_PAGE: &str = r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text", odata.maxpagesize=200"#;

/// A request below `/v1.0/`. Each path segment is escaped separately, because ids may contain `/`
/// and `=`.
pub(super) struct GraphRequest<'a> {
    pub method: Method,
    pub path: &'a [&'a str],
    /// A URL from a Graph response. It is used instead of `path`.
    pub link: Option<&'a str>,
    pub query: Vec<(&'static str, String)>,
    pub prefer: &'static str,
    pub if_match: Option<&'a str>,
    pub body: Option<&'a Value>,
}

impl<'a> GraphRequest<'a> {
    pub(super) fn new(method: Method, path: &'a [&'a str]) -> Self {
        Self {
            method,
            path,
            link: None,
            query: vec![],
            prefer: PREFER,
            if_match: None,
            body: None,
        }
    }

    pub(super) fn get(path: &'a [&'a str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// A GET request for a URL from a Graph response. The URL is not changed.
    pub(super) fn follow(link: &'a str) -> Self {
        Self {
            link: Some(link),
            ..Self::get(&[])
        }
    }
}

impl GraphSession {
    pub(super) fn new(microsoft: Microsoft, access_token: Secret, email: &str) -> Self {
        Self {
            microsoft,
            access_token,
            email: email.to_owned(),
        }
    }

    /// Sends a request. Returns the response body as JSON, or null if the body is empty.
    pub(super) async fn call(&self, request: GraphRequest<'_>) -> Result<Value> {
        let mut url = self.microsoft.url("graph.microsoft.com", "/v1.0")?;
        match request.link {
            Some(link) => {
                let link = Url::parse(link).map_err(|error| malformed(&error))?;
                // The access token must not be sent to any other host.
                if link.origin() != url.origin() || !link.path().starts_with("/v1.0/") {
                    return Err(malformed(&"a link that does not point to Graph v1.0"));
                }
                url = link;
            }
            None => {
                url.path_segments_mut()
                    .map_err(|()| malformed(&"no path"))?
                    .extend(request.path);
                if !request.query.is_empty() {
                    url.query_pairs_mut().extend_pairs(&request.query);
                }
            }
        }
        let authorization =
            zeroize::Zeroizing::new(format!("Bearer {}", self.access_token.expose()));
        let request_id = uuid(random_bytes());
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("prefer", request.prefer),
            ("client-request-id", request_id.as_str()),
        ];
        let body = request.body.map(|body| body.to_string().into_bytes());
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        } else if request.method == Method::POST {
            headers.push(("content-length", "0"));
        }
        if let Some(version) = request.if_match {
            headers.push(("if-match", version));
        }
        let is_list = url.path().ends_with("/delta");
        let answer = self
            .microsoft
            .http
            .call(
                NAME,
                ProviderRequest {
                    method: request.method,
                    url,
                    headers: &headers,
                    body,
                },
            )
            .await?;
        if (200..300).contains(&answer.status) {
            if answer.body.is_empty() {
                return Ok(Value::Null);
            }
            return serde_json::from_slice(&answer.body).map_err(|error| malformed(&error));
        }
        Err(refusal(&answer, is_list))
    }
}

/// Percent-encodes a path segment. Ids may contain `/` and `+`.
pub(super) fn escaped_segment(segment: &str) -> String {
    let escape = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' | b'=' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    segment.bytes().map(escape).collect()
}

/// Formats random bytes as a UUID (RFC 9562, version 4).
fn uuid(bytes: [u8; 16]) -> String {
    let hex = |range: std::ops::Range<usize>| {
        bytes[range]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    format!(
        "{}-{}-4{}-a{}-{}",
        hex(0..4),
        hex(4..6),
        &hex(6..8)[1..],
        &hex(8..10)[1..],
        hex(10..16)
    )
}

/// Maps an error response to an error (<https://learn.microsoft.com/graph/errors>). Error codes are
/// compared without regard to case, because Graph returns them in any case.
fn refusal(answer: &ProviderResponse, is_list: bool) -> ProviderError {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let error = &body["error"];
    let reason = error["code"].as_str().unwrap_or("unknown").to_owned();
    let message: String = error["message"]
        .as_str()
        .unwrap_or("no explanation")
        .chars()
        .take(300)
        .collect();
    let (provider, retry_after) = (NAME, answer.retry_after);
    let is = |known: &str| reason.eq_ignore_ascii_case(known);
    let is_position = ["syncStateNotFound", "syncStateInvalid", "resyncRequired"]
        .into_iter()
        .any(is);
    match answer.status {
        401 => ProviderError::Unauthorized { provider },
        429 => ProviderError::Throttled {
            provider,
            reason,
            retry_after,
            is_project_wide: false,
        },
        503 if retry_after.is_some() => ProviderError::Throttled {
            provider,
            reason,
            retry_after,
            is_project_wide: false,
        },
        400..=499 if is_position => ProviderError::SyncStateExpired { provider },
        // A delta link has expired. Any other resource no longer exists.
        410 if is_list => ProviderError::SyncStateExpired { provider },
        410 => ProviderError::NotFound { provider },
        404 if !is("MailboxNotEnabledForRESTAPI") => ProviderError::NotFound { provider },
        412 => ProviderError::PreconditionFailed { provider },
        409 if is("ErrorIrresolvableConflict") => ProviderError::PreconditionFailed { provider },
        409 => ProviderError::AlreadyExists { provider },
        500.. => ProviderError::ServerError {
            provider,
            status: answer.status,
        },
        _ => ProviderError::Refused {
            provider,
            reason: Refusal::Other(reason),
            message,
        },
    }
}
