//! The HTTP client for providers, with TLS and timeouts. It does not follow redirects.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use calweave_base::clock::Clock;
use chrono::{DateTime, Utc};
use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use super::ProviderError;

/// The timeout of one call.
const TOTAL: Duration = Duration::from_secs(20);
/// The timeout for establishing a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How often a read is sent before its failure counts.
const MAX_ATTEMPTS: u32 = 4;
/// The longest wait that a provider may ask for between two attempts.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// A client that is built on the first call, because few invocations call a provider.
#[derive(Clone, Debug)]
pub(super) struct ProviderClient {
    client: Arc<OnceLock<Client>>,
    clock: Clock,
}

pub(super) struct ProviderRequest<'a> {
    pub method: Method,
    pub url: url::Url,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: Option<Vec<u8>>,
}

pub(super) struct ProviderResponse {
    pub status: u16,
    /// The `Retry-After` header.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl ProviderClient {
    pub fn new(clock: Clock) -> Self {
        Self {
            client: Arc::default(),
            clock,
        }
    }

    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .timeout(TOTAL)
            .connect_timeout(CONNECT)
            .redirect(Policy::none())
            .no_proxy();
        let client = builder
            .user_agent(concat!("calweave/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Sends one request to a provider. Returns the response regardless of its status.
    ///
    /// # Errors
    /// [`ProviderError::Unreachable`] if there is no response. Its source does not contain the URL.
    pub async fn call(
        &self,
        provider: &'static str,
        request: ProviderRequest<'_>,
    ) -> Result<ProviderResponse, ProviderError> {
        let mut attempts = 0;
        loop {
            let answered = self.send(&request).await;
            attempts += 1;
            if let Some(delay) = retry_delay(&request.method, &answered, attempts) {
                self.clock.sleep(delay).await;
                continue;
            }
            return answered.map_err(|source| ProviderError::Unreachable {
                provider,
                source: source.without_url(),
            });
        }
    }

    async fn send(
        &self,
        request: &ProviderRequest<'_>,
    ) -> Result<ProviderResponse, reqwest::Error> {
        let (method, url) = (request.method.clone(), request.url.clone());
        let mut builder = self.client()?.request(method, url);
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        let response = builder.send().await?;
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| delay(text, self.clock.now()));
        let status = response.status().as_u16();
        Ok(ProviderResponse {
            status,
            retry_after,
            body: response.bytes().await?.to_vec(),
        })
    }
}

/// Reads a `Retry-After` header: a number of seconds, or a date (RFC 9110, 10.2.3).
fn delay(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((until - now).to_std().unwrap_or_default())
}

/// Returns how long to wait before a read is sent again in place, after a failure that is likely to be over soon. Writes are not
/// repeated here: whether one got through has to be looked up first.
fn retry_delay(
    method: &Method,
    answered: &Result<ProviderResponse, reqwest::Error>,
    attempts: u32,
) -> Option<Duration> {
    let retry_after = match answered {
        Ok(response) if matches!(response.status, 500 | 502..=504) => response.retry_after,
        Ok(response) if response.status == 429 => Some(response.retry_after?),
        Ok(_) => return None,
        Err(error) if error.is_connect() || error.is_request() => None,
        Err(_) => return None,
    };
    let is_soon = retry_after.is_none_or(|after| after <= SHORT_WAIT);
    if method != Method::GET || attempts >= MAX_ATTEMPTS || !is_soon {
        return None;
    }
    let [jitter] = calweave_base::clock::random_bytes::<1>();
    let backoff = Duration::from_millis((50 << attempts) + u64::from(jitter) / 4);
    Some(retry_after.unwrap_or_default().max(backoff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_a_number_of_seconds_or_a_date() {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let seconds = |text| delay(text, now).map(|delay| delay.as_secs());
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Fri, 01 Jan 2027 00:01:30 GMT"), Some(90));
        assert_eq!(seconds("Thu, 31 Dec 2026 23:59:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
