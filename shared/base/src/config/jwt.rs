//! Signing keys for access tokens.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::Environment;

/// Signing secrets for access tokens. The first key signs; all keys verify. To rotate, put the new key first, and
/// remove the old key once its last token has expired.
#[derive(Clone)]
pub struct JwtKeys(Vec<JwtKey>);

/// A signing secret and the `kid` that identifies it in tokens.
#[derive(Clone)]
pub struct JwtKey {
    /// Key id; not empty.
    pub kid: String,
    /// Signing secret, at least 32 bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.kid))
            .finish()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JwtKeysText {
    One(JwtKeyText),
    Many(Vec<JwtKeyText>),
}

#[derive(Deserialize)]
struct JwtKeyText {
    kid: String,
    secret: Zeroizing<String>,
}

impl JwtKeys {
    /// Returns an empty key set, which verifies no token: for functions that authenticate no callers.
    pub fn none() -> Self {
        Self(vec![])
    }

    /// Reads `JWT_KEYS`: a JSON object `{"kid": …, "secret": …}` or a list of these.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let text = env.required("JWT_KEYS");
        Self::parse(&text).unwrap_or_else(|reason| {
            if !text.is_empty() {
                env.report(format!("JWT_KEYS {reason}"));
            }
            Self::none()
        })
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let keys = match serde_json::from_str(text) {
            Ok(JwtKeysText::One(key)) => vec![key],
            Ok(JwtKeysText::Many(keys)) => keys,
            Err(_) => return Err("is not {\"kid\", \"secret\"} or a list of these"),
        };
        if keys.is_empty()
            || keys
                .iter()
                .any(|key| key.secret.len() < 32 || key.kid.is_empty())
        {
            return Err("needs a kid and a secret of 32 characters or more for each key");
        }
        let keys = keys.into_iter().map(|key| JwtKey {
            secret: Zeroizing::new(key.secret.as_bytes().to_vec()),
            kid: key.kid,
        });
        Ok(Self(keys.collect()))
    }

    /// Returns the key that signs. `None` only for [`JwtKeys::none`] or an invalid configuration.
    pub fn signing(&self) -> Option<&JwtKey> {
        self.0.first()
    }

    /// Returns the key with this `kid`.
    pub fn named(&self, kid: &str) -> Option<&JwtKey> {
        self.0
            .iter()
            .find(|key| verify_slices_are_equal(key.kid.as_bytes(), kid.as_bytes()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_key_is_refused_and_none_is_printed() {
        assert!(JwtKeys::parse(r#"{"kid":"a","secret":"short"}"#).is_err());
        let keys =
            JwtKeys::parse(r#"[{"kid":"a","secret":"0123456789abcdef0123456789abcdef"}]"#).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["a"]"#);
    }
}
