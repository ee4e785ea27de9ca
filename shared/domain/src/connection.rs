//! Accounts with a provider that people have linked.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::calendar::{ChannelState, ProviderKind};
use super::ids::{ConnectionId, UserId};

/// A link to somebody's account with a provider; the vault keeps its grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    /// Identity.
    pub id: ConnectionId,
    /// Whose it is here.
    pub user_id: UserId,
    /// With whom the account is.
    pub provider: ProviderKind,
    /// What the provider calls the account, for ever: Google's `sub`, Microsoft's `tid` and `oid`.
    pub account_id: String,
    /// The account's address when it was linked; only to be shown.
    pub email: String,
    /// What the owner has granted.
    pub scopes: Vec<String>,
    /// Whether the grant works.
    pub status: ConnectionStatus,
    /// Why it does not, in words for the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// When the grant was given.
    pub granted_at: DateTime<Utc>,
    /// When the account was first linked.
    pub created_at: DateTime<Utc>,
    /// The channel by which the provider says that any of its calendars has changed, where it watches accounts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<ChannelState>,
    /// When its calendars were last listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed_at: Option<DateTime<Utc>>,
}

/// Whether a grant works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectionStatus {
    /// As far as anybody knows.
    Active,
    /// The provider takes it no longer: its owner has to grant anew.
    NeedsReauth,
    /// It was given back, with the last of the account's calendars.
    Disconnected,
}
