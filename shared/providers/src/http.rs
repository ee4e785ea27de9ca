//! The HTTP client for providers, with TLS and timeouts. It does not follow redirects.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use super::ProviderError;

/// The timeout of one call.
const TOTAL: Duration = Duration::from_secs(20);
/// The timeout for establishing a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// A client that is built on the first call, because few invocations call a provider.
#[derive(Clone, Debug, Default)]
pub(super) struct ProviderClient(Arc<OnceLock<Client>>);

pub(super) struct ProviderRequest<'a> {
    pub method: Method,
    pub url: url::Url,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: Option<Vec<u8>>,
}

pub(super) struct ProviderResponse {
    pub status: u16,
    /// The `Retry-After` header, if it is a number of seconds.
    pub retry_after: Option<Duration>,
    pub body: Vec<u8>,
}

impl ProviderClient {
    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.0.get() {
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
        Ok(self.0.get_or_init(|| client))
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
        self.send(request)
            .await
            .map_err(|source| ProviderError::Unreachable {
                provider,
                source: source.without_url(),
            })
    }

    async fn send(&self, request: ProviderRequest<'_>) -> Result<ProviderResponse, reqwest::Error> {
        let mut builder = self.client()?.request(request.method, request.url);
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await?;
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let status = response.status().as_u16();
        Ok(ProviderResponse {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: response.bytes().await?.to_vec(),
        })
    }
}
