//! The tokens of a session, and the profile of its user.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::domain::account::{Session, User};
use shared::domain::ids::{SessionId, UserId};
use shared::http::token::{ACCESS_LIFETIME, REFRESH_LIFETIME, RefreshToken, issue};
use shared::http::{ApiResult, Problem, ProblemType};
use utoipa::ToSchema;

use crate::Context;

/// The profile of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = User)]
pub struct UserView {
    /// User id, `usr_…`.
    #[schema(value_type = String)]
    id: UserId,
    /// E-mail address, in lower case.
    email: String,
    /// Full name, as entered by the user.
    full_name: Option<String>,
    /// IANA time zone.
    timezone: &'static str,
    /// When the user signed up.
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

/// The tokens of a session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenPair {
    /// Access token, for the `Authorization: Bearer` header of each request.
    access_token: String,
    /// Refresh token, for one call of `/auth/refresh`, which returns the next one.
    refresh_token: String,
    /// Token type, `Bearer`.
    token_type: &'static str,
    /// Lifetime of the access token, in seconds.
    expires_in: i64,
    /// Profile of the user.
    user: UserView,
}

/// The response of the OAuth 2.0 token endpoint (RFC 6749 5.1).
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

/// Creates a session and its first refresh token. The caller stores the session.
pub fn begin(context: &Context, user: UserId) -> (Session, RefreshToken) {
    let now = context.clock.now();
    let id = SessionId::new(&context.clock);
    let token = RefreshToken::first(user, id);
    let session = Session {
        id,
        user_id: user,
        family_hash: token.family_hash(),
        current_hash: token.hash(),
        previous_hash: None,
        rotated_at: None,
        created_at: now,
        expires_at: (now + REFRESH_LIFETIME).timestamp(),
    };
    (session, token)
}

/// Issues an access token for a session, and returns it with the refresh token and the profile.
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
