//! The one way in which providers are called: over TLS, with time limits, never redirected.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method};

use super::ProviderError;

/// How long one call may take in all.
const TOTAL: Duration = Duration::from_secs(20);
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// A client that is made when it is first needed: few functions call a provider.
#[derive(Clone, Debug, Default)]
pub(super) struct ProviderClient(Arc<OnceLock<Client>>);

/// What is asked.
pub(super) struct ProviderRequest<'a> {
    pub method: Method,
    pub url: url::Url,
    pub headers: &'a [(&'static str, &'a str)],
    pub body: Option<Vec<u8>>,
}

/// What was answered.
pub(super) struct ProviderResponse {
    pub status: u16,
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

    /// Sends one request to a provider.
    pub async fn ask(
        &self,
        provider: &'static str,
        call: ProviderRequest<'_>,
    ) -> Result<ProviderResponse, ProviderError> {
        self.send(call)
            .await
            .map_err(|source| ProviderError::Unreachable {
                provider,
                source: source.without_url(),
            })
    }

    async fn send(&self, call: ProviderRequest<'_>) -> Result<ProviderResponse, reqwest::Error> {
        let mut request = self.client()?.request(call.method, call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = call.body {
            request = request.body(body);
        }
        let response = request.send().await?;
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
