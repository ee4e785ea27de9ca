//! Fetches a feed: conditionally, within limits, and only from where it may.

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

/// The largest feed, decompressed, in bytes.
pub const MAX_BODY: usize = 10 << 20;
/// How long a whole fetch may take, redirects among it.
const TOTAL: Duration = Duration::from_secs(30);
/// How long a connection and the headers of an answer may take.
const CONNECT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;

/// What a fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// What is known is still so.
    Unchanged,
    /// A new answer.
    Body {
        /// Decompressed.
        bytes: Vec<u8>,
        /// The charset that the server named.
        charset: Option<String>,
        /// What to compare the next answer with; without a content hash.
        validators: Validators,
    },
}

/// Why a feed could not be fetched, in words for its owner: what went wrong, and nothing of the network behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The address, or one that it redirects to, cannot be used.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// Nothing answered.
    #[error("the server could not be reached")]
    Unreachable,
    /// It took longer than 30 seconds.
    #[error("the server took too long to answer")]
    Timeout,
    /// The server said no.
    #[error("the server answered with status {status}{}", hint(*.status))]
    Status {
        /// HTTP status.
        status: u16,
        /// Seconds after which to ask again, where the server says.
        retry_after: Option<i64>,
    },
    /// More than five redirects, or one without a target.
    #[error("the address redirects too often")]
    Redirects,
    /// More than 10 MiB.
    #[error("the feed is larger than 10 MiB")]
    TooLarge,
    /// The connection broke.
    #[error("the answer broke off")]
    Broken,
}

fn hint(status: u16) -> &'static str {
    match status {
        401 | 403 => "; the link may have been withdrawn",
        404 | 410 => "; the calendar may have been removed",
        429 => "; it asks to be called less often",
        _ => "",
    }
}

/// Fetches a feed unless it still is what `known` describes.
///
/// # Errors
/// [`FetchError`] in words for the feed's owner.
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

/// Resolves the host, checks every address, and connects to those and no others.
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
        // A number is never resolved, so it is checked here; only development lets one come this far.
        Some(Host::Ipv4(ip)) if address::may_connect(ip.into(), policy) => {}
        Some(Host::Ipv6(ip)) if address::may_connect(ip.into(), policy) => {}
        _ => return Err(AddressError::Private.into()),
    }
    // A client for each hop, because the pinned addresses are the client's; none of its connections is used again.
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
    // What is counted is what comes out of decompression, while it comes.
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
