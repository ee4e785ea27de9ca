//! Authentication. A handler that takes a [`Caller`] runs only for a user with a valid session. Reads of the store
//! require the user id, which the caller provides.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use calweave_domain::ids::{SessionId, UserId};

use super::HttpState;
use super::problem::{Problem, ProblemType};
use super::token::verify;

/// An authenticated user. Extraction costs one consistent read, once per request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    user: UserId,
    session: SessionId,
}

impl Caller {
    /// Returns the user's id.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Returns the id of the session that the access token belongs to.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl<S: HttpState> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(*caller);
        }
        let http = state.as_ref();
        let refused = || Problem::new(ProblemType::Unauthenticated);
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(header), None) = (headers.next(), headers.next()) else {
            return Err(refused());
        };
        let (scheme, token) = header
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let claims =
            verify(&http.config.jwt_keys, token.trim(), http.clock.now()).ok_or_else(refused)?;
        http.store
            .session(claims.sub, claims.sid)
            .await?
            .ok_or_else(refused)?;
        let caller = Self {
            user: claims.sub,
            session: claims.sid,
        };
        parts.extensions.insert(caller);
        Ok(caller)
    }
}
