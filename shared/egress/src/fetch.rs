//! Fetches feeds: with conditional requests, within limits of size and time, and only from allowed addresses.

use std::net::SocketAddr;
use std::time::Duration;

use calweave_domain::calendar::Validators;
use calweave_domain::digest::digest_of;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{
    ACCEPT, CONTENT_TYPE, COOKIE, ETAG, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    LOCATION, RETRY_AFTER, SET_COOKIE,
};
use reqwest::{Client, StatusCode, redirect};
use url::{Host, Url};

use super::address::{self, AddressError, EgressPolicy};

/// Maximum size of a decompressed feed, in bytes.
pub const MAX_BODY: usize = 10 << 20;
/// Timeout of a fetch in a sync.
pub const FOR_A_SYNC: Duration = Duration::from_secs(30);
/// Timeout of a fetch that a request waits for. The function that serves it ends after 29 seconds.
pub const FOR_A_REQUEST: Duration = Duration::from_secs(20);
/// Timeout of a DNS lookup, and of opening a connection. Connecting and receiving the response headers together may
/// take twice as long.
const CONNECT: Duration = Duration::from_secs(10);
const MAX_REDIRECTS: usize = 5;
const MAX_COOKIES: usize = 10;
/// The interval of fetches without conditions.
const UNCONDITIONAL: TimeDelta = TimeDelta::hours(24);

/// The result of a fetch.
#[derive(Debug)]
pub enum Fetched {
    /// The feed has not changed since the known validators. These are the ones for the next fetch.
    Unchanged(Validators),
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
    /// The fetch took longer than [`FetchOptions::timeout`], or one of its steps exceeded its own timeout.
    #[error("the server took too long to answer")]
    Timeout,
    /// The server says that nothing has changed, although it was asked for everything.
    #[error("the server says that the feed has not changed, but was asked for all of it")]
    NeverChanges,
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

/// Fetches a feed unless it is unchanged since the validators in `known`. Once a day it is fetched without conditions: some
/// servers answer 304 for ever.
///
/// # Errors
/// [`FetchError`], with a message for the feed's owner.
pub async fn fetch(
    url: &Url,
    known: &Validators,
    options: FetchOptions,
) -> Result<Fetched, FetchError> {
    let FetchOptions {
        policy,
        now,
        timeout,
    } = options;
    let mut fetching = Fetching {
        known,
        policy,
        now,
        is_conditional: known.read_at.is_some_and(|at| now - at < UNCONDITIONAL),
        cookies: vec![],
    };
    tokio::time::timeout(timeout, fetching.follow(url.clone()))
        .await
        .unwrap_or(Err(FetchError::Timeout))
}

/// How a feed is fetched.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Which addresses may be fetched.
    pub policy: EgressPolicy,
    /// The current time.
    pub now: DateTime<Utc>,
    /// Timeout of the whole fetch, including redirects: [`FOR_A_SYNC`] or [`FOR_A_REQUEST`].
    pub timeout: Duration,
}

/// One fetch: its redirects, and the cookies that they set.
struct Fetching<'a> {
    known: &'a Validators,
    policy: EgressPolicy,
    now: DateTime<Utc>,
    is_conditional: bool,
    /// Host, and name and value of each cookie. They are sent back to their own host only, and forgotten after the fetch.
    cookies: Vec<(String, String)>,
}

impl Fetching<'_> {
    async fn follow(&mut self, mut url: Url) -> Result<Fetched, FetchError> {
        for _ in 0..=MAX_REDIRECTS {
            address::check(&url, self.policy)?;
            let response = self.send(&url).await?;
            let has_validators = self.known.etag.is_some() || self.known.last_modified.is_some();
            match response.status() {
                StatusCode::NOT_MODIFIED if self.is_conditional && has_validators => {
                    return Ok(Fetched::Unchanged(self.known.clone()));
                }
                StatusCode::NOT_MODIFIED => return Err(FetchError::NeverChanges),
                status if status.is_redirection() => {
                    self.keep_cookies(&url, response.headers());
                    let target = response
                        .headers()
                        .get(LOCATION)
                        .ok_or(FetchError::Redirects)?;
                    // Some servers send the bytes of UTF-8.
                    let target = String::from_utf8_lossy(target.as_bytes());
                    let target = match address::parse(&target, self.policy) {
                        // An absolute one may be webcal://.
                        Ok(target) => target,
                        Err(_) => url.join(&target).map_err(|_| FetchError::Redirects)?,
                    };
                    url = target;
                }
                status if status.is_success() => return self.read(response).await,
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

    fn keep_cookies(&mut self, url: &Url, headers: &HeaderMap) {
        let host = url.host_str().unwrap_or_default();
        for cookie in headers.get_all(SET_COOKIE).iter().take(MAX_COOKIES) {
            let cookie = cookie.to_str().unwrap_or_default();
            let cookie = cookie.split(';').next().unwrap_or_default().trim();
            if cookie.contains('=') && self.cookies.len() < MAX_COOKIES {
                self.cookies.push((host.to_owned(), cookie.to_owned()));
            }
        }
    }

    /// Resolves the host, checks every IP address, and connects only to the checked ones.
    async fn send(&self, url: &Url) -> Result<reqwest::Response, FetchError> {
        let policy = self.policy;
        let port = url.port_or_known_default().unwrap_or(443);
        let mut builder = Client::builder();
        match url.host() {
            Some(Host::Domain(name)) => {
                let lookup =
                    tokio::time::timeout(CONNECT, tokio::net::lookup_host((name, port))).await;
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
        // A date beside an ETag is ignored by servers that follow RFC 9110 13.1.3, and compared by others, wrongly.
        match (&self.known.etag, &self.known.last_modified) {
            _ if !self.is_conditional => {}
            (Some(etag), _) => request = request.header(IF_NONE_MATCH, etag),
            (None, Some(date)) => request = request.header(IF_MODIFIED_SINCE, date),
            (None, None) => {}
        }
        let cookies = self
            .cookies
            .iter()
            .filter(|(host, _)| url.host_str() == Some(host));
        let cookies: Vec<&str> = cookies.map(|(_, cookie)| cookie.as_str()).collect();
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies.join("; "));
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

    async fn read(&self, mut response: reqwest::Response) -> Result<Fetched, FetchError> {
        let mut validators = Validators {
            etag: header(response.headers(), ETAG.as_str()),
            last_modified: header(response.headers(), LAST_MODIFIED.as_str()),
            read_at: Some(self.now),
            ..Validators::default()
        };
        let charset = header(response.headers(), CONTENT_TYPE.as_str()).and_then(|text| {
            text.split(';').find_map(|part| {
                let (name, value) = part.split_once('=')?;
                let is_charset = name.trim().eq_ignore_ascii_case("charset");
                let value = value.trim().trim_matches(['"', '\'']).trim();
                is_charset.then(|| value.to_owned())
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
        if self.known.body_hash.as_ref() == Some(&hash) {
            return Ok(Fetched::Unchanged(Validators {
                feed: self.known.feed.clone(),
                body_hash: Some(hash),
                content_hash: self.known.content_hash.clone(),
                ..validators
            }));
        }
        validators.body_hash = Some(hash);
        Ok(Fetched::Body {
            bytes,
            charset,
            validators,
        })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    (!value.is_empty() && value.len() <= 1024).then(|| value.to_owned())
}
