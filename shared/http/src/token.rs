//! Access tokens (JWT, RFC 7519) and refresh tokens.
//!
//! An access token is HS256 with `typ: at+jwt` and a `kid`; its claims name the person (`sub`) and the session (`sid`).
//! A refresh token is opaque: base64url of user (16 bytes), session (16), what the family shares (16), and a secret
//! (32). Only digests of the last two are stored, so a token that is not the current one can still be told from one
//! that was never issued.

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
/// How long a refresh token is valid; each use of one starts anew.
pub const REFRESH_LIFETIME: TimeDelta = TimeDelta::days(30);

const TYPE: &str = "at+jwt";
const ISSUER: &str = "calweave";
/// Longer than any token that was issued here.
const MAX_LENGTH: usize = 2_048;

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// `calweave`
    pub iss: String,
    /// The person.
    pub sub: UserId,
    /// The session.
    pub sid: SessionId,
    /// This token.
    pub jti: String,
    /// `access`
    pub typ: String,
    /// Issued at, in Unix seconds.
    pub iat: i64,
    /// Expires at, in Unix seconds.
    pub exp: i64,
}

/// Issues an access token of a session. `None` when it cannot be signed, which a read configuration excludes.
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

/// The claims of an access token that was issued here and has not expired. Whether its session still stands, the store
/// knows.
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
    // Against our own clock, below.
    validation.validate_exp = false;
    let claims = decode::<Claims>(token, &DecodingKey::from_secret(&key.secret), &validation)
        .ok()?
        .claims;
    (claims.typ == "access" && claims.exp > now.timestamp()).then_some(claims)
}

/// A refresh token, taken apart.
pub struct RefreshToken {
    /// Whose it is.
    pub user: UserId,
    /// Which session it continues.
    pub session: SessionId,
    family: [u8; 16],
    secret: [u8; 32],
}

impl RefreshToken {
    /// The first token of a new session.
    pub fn first(user: UserId, session: SessionId) -> Self {
        Self {
            user,
            session,
            family: random_bytes(),
            secret: random_bytes(),
        }
    }

    /// The token that takes this one's place.
    #[must_use]
    pub fn next(&self) -> Self {
        Self {
            secret: random_bytes(),
            ..*self
        }
    }

    /// Reads a token; `None` when it has not the form of one.
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

    /// As it is handed out.
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

    /// Digest of what all tokens of the session share.
    pub fn family_hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.family))
    }

    /// Digest of this token's own part.
    pub fn hash(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.secret))
    }

    /// Whether this token was ever issued for the session.
    pub fn belongs_to(&self, session: &Session) -> bool {
        verify_slices_are_equal(
            self.family_hash().as_bytes(),
            session.family_hash.as_bytes(),
        )
        .is_ok()
    }

    /// Whether this token is the one to be used next.
    pub fn is_current(&self, session: &Session) -> bool {
        verify_slices_are_equal(self.hash().as_bytes(), session.current_hash.as_bytes()).is_ok()
    }
}
