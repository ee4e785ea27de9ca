//! Grants: what a person has allowed Calweave to do at a provider, and the tokens that stand for it.

use chrono::{DateTime, TimeDelta, Utc};

use super::secret::Secret;

/// The tokens of a grant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// What a new access token is asked for with.
    pub refresh_token: Secret,
    /// What the provider's API is called with.
    pub access_token: Secret,
    /// Until when that is good.
    pub expires_at: DateTime<Utc>,
}

/// An access token is renewed this long before it expires, so that no call begins with one that ends on the way.
pub const MARGIN: TimeDelta = TimeDelta::seconds(90);

impl Grant {
    /// Whether the access token is good for a while yet.
    pub fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.expires_at - now > MARGIN
    }
}
