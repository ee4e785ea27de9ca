//! Access tokens (JWT, RFC 7519) and refresh tokens.
//!
//! An access token is signed with HS256 and has `typ: at+jwt` and a `kid`; its claims contain the user (`sub`) and the
//! session (`sid`). A refresh token is opaque: base64url of the user (16 bytes), the session (16), a value that all
//! tokens of the session's family share (16), and a secret (32). Only digests of the last two are stored. The family
//! value distinguishes a token that was used before from one that was never issued.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calweave_base::clock::random_bytes;
use calweave_base::config::JwtKeys;
use calweave_domain::account::Session;
use calweave_domain::ids::{SessionId, UserId};
use calweave_domain::secret::Secret;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode,
};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// How long an access token is valid.
pub const ACCESS_LIFETIME: TimeDelta = TimeDelta::minutes(30);
/// How long a refresh token is valid. Each use issues a new token with a new lifetime.
pub const REFRESH_LIFETIME: TimeDelta = TimeDelta::days(30);

const TYPE: &str = "at+jwt";
const ISSUER: &str = "calweave";
/// Maximum length of an access token, in bytes. Issued tokens are shorter.
const MAX_LENGTH: usize = 2_048;

/// The claims of an access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Issuer: `calweave`.
    pub iss: String,
    /// Subject: the user.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// Unique id of the token.
    pub jti: String,
    /// Token type: `access`.
    pub typ: String,
    /// Issued at, in Unix seconds.
    pub iat: i64,
    /// Expires at, in Unix seconds.
    pub exp: i64,
}

/// Issues an access token for a session. `None` when it cannot be signed, which a valid configuration rules out.
pub fn issue(keys: &JwtKeys, session: &Session, now: DateTime<Utc>) -> Option<Secret> {
    let key = keys.signing()?;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(key.kid.clone());
    header.typ = Some(TYPE.to_owned());
    let claims = Claims {
        iss: ISSUER.to_owned(),
        sub: session.user_id,
        sid: session.id,
        jti: Ulid::from_bytes(random_bytes()).to_string(),
        typ: "access".to_owned(),
        iat: now.timestamp(),
        exp: (now + ACCESS_LIFETIME).timestamp(),
    };
    encode(&header, &claims, &EncodingKey::from_secret(&key.secret))
        .ok()
        .map(Secret::new)
}

/// Verifies signature, issuer, type and expiry of an access token, and returns its claims. Does not check whether the
/// session still exists.
pub fn verify(keys: &JwtKeys, token: &str, now: DateTime<Utc>) -> Option<Claims> {
    if token.len() > MAX_LENGTH {
        return None;
    }
    let header = decode_header(token).ok()?;
    if header.alg != Algorithm::HS256 || header.typ.as_deref() != Some(TYPE) {
        return None;
    }
    let key = keys.named(header.kid.as_deref()?)?;
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "sub", "iss"]);
    // The expiry is checked below, against `now`.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &validation)
        .ok()?
        .claims;
    (claims.typ == "access" && claims.exp > now.timestamp()).then_some(claims)
}

/// A parsed refresh token.
pub struct RefreshToken {
    /// The owner.
    pub user: UserId,
    /// The session that the token continues.
    pub session: SessionId,
    family: [u8; 16],
    secret: [u8; 32],
}

impl RefreshToken {
    /// Generates the first token of a new session.
    pub fn first(user: UserId, session: SessionId) -> Self {
        Self {
            user,
            session,
            family: random_bytes(),
            secret: random_bytes(),
        }
    }

    /// Generates the token that replaces this one.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            secret: random_bytes(),
            ..*self
        }
    }

    /// Parses a token; `None` when it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 80] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let part = |from: usize| <[u8; 16]>::try_from(&bytes[from..from + 16]).ok();
        Some(Self {
            user: UserId::from_bytes(part(0)?),
            session: SessionId::from_bytes(part(16)?),
            family: part(32)?,
            secret: bytes[48..].try_into().ok()?,
        })
    }

    /// Encodes the token for the client.
    pub fn to_secret(&self) -> Secret {
        let bytes = [
            &self.user.to_bytes()[..],
            &self.session.to_bytes(),
            &self.family,
            &self.secret,
        ]
        .concat();
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Returns the digest of the value that all tokens of the session share.
    pub fn family_hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.family))
    }

    /// Returns the digest of the token's secret.
    pub fn hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.secret))
    }

    /// Returns whether the token was issued for the session, at any time.
    pub fn belongs_to(&self, session: &Session) -> bool {
        verify_slices_are_equal(
            self.family_hash().as_bytes(),
            session.family_hash.as_bytes(),
        )
        .is_ok()
    }

    /// Returns whether the token is the current one of the session.
    pub fn is_current(&self, session: &Session) -> bool {
        verify_slices_are_equal(self.hash().as_bytes(), session.current_hash.as_bytes()).is_ok()
    }
}
