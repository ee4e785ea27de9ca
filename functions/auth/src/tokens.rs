//! What a sign-in hands out.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::account::{Session, User};
use shared::domain::ids::{SessionId, UserId};
use shared::http::token::{ACCESS_LIFETIME, REFRESH_LIFETIME, RefreshToken, issue};
use shared::http::{ApiResult, Problem, ProblemType};
use utoipa::ToSchema;

use crate::Context;

/// A person, as the API shows them.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub struct UserView {
    /// `usr_…`
    #[schema(value_type = String)]
    id: UserId,
    /// In lower case.
    email: String,
    /// As the person writes it.
    full_name: Option<String>,
    /// IANA name.
    timezone: &'static str,
    /// When the person signed up.
    created_at: DateTime<Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            full_name: user.full_name,
            timezone: user.timezone.name(),
            created_at: user.created_at,
        }
    }
}

/// The tokens of a sign-in.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenPair {
    /// For the `Authorization: Bearer` header of every call.
    access_token: String,
    /// For `/auth/refresh`, once: each use hands out the next one.
    refresh_token: String,
    /// `Bearer`
    token_type: &'static str,
    /// Seconds for which the access token is valid.
    expires_in: i64,
    /// Who signed in.
    user: UserView,
}

/// The tokens of a sign-in by the OAuth 2.0 password form (RFC 6749 5.1).
#[derive(Debug, Serialize, ToSchema)]
pub struct OAuthTokens {
    access_token: String,
    refresh_token: String,
    token_type: &'static str,
    expires_in: i64,
}

impl From<TokenPair> for OAuthTokens {
    fn from(tokens: TokenPair) -> Self {
        let TokenPair {
            access_token,
            refresh_token,
            token_type,
            expires_in,
            ..
        } = tokens;
        Self {
            access_token,
            refresh_token,
            token_type,
            expires_in,
        }
    }
}

/// A new session of a person, and its first refresh token. It is not stored yet.
pub fn begin(context: &Context, user: UserId) -> (Session, RefreshToken) {
    let now = context.clock.now();
    let id = SessionId::new(&context.clock);
    let token = RefreshToken::first(user, id);
    let session = Session {
        id,
        user_id: user,
        family_hash: token.family_hash(),
        current_hash: token.hash(),
        created_at: now,
        expires_at: (now + REFRESH_LIFETIME).timestamp(),
    };
    (session, token)
}

/// The tokens of a session, for its owner.
pub fn hand_out(
    context: &Context,
    session: &Session,
    token: &RefreshToken,
    user: User,
) -> ApiResult<TokenPair> {
    let access = issue(&context.http.config.jwt_keys, session, context.clock.now())
        .ok_or_else(|| Problem::new(ProblemType::Internal))?;
    Ok(TokenPair {
        access_token: access.expose().to_owned(),
        refresh_token: token.to_secret().expose().to_owned(),
        token_type: "Bearer",
        expires_in: ACCESS_LIFETIME.num_seconds(),
        user: user.into(),
    })
}
