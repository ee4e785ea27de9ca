//! How an event relates to its provider: what is still to be written there, and what was decided where both sides had
//! changed it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::content::EventContent;
use super::event::RsvpStatus;

/// An event's tie to its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventLink {
    /// Counts the writes of the stored event: whoever has an older one in hand must look again.
    pub revision: u64,
    /// What the provider calls it; none before the provider has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// The provider's version of what is stored, such as an entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How often the event had to be created anew at the provider, where ids of deleted events stay taken.
    pub generation: u32,
    /// What is to be written to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Box<Edit>>,
    /// Why writing it failed, in words for the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// A local edit that lost against one at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<KeptEdit>>,
    /// Whether nobody sees this changed occurrence for now: its series is to go, or has moved away from it, and the provider
    /// has not agreed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
}

/// Whether an event is the same here and at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LinkStatus {
    /// As far as anybody knows.
    Synced,
    /// A change made here is on its way.
    Pending,
    /// A change made here could not be written; it is kept.
    Failed,
    /// Written over and over again within minutes: nothing more is written until somebody looks.
    Paused,
}

impl EventLink {
    /// How it stands.
    pub fn status(&self) -> LinkStatus {
        match &self.edit {
            None if self.failure.is_some() => LinkStatus::Failed,
            None => LinkStatus::Synced,
            Some(edit) if edit.is_paused => LinkStatus::Paused,
            Some(_) if self.failure.is_some() => LinkStatus::Failed,
            Some(_) => LinkStatus::Pending,
        }
    }

    /// Whether the event is to go.
    pub fn is_deleting(&self) -> bool {
        self.edit
            .as_ref()
            .is_some_and(|edit| edit.operation == Operation::Delete)
    }
}

/// What is to be done at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Bring it into being.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

/// Who is told by mail about a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SendUpdates {
    /// Everybody who is invited.
    All,
    /// Those who do not use the same provider.
    ExternalOnly,
    /// Nobody.
    #[default]
    None,
}

impl SendUpdates {
    /// Whoever is told by either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::ExternalOnly, _) | (_, Self::ExternalOnly) => Self::ExternalOnly,
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// An answer to an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RsvpResponse {
    /// Whether the account's owner comes.
    pub status: RsvpStatus,
    /// A word to the organizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the organizer is told by mail.
    pub notify: bool,
}

/// A change that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// What to do.
    pub operation: Operation,
    /// What both sides last agreed on; none for an event that the provider has never seen, or an occurrence of a series that
    /// is made anew there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<EventContent>>,
    /// What the event was to be before it was to be this: it may have been written, and the answer been lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EventContent>,
    /// Who is told.
    #[serde(default)]
    pub send_updates: SendUpdates,
    /// Whether the provider should make a meeting to go with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_conference: bool,
    /// What the account's owner has answered to an invitation: it is written by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<RsvpResponse>>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When it was written again because the other side had changed too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<DateTime<Utc>>,
    /// Whether there were too many of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
}

/// More rewrites of one event than this …
const MAX_REWRITES: usize = 5;
/// … in this time are a loop.
const REWRITES_WITHIN: TimeDelta = TimeDelta::minutes(10);

impl Edit {
    /// A change made now.
    pub fn new(
        operation: Operation,
        base: Option<Box<EventContent>>,
        made_at: DateTime<Utc>,
    ) -> Self {
        let (send_updates, wants_conference, response) = (SendUpdates::None, false, None);
        let (earlier, rewrites) = (vec![], vec![]);
        Self {
            operation,
            base,
            earlier,
            send_updates,
            wants_conference,
            response,
            made_at,
            rewrites,
            is_paused: false,
        }
    }

    /// Notes that the change has to be written again, because the other side has changed meanwhile.
    pub fn record_rewrite(&mut self, now: DateTime<Utc>) {
        self.rewrites.retain(|at| now - *at < REWRITES_WITHIN);
        self.rewrites.push(now);
        self.is_paused = self.rewrites.len() > MAX_REWRITES;
    }
}

/// A local edit that lost, kept to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptEdit {
    /// When that was decided.
    pub at: DateTime<Utc>,
    /// The fields in which the provider's value stands now, by the names that the API gives them.
    pub fields: Vec<String>,
    /// What the event was to say.
    pub content: EventContent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rewritten_over_and_over_is_paused() {
        let start = DateTime::UNIX_EPOCH;
        let mut edit = Edit::new(Operation::Update, None, start);
        for minute in 0..5 {
            edit.record_rewrite(start + TimeDelta::minutes(minute));
        }
        assert!(!edit.is_paused);
        edit.record_rewrite(start + TimeDelta::minutes(5));
        assert!(edit.is_paused);
        edit.record_rewrite(start + TimeDelta::minutes(30));
        assert!(!edit.is_paused);
    }
}
