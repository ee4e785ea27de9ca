//! People and their sign-ins.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::ids::{SessionId, UserId};

/// A person with an account.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Identity.
    pub id: UserId,
    /// Normalised by [`normalise_email`].
    pub email: String,
    /// As the person writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_name: Option<String>,
    /// The zone in which floating and all-day events are read.
    pub timezone: Tz,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// When the person signed up.
    pub created_at: DateTime<Utc>,
}

/// A family of refresh tokens: one sign-in on one device. Its record says whether any token of it still stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Identity; the `sid` of its access tokens.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// Digest of what all refresh tokens of the family share: shows that a token was really issued.
    pub family_hash: String,
    /// Digest of the one refresh token that may be used next.
    pub current_hash: String,
    /// When the person signed in.
    pub created_at: DateTime<Utc>,
    /// Unix seconds after which it no longer stands (DynamoDB TTL).
    pub expires_at: i64,
}

/// The form in which an address is stored and compared: trimmed and in lower case. `None` when it cannot be one.
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
