//! Authentication. A handler that takes a [`Caller`] runs only for a user with a valid session. Reads of the store
//! require the user id, which the caller provides.

use std::future::Future;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use calweave_domain::account::User;
use calweave_domain::ids::{SessionId, UserId};

use super::problem::{Problem, ProblemType};
use super::token::verify;
use super::{ApiResult, HttpContext, HttpState};

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
        let bearer = Bearer::from_request_parts(parts, state).await?;
        let Bearer { user, session } = bearer;
        let store = &state.as_ref().store;
        store.session(user, session).await?.ok_or_else(refused)?;
        let caller = Self { user, session };
        parts.extensions.insert(caller);
        Ok(caller)
    }
}

fn refused() -> Problem {
    Problem::new(ProblemType::Unauthenticated)
}

/// The holder of an access token whose signature and age are valid. Whether the token's session is, is not known yet: it is
/// found out while data of the user are read, and they are returned only if it is.
#[derive(Clone, Copy, Debug)]
pub struct Bearer {
    user: UserId,
    session: SessionId,
}

impl Bearer {
    /// Reads for the user while the session is checked.
    ///
    /// # Errors
    /// [`ProblemType::Unauthenticated`] when the session has ended, else the error of `read`.
    pub async fn read<T, E: Into<Problem>, F: Future<Output = Result<T, E>>>(
        self,
        http: &HttpContext,
        read: impl FnOnce(UserId) -> F,
    ) -> ApiResult<T> {
        let session = http.store.session(self.user, self.session);
        let (session, read) = tokio::join!(Box::pin(session), Box::pin(read(self.user)));
        session?.ok_or_else(refused)?;
        read.map_err(Into::into)
    }

    /// Reads for the user while the session and the user's profile are read.
    ///
    /// # Errors
    /// [`ProblemType::Unauthenticated`] when the session has ended, else the error of `read`.
    pub async fn read_with_profile<T, E: Into<Problem>, F: Future<Output = Result<T, E>>>(
        self,
        http: &HttpContext,
        read: impl FnOnce(UserId) -> F,
    ) -> ApiResult<(User, T)> {
        let profile = http.store.user_in_session(self.user, self.session);
        let (profile, read) = tokio::join!(Box::pin(profile), Box::pin(read(self.user)));
        let profile = profile?.ok_or_else(refused)?;
        Ok((profile, read.map_err(Into::into)?))
    }
}

impl<S: HttpState> FromRequestParts<S> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let http = state.as_ref();
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
        Ok(Self {
            user: claims.sub,
            session: claims.sid,
        })
    }
}
