//! From where the syncs of an account's calendar go on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::calendar::SyncStats;

/// The state from which the next incremental sync of an account's calendar continues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncState {
    /// The provider's sync token or delta link, which returns the changes since the last sync.
    pub token: String,
    /// The query that the token was issued for. The token is not valid for any other query.
    pub query: String,
    /// Start of the synced window: events that end before this were not requested.
    pub from: DateTime<Utc>,
    /// End of the synced window: events that start after this were not requested.
    pub to: DateTime<Utc>,
    /// When the full sync began that has read the window.
    #[serde(default)]
    pub began_at: DateTime<Utc>,
    /// Start of the window of earlier full syncs, if it was before this one's. What is older than the window is kept as
    /// it was read then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_from: Option<DateTime<Utc>>,
    /// Whether the provider has reported removals of unknown events since all series were last read. Each of them may have
    /// been an occurrence: only its series tells.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_unexplained_removals: bool,
    /// When all series were last read for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_read_at: Option<DateTime<Utc>>,
    /// Until then each sync reads the whole window, because the provider did not end a list of changes. There is no token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_until: Option<DateTime<Utc>>,
}

impl SyncState {
    /// Returns the start of what has been read: that of the window, or of the history before it.
    pub fn read_from(&self) -> DateTime<Utc> {
        self.history_from
            .map_or(self.from, |from| from.min(self.from))
    }
}

/// How far a full sync has come that does not fit into one invocation. What it has read is in records beside the cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FullSync {
    /// Tells it from other full syncs of the calendar.
    pub generation: u64,
    /// The query that its pages belong to.
    pub query: String,
    /// Start of the window.
    pub from: DateTime<Utc>,
    /// End of the window.
    pub to: DateTime<Utc>,
    /// When it began.
    #[serde(default)]
    pub began_at: DateTime<Utc>,
    /// Whether it reads a snapshot; then, until when each sync does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots_until: Option<DateTime<Utc>>,
    /// Number of records.
    pub records: u32,
    /// How many of the series that the last page names have been read.
    #[serde(default)]
    pub series_read: usize,
    /// The token of the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page: Option<String>,
    /// The sync token or delta link of the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Whether the last page has been read.
    #[serde(default)]
    pub is_read: bool,
    /// Whether the removal of what was not sent has begun. It was found believable then.
    #[serde(default)]
    pub is_removing: bool,
    /// What it has done so far.
    #[serde(default)]
    pub stats: SyncStats,
}
