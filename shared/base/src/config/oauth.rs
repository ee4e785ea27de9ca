//! This deployment's OAuth clients at the providers.

use std::fmt;

use zeroize::Zeroizing;

use super::Environment;

/// This deployment's OAuth client at one provider.
#[derive(Clone)]
pub struct OAuthClient {
    /// Client id; public.
    pub client_id: String,
    /// Client secret.
    pub client_secret: Zeroizing<String>,
    /// Redirect URI: this API's callback, to which the provider redirects the user.
    pub redirect_uri: String,
    /// Base URL that replaces all of the provider's hosts. For development only.
    pub endpoint: Option<String>,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient({})", self.client_id)
    }
}

impl OAuthClient {
    /// Returns this API's public base URL: the part of the redirect URI before `/api/v1/`.
    pub fn public_url(&self) -> &str {
        self.redirect_uri
            .split("/api/v1/")
            .next()
            .unwrap_or_default()
    }

    /// Reads a provider's `…_CLIENT_ID`, `…_CLIENT_SECRET`, `…_REDIRECT_URI` and the optional `…_ENDPOINT`. Returns
    /// `None` if none of the first three is set; if only some are, reports the missing ones.
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
