//! Code that both sandboxes share: the key that signs id tokens, faults, encodings, notification
//! delivery.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
use tokio::sync::Semaphore;

/// The key that signs id tokens, generated when a process starts its first sandbox.
#[derive(Clone)]
pub(crate) struct SigningKey {
    key: Arc<KeyPair>,
    jwk: Value,
}

impl SigningKey {
    /// Returns the key of this process.
    pub fn of_process() -> Result<Self, Unspecified> {
        static KEY: OnceLock<SigningKey> = OnceLock::new();
        if let Some(known) = KEY.get() {
            return Ok(known.clone());
        }
        let made = Self::generate()?;
        Ok(KEY.get_or_init(|| made).clone())
    }

    fn generate() -> Result<Self, Unspecified> {
        let key = KeyPair::generate(KeySize::Rsa2048)?;
        let public = key.public_key();
        let jwk = json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": "sandbox",
            "n": base64(public.modulus().big_endian_without_leading_zero()),
            "e": base64(public.exponent().big_endian_without_leading_zero())
        });
        Ok(Self {
            key: Arc::new(key),
            jwk,
        })
    }

    /// Returns the public key as a JWK (RFC 7517).
    pub fn jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// Returns a JWT with these claims (RFC 7519), signed with RS256.
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

/// How a sandbox answers calls: how many it still answers, so that a test can stop a worker between
/// two calls; how long each takes; and whether the response of one is held back, so that a worker
/// receives it late.
#[derive(Debug, Default)]
pub(crate) struct CallBudget {
    /// `None` if there is no limit.
    pub left: Option<u64>,
    /// The number of calls without a response.
    pub unanswered: u64,
    /// The duration of each call.
    pub latency: Duration,
    /// The number of calls before the one whose response is held back.
    held_after: Option<u64>,
    /// Closed once the response is let go.
    held: Option<Arc<Semaphore>>,
}

impl CallBudget {
    /// Takes one call. Returns `None` if it gets no response.
    pub fn take(&mut self) -> Option<Turn> {
        match &mut self.left {
            None => {}
            Some(0) => {
                self.unanswered += 1;
                return None;
            }
            Some(left) => *left -= 1,
        }
        let is_held = self.held_after == Some(0);
        self.held_after = self.held_after.and_then(|left| left.checked_sub(1));
        if is_held {
            self.held = Some(Arc::new(Semaphore::new(0)));
        }
        Some(Turn {
            latency: self.latency,
            held: self.held.clone().filter(|_| is_held),
        })
    }

    /// Holds back the response of the call after `calls` others. `None` lets a held response go.
    pub fn hold(&mut self, calls: Option<u64>) {
        self.held_after = calls;
        if let Some(held) = self.held.take() {
            held.close();
        }
    }

    /// Returns whether a response is held back.
    pub fn is_holding(&self) -> bool {
        self.held.is_some()
    }
}

/// A call that gets a response.
#[derive(Default)]
pub(crate) struct Turn {
    latency: Duration,
    held: Option<Arc<Semaphore>>,
}

impl Turn {
    /// Waits until the response may be sent.
    pub async fn wait(self) {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        if let Some(held) = self.held {
            // It is closed in the end, and has no permits until then.
            drop(held.acquire().await);
        }
    }
}

/// Encodes bytes as base64url without padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A fault: an error response that replaces the regular response once.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Fault {
    /// The method that fails, such as `events.list`; `None` for any method.
    #[serde(default)]
    pub method: Option<String>,
    pub status: u16,
    pub reason: String,
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// Whether the request is still processed, so that only its response is lost.
    #[serde(default)]
    pub after: bool,
    /// The number of calls before the one that fails.
    #[serde(default)]
    pub skip: u64,
}

/// Takes the first queued fault that is meant for a call. `is_meant` says whether a method's name is
/// the call's.
pub(crate) fn take_fault(
    faults: &mut VecDeque<Fault>,
    is_meant: impl Fn(&str) -> bool,
) -> Option<Fault> {
    let at = faults
        .iter()
        .position(|fault| fault.method.as_deref().is_none_or(&is_meant))?;
    let fault = faults.get_mut(at)?;
    if let Some(left) = fault.skip.checked_sub(1) {
        fault.skip = left;
        return None;
    }
    faults.remove(at)
}

/// Random faults, reproducible by seed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FaultRates {
    seed: u64,
    /// On average, one in `one_in` calls fails.
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

    /// Draws whether this call fails, and with which of `kinds` (status and reason). 412 is only
    /// drawn for `conditional` calls, and 401 never for the token endpoint; the first kind replaces
    /// them.
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
        // A server error happens either before the request is processed, or after it.
        let after = status >= 500 && self.below(2) == 0;
        Some(Fault {
            method: None,
            status,
            reason: reason.to_owned(),
            retry_after: None,
            after,
            skip: 0,
        })
    }
}

/// Returns an error response; `retry_after` in seconds.
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

/// Percent-decodes a path segment.
pub(crate) fn decoded(part: &str) -> String {
    // Parses the segment as a query value, which percent-decodes it; a plus sign is escaped first,
    // as it would become a space.
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

/// Returns the decoded query parameters of a request, in order.
pub(crate) fn query_of(text: Option<&str>) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://localhost/?{}", text.unwrap_or_default()))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// Returns random characters of base32hex, the alphabet of Google's event ids.
pub(crate) fn random_id(length: usize) -> String {
    letters(length, random_bytes)
}

/// As [`random_id`], but reproducible in tests that have their own clock. Not for tokens.
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

/// Counts the notifications in flight.
#[derive(Default)]
pub(crate) struct Deliveries(Arc<AtomicUsize>);

impl Deliveries {
    /// Sends a notification once, in the background. Failed deliveries are dropped; the real
    /// providers retry a few times.
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

/// Escapes a text for HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Takes the times from the events of an answer that have one of these ids, so that no client can read them.
pub(crate) fn garble(answer: &mut Value, ids: &BTreeSet<String>) {
    let is_garbled = |item: &Value| item["id"].as_str().is_some_and(|id| ids.contains(id));
    let clear = |item: &mut Value| {
        if is_garbled(item)
            && let Some(fields) = item.as_object_mut()
        {
            fields.retain(|name, _| name != "start" && name != "end");
        }
    };
    if ids.is_empty() {
        return;
    }
    clear(answer);
    for list in ["items", "value"] {
        let items = answer.get_mut(list).and_then(Value::as_array_mut);
        items.into_iter().flatten().for_each(clear);
    }
}
