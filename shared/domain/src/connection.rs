//! Accounts with a provider that users have linked.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::calendar::ProviderKind;
use super::ids::{ConnectionId, UserId};

/// A linked account with a provider. The vault stores its grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Connection id.
    pub id: ConnectionId,
    /// The owner.
    pub user_id: UserId,
    /// The provider of the account.
    pub provider: ProviderKind,
    /// The provider's permanent id of the account: Google's `sub`, Microsoft's `tid` and `oid`.
    pub account_id: String,
    /// E-mail address of the account when it was linked; for display only.
    pub email: String,
    /// OAuth scopes that the owner has granted.
    pub scopes: Vec<String>,
    /// Status of the grant.
    pub status: ConnectionStatus,
    /// Why the grant does not work, as a message for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When the grant was given.
    pub granted_at: DateTime<Utc>,
    /// When the account was first linked.
    pub created_at: DateTime<Utc>,
    /// Until when the provider is not called about the account, because it has throttled the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<DateTime<Utc>>,
    /// When the account's calendars were last listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<DateTime<Utc>>,
}

/// The status of a connection's grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionStatus {
    /// The grant works, as far as is known.
    Active,
    /// The provider no longer accepts the grant: the owner has to link the account again.
    NeedsReauth,
    /// The grant was revoked when the last of the account's calendars was disconnected.
    Disconnected,
}
