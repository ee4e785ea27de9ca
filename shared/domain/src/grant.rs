//! Grants: the OAuth tokens for a user's account with a provider.

use chrono::{DateTime, TimeDelta, Utc};

use super::secret::Secret;

/// The tokens of a grant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Refresh token, which obtains new access tokens.
    pub refresh_token: Secret,
    /// Access token for the provider's API.
    pub access_token: Secret,
    /// When the access token expires.
    pub expires_at: DateTime<Utc>,
}

/// An access token is renewed this long before it expires, so that it does not expire during a call.
pub const MARGIN: TimeDelta = TimeDelta::seconds(90);

impl Grant {
    /// Returns whether the access token is valid for longer than [`MARGIN`].
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.expires_at - now > MARGIN
    }
}
