//! Fetches feeds: with conditional requests, within limits of size and time, and only from allowed addresses.

use std::net::SocketAddr;
use std::time::Duration;

use calweave_domain::calendar::Validators;
use calweave_domain::digest::digest_of;
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, RETRY_AFTER,
};
use reqwest::{Client, StatusCode, redirect};
use url::{Host, Url};

use super::address::{self, AddressError, EgressPolicy};

/// Maximum size of a decompressed feed, in bytes.
pub const MAX_BODY: usize = 10 << 20;
/// Timeout of a whole fetch, including redirects.
const TOTAL: Duration = Duration::from_secs(30);
/// Timeout of a DNS lookup, and of opening a connection. Connecting and receiving the response headers together may
/// take twice as long.
const CONNECT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// The result of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// The feed has not changed since the known validators.
    Unchanged,
    /// A response with new content.
    Body {
        /// The decompressed body.
        bytes: Vec<u8>,
        /// The `charset` of the `Content-Type` header.
        charset: Option<String>,
        /// Validators for the next fetch, without a content hash.
        validators: Validators,
    },
}

/// Why a feed could not be fetched. `Display` is a message for the feed's owner that reveals nothing about the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The URL, or one that it redirects to, cannot be used.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// The host name does not resolve, or the server does not answer.
    #[error("the server could not be reached")]
    Unreachable,
    /// The fetch took longer than 30 seconds, or one of its steps exceeded its own timeout.
    #[error("the server took too long to answer")]
    Timeout,
    /// The server returned an error status.
    #[error("the server returned status {status}{}", hint(*.status))]
    Status {
        /// HTTP status code.
        status: u16,
        /// `Retry-After` in seconds, if the server sent it in that form.
        retry_after: Option<i64>,
    },
    /// More than five redirects, or one without a target.
    #[error("the address redirects too often")]
    Redirects,
    /// The body is larger than 10 MiB.
    #[error("the feed is larger than 10 MiB")]
    TooLarge,
    /// The connection broke while the body was read.
    #[error("the connection broke before the response was complete")]
    Broken,
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; the link may have been revoked",
        404 | 410 => "; the calendar may have been removed",
        429 => "; it asks for fewer requests",
        _ => "",
    }
}

/// Fetches a feed unless it is unchanged since the validators in `known`.
///
/// # Errors
/// [`FetchError`], with a message for the feed's owner.
pub async fn fetch(
    url: &Url,
    known: &Validators,
    policy: EgressPolicy,
) -> Result<Fetched, FetchError> {
    tokio::time::timeout(TOTAL, follow(url.clone(), known, policy))
        .await
        .unwrap_or(Err(FetchError::Timeout))
}

async fn follow(
    mut url: Url,
    known: &Validators,
    policy: EgressPolicy,
) -> Result<Fetched, FetchError> {
    for _ in 0..=MAX_REDIRECTS {
        address::check(&url, policy)?;
        let response = send(&url, known, policy).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED if known.etag.is_some() || known.last_modified.is_some() => {
                return Ok(Fetched::Unchanged);
            }
            status if status.is_redirection() => {
                let target = response
                    .headers()
                    .get(LOCATION)
                    .and_then(|target| target.to_str().ok())
                    .ok_or(FetchError::Redirects)?;
                url = url.join(target).map_err(|_| FetchError::Redirects)?;
            }
            status if status.is_success() => return read(response, known).await,
            status => {
                let retry_after = header(response.headers(), RETRY_AFTER.as_str())
                    .and_then(|text| text.parse().ok());
                return Err(FetchError::Status {
                    status: status.as_u16(),
                    retry_after,
                });
            }
        }
    }
    Err(FetchError::Redirects)
}

/// Resolves the host, checks every IP address, and connects only to the checked ones.
async fn send(
    url: &Url,
    known: &Validators,
    policy: EgressPolicy,
) -> Result<reqwest::Response, FetchError> {
    let port = url.port_or_known_default().unwrap_or(443);
    let mut builder = Client::builder();
    match url.host() {
        Some(Host::Domain(name)) => {
            let lookup = tokio::time::timeout(CONNECT, tokio::net::lookup_host((name, port))).await;
            let addresses: Vec<SocketAddr> = lookup
                .map_err(|_| FetchError::Timeout)?
                .map_err(|_| FetchError::Unreachable)?
                .collect();
            if addresses.is_empty() {
                return Err(FetchError::Unreachable);
            }
            if addresses
                .iter()
                .any(|address| !address::may_connect(address.ip(), policy))
            {
                return Err(AddressError::Private.into());
            }
            builder = builder.resolve_to_addrs(name, &addresses);
        }
        // An IP address is not resolved, so it is checked here. `address::check` lets it pass only in development.
        Some(Host::Ipv4(ip)) if address::may_connect(ip.into(), policy) => {}
        Some(Host::Ipv6(ip)) if address::may_connect(ip.into(), policy) => {}
        _ => return Err(AddressError::Private.into()),
    }
    // One client per hop, because pinned addresses belong to the client. Its connections are not reused.
    let client = builder
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT)
        .user_agent(concat!("Calweave/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|_| FetchError::Unreachable)?;
    let mut request = client
        .get(url.clone())
        .header(ACCEPT, "text/calendar, */*;q=0.1");
    if let Some(etag) = &known.etag {
        request = request.header(IF_NONE_MATCH, etag);
    }
    if let Some(date) = &known.last_modified {
        request = request.header(IF_MODIFIED_SINCE, date);
    }
    let answer = tokio::time::timeout(CONNECT + CONNECT, request.send())
        .await
        .map_err(|_| FetchError::Timeout)?;
    answer.map_err(|error| {
        if error.is_timeout() {
            FetchError::Timeout
        } else {
            FetchError::Unreachable
        }
    })
}

async fn read(mut response: reqwest::Response, known: &Validators) -> Result<Fetched, FetchError> {
    let mut validators = Validators {
        etag: header(response.headers(), ETAG.as_str()),
        last_modified: header(response.headers(), LAST_MODIFIED.as_str()),
        ..Validators::default()
    };
    let charset = header(response.headers(), CONTENT_TYPE.as_str()).and_then(|text| {
        text.split(';').find_map(|part| {
            part.trim()
                .strip_prefix("charset=")
                .map(|name| name.trim_matches('"').to_owned())
        })
    });
    let mut bytes = Vec::new();
    // Decompressed bytes are counted as they arrive, so a small body that expands beyond the limit is rejected early.
    while let Some(chunk) = response.chunk().await.map_err(|_| FetchError::Broken)? {
        if bytes.len() + chunk.len() > MAX_BODY {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    let hash = digest_of(&bytes);
    if known.body_hash.as_ref() == Some(&hash) {
        return Ok(Fetched::Unchanged);
    }
    validators.body_hash = Some(hash);
    Ok(Fetched::Body {
        bytes,
        charset,
        validators,
    })
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= 1024).then(|| value.to_owned())
}
