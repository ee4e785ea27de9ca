//! Users and their sessions.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::ids::{SessionId, UserId};

/// A user of Calweave.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id.
    pub id: UserId,
    /// E-mail address, normalised by [`normalise_email`].
    pub email: String,
    /// Full name, as entered by the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The user's time zone, in which floating and all-day events are interpreted.
    pub timezone: Tz,
    /// Argon2id hash of the password, as a PHC string.
    pub password_hash: String,
    /// When the user signed up.
    pub created_at: DateTime<Utc>,
}

/// A session: one sign-in on one device, with its family of refresh tokens. They are valid only while it is stored and
/// has not expired.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Session id; the `sid` claim of its access tokens.
    pub id: SessionId,
    /// The owner.
    pub user_id: UserId,
    /// Digest of the part that all refresh tokens of the family share: proves that a token was issued.
    pub family_hash: String,
    /// Digest of the only refresh token that can be used next.
    pub current_hash: String,
    /// Digest of the refresh token that was used last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<String>,
    /// When it was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<DateTime<Utc>>,
    /// When the user signed in.
    pub created_at: DateTime<Utc>,
    /// When the session expires, in Unix seconds (DynamoDB TTL).
    pub expires_at: i64,
}

/// Normalises an e-mail address for storage and comparison: trimmed, in lower case. Returns `None` if it is not valid.
pub fn normalise_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let (local, domain) = email.rsplit_once('@')?;
    let sound = !local.is_empty()
        && !local.contains('@')
        && domain.split('.').count() > 1
        && domain.split('.').all(|label| !label.is_empty())
        && email.len() <= 254
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    sound.then_some(email)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_one_form() {
        assert_eq!(
            normalise_email("  Ada@Example.ORG "),
            Some("ada@example.org".into())
        );
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "ada@localhost",
            "a b@example.org",
            "a@b@example.org",
            "a@.org",
        ] {
            assert_eq!(normalise_email(bad), None, "{bad}");
        }
    }
}
