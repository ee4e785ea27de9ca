//! A short digest for values that are only compared.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// Returns the first 18 bytes of SHA-256 (FIPS 180-4) as base64url: 24 characters.
pub fn digest_of(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, bytes).as_ref()[..18])
}
