//! The authorization code flow with a redirect to this machine (RFC 8252, section 7.3) and PKCE
//! (RFC 7636).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Url;
use serde_json::Value;
use shared::clock::random_bytes;
use shared::domain::secret::secret_digest;

use super::Setup;
use super::inbox::CALLBACK;
use super::report::{Interruption, say};
use super::wire::{Answer, Call};

/// How long the check waits for the browser.
const PATIENCE: Duration = Duration::from_secs(600);

/// The addresses of a provider's authorization server.
pub(super) struct OAuthUrls {
    pub authorize: Url,
    pub token: Url,
    /// Where a sandbox's consent page posts its form. Real providers have no such address.
    pub consent: Url,
}

/// A sign-in to one provider.
pub(super) struct SignIn<'a> {
    pub setup: &'a Setup,
    pub urls: &'a OAuthUrls,
    pub scopes: &'a [&'a str],
    /// Parameters of the provider's own.
    pub parameters: &'a [(&'a str, &'a str)],
    /// The host of the redirect URI: a name or address of this machine that the provider accepts.
    pub redirect_host: &'a str,
}

/// A successful sign-in.
pub(super) struct SignedIn {
    /// The token response.
    pub tokens: Answer,
    /// The `nonce` that the ID token has to contain.
    pub nonce: String,
}

impl SignedIn {
    pub fn access_token(&self) -> &str {
        self.tokens.text("access_token")
    }

    pub fn refresh_token(&self) -> &str {
        self.tokens.text("refresh_token")
    }
}

impl SignIn<'_> {
    /// Signs in, and exchanges the code for tokens.
    pub async fn run(&self) -> Result<SignedIn, String> {
        let (state, nonce, verifier) = (random_text(), random_text(), random_text());
        let port = self.setup.inbox.port;
        let redirect_uri = format!("http://{}:{port}{CALLBACK}", self.redirect_host);
        let (scope, challenge) = (self.scopes.join(" "), secret_digest(&verifier));
        let mut parameters = vec![
            ("client_id", self.setup.client_id.as_str()),
            ("redirect_uri", redirect_uri.as_str()),
            ("response_type", "code"),
            ("scope", scope.as_str()),
            ("state", state.as_str()),
            ("nonce", nonce.as_str()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        parameters.extend_from_slice(self.parameters);
        self.consent(&parameters).await?;
        let is_ours = |query: &HashMap<String, String>| {
            query.get("state").is_some_and(|given| *given == state)
        };
        let inbox = &self.setup.inbox;
        let callback = inbox.wait_for(PATIENCE, |one| one.path == CALLBACK && is_ours(&one.query));
        let callback = callback
            .await
            .ok_or("nobody signed in within ten minutes")?;
        let code = callback.query.get("code").ok_or_else(|| {
            let text = |name: &str| callback.query.get(name).map_or("", String::as_str);
            let (error, description) = (text("error"), text("error_description"));
            format!("the sign-in failed: {error} {description}")
        })?;
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", redirect_uri.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        let tokens = self.setup.request_tokens(&self.urls.token, &fields).await;
        let tokens = tokens.map_err(Interruption::reason)?;
        if !tokens.is(200) {
            return Err(format!("the code was not exchanged: {tokens}"));
        }
        Ok(SignedIn { tokens, nonce })
    }

    /// Asks the user to visit the consent page, or posts the form of a sandbox's consent page.
    async fn consent(&self, parameters: &[(&str, &str)]) -> Result<(), String> {
        let Some(email) = &self.setup.consent_as else {
            let mut address = self.urls.authorize.clone();
            address.query_pairs_mut().extend_pairs(parameters);
            say(&format!(
                "Open this address in a browser, and sign in:\n\n  {address}"
            ));
            return Ok(());
        };
        let mut form = parameters.to_vec();
        form.extend([("email", email.as_str()), ("answer", "allow")]);
        form.extend(self.scopes.iter().map(|scope| ("granted", *scope)));
        let wire = &self.setup.wire;
        let answer = wire.send(Call::post(self.urls.consent.clone()).form(&form));
        let answer = answer.await.map_err(Interruption::reason)?;
        let back = answer
            .location
            .as_deref()
            .and_then(|to| Url::parse(to).ok());
        let back = back.ok_or_else(|| format!("the sandbox does not redirect: {answer}"))?;
        let visited = wire.send(Call::get(back)).await;
        visited.map(drop).map_err(Interruption::reason)
    }
}

/// Returns the header and the claims of a JWT (RFC 7519), without a check of its signature.
pub(super) fn decoded(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    });
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

/// Returns 64 random hexadecimal digits.
fn random_text() -> String {
    let bytes: [u8; 32] = random_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
