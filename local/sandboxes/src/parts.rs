//! What the sandboxes have in common: keys that sign id tokens, faults, small texts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shared::clock::{Clock, random_bytes};

/// The key that signs id tokens, made anew with each sandbox.
pub(crate) struct SigningKey {
    key: KeyPair,
    jwk: Value,
}

impl SigningKey {
    pub fn generate() -> Result<Self, Unspecified> {
        let key = KeyPair::generate(KeySize::Rsa2048)?;
        let public = key.public_key();
        let jwk = json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "sandbox",
            "n": base64(public.modulus().big_endian_without_leading_zero()),
            "e": base64(public.exponent().big_endian_without_leading_zero())
        });
        Ok(Self { key, jwk })
    }

    /// Its public half (RFC 7517).
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// A JWT with these claims (RFC 7519, RS256).
    pub fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        let header = json!({ "alg": "RS256", "kid": "sandbox", "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            base64(header.to_string().as_bytes()),
            base64(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )?;
        Ok(format!("{signed}.{}", base64(&signature)))
    }
}

/// As URLs and tokens write bytes.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// One answer in place of the right one.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    /// Such as `events.list`; every method without.
    #[serde(default)]
    pub method: Option<String>,
    pub status: u16,
    pub reason: String,
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// Carry the request out all the same: only the answer is lost.
    #[serde(default)]
    pub after: bool,
}

/// Faults that come by chance, the same ones from the same seed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FaultRates {
    seed: u64,
    /// One of so many calls meets one.
    one_in: u64,
}

impl FaultRates {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// One of these faults, by status and reason, if this call meets one. `conditional` says whether the call has a
    /// condition that may fail; nobody is unauthorised to ask for a token.
    pub fn fault(
        &mut self,
        method: &str,
        kinds: &[(u16, &str)],
        conditional: bool,
    ) -> Option<Fault> {
        if self.below(self.one_in) > 0 {
            return None;
        }
        let (status, reason) = kinds[usize::try_from(self.below(kinds.len() as u64)).unwrap_or(0)];
        let (status, reason) = match status {
            412 if !conditional => kinds[0],
            401 if method == "token" => kinds[0],
            _ => (status, reason),
        };
        // Refused before anything was done, or done and the answer lost.
        let after = status >= 500 && self.below(2) == 0;
        Some(Fault {
            method: None,
            status,
            reason: reason.to_owned(),
            retry_after: None,
            after,
        })
    }
}

/// An answer that is no success; `retry_after` in seconds.
pub(crate) fn refused(status: u16, body: Value, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert("retry-after", HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get("authorization")?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

/// A part of a path without its percent signs.
pub(crate) fn decoded(part: &str) -> String {
    // The query of a URL decodes percent signs for us; a plus stays one.
    let text = part.replace('+', "%2B");
    let url = reqwest::Url::parse(&format!("http://localhost/?part={text}"));
    url.ok()
        .and_then(|url| {
            url.query_pairs()
                .next()
                .map(|(_, value)| value.into_owned())
        })
        .unwrap_or_else(|| part.to_owned())
}

/// The query of a request, in order.
pub(crate) fn query_of(text: Option<&str>) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://localhost/?{}", text.unwrap_or_default()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// Letters and digits that Google takes for an event's id too.
pub(crate) fn random_id(length: usize) -> String {
    letters(length, random_bytes)
}

/// As [`random_id`], but the same in each run of a test that has its own clock: for what no token is.
pub(crate) fn unique_id(clock: &Clock, length: usize) -> String {
    letters(length, || clock.unique())
}

fn letters(length: usize, source: impl Fn() -> [u8; 16]) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let letters = source()
            .map(|byte| char::from(b"0123456789abcdefghijklmnopqrstuv"[usize::from(byte % 32)]));
        text.extend(letters.into_iter().take(length - text.len()));
    }
    text
}

/// Notifications that are on their way.
#[derive(Default)]
pub(crate) struct Deliveries(Arc<AtomicUsize>);

impl Deliveries {
    /// Sends a notification. One that nobody takes is lost, as at the providers after some tries.
    pub fn send(&self, request: reqwest::RequestBuilder) {
        let count = Arc::clone(&self.0);
        count.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            drop(request.send().await);
            count.fetch_sub(1, Ordering::SeqCst);
        });
    }

    pub fn under_way(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// As HTML writes a text.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
