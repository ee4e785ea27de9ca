//! OAuth clients: how providers know this deployment.

use std::fmt;

use zeroize::Zeroizing;

use super::Environment;

/// What a provider knows this deployment by.
#[derive(Clone)]
pub struct OAuthClient {
    /// Public.
    pub client_id: String,
    /// Secret.
    pub client_secret: Zeroizing<String>,
    /// Where people are sent back to: this API's own callback.
    pub redirect_uri: String,
    /// A host in place of all of the provider's. For development only.
    pub endpoint: Option<String>,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient({})", self.client_id)
    }
}

impl OAuthClient {
    /// Where this API is, as browsers and the provider reach it: what stands before `/api/v1/` in the callback's address.
    pub fn public_url(&self) -> &str {
        self.redirect_uri
            .split("/api/v1/")
            .next()
            .unwrap_or_default()
    }

    /// Reads a provider's `…_CLIENT_ID`, `…_CLIENT_SECRET` and `…_REDIRECT_URI`: all of them, or none.
    pub fn read(env: &mut Environment<'_>, provider: &str) -> Option<Self> {
        let names =
            ["CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"].map(|name| format!("{provider}_{name}"));
        let values = names.each_ref().map(|name| env.optional(name));
        if values.iter().all(Option::is_none) {
            return None;
        }
        let missing = names.iter().zip(&values);
        for (name, _) in missing.filter(|(_, value)| value.is_none()) {
            env.report(format!("{name} is missing"));
        }
        let [client_id, client_secret, redirect_uri] = values.map(Option::unwrap_or_default);
        Some(Self {
            client_id,
            client_secret: Zeroizing::new(client_secret),
            redirect_uri,
            endpoint: env.optional(&format!("{provider}_ENDPOINT")),
        })
    }
}
