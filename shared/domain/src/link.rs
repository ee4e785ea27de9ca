//! The sync state between an event and its provider: the local change that is still to be written, and the local change
//! that lost a conflict.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::content::EventContent;
use super::details::RsvpStatus;

/// The sync state between an event and its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventLink {
    /// Counts the writes of the stored event. A writer that has read an older revision must read the event again.
    pub revision: u64,
    /// The provider's id of the event; absent until it exists at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// The provider's version of the stored event, such as an ETag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How often the event was recreated at the provider, under a new id because ids of deleted events stay taken.
    pub generation: u32,
    /// The local change that is still to be written to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Box<Edit>>,
    /// Why writing it failed, as a message for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// A local change that lost a conflict with one at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<KeptEdit>>,
    /// Whether this override is hidden: its series is being deleted or no longer yields the occurrence, and that has
    /// not been written to the provider yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
}

/// The sync status of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LinkStatus {
    /// The event is the same in Calweave and at the provider, as far as is known.
    Synced,
    /// A local change is still to be written.
    Pending,
    /// A local change could not be written. It is kept.
    Failed,
    /// The event was rewritten too often within minutes. Nothing more is written until the user intervenes.
    Paused,
}

impl EventLink {
    /// Returns the sync status.
    pub fn status(&self) -> LinkStatus {
        match &self.edit {
            None if self.failure.is_some() => LinkStatus::Failed,
            None => LinkStatus::Synced,
            Some(edit) if edit.is_paused => LinkStatus::Paused,
            Some(_) if self.failure.is_some() => LinkStatus::Failed,
            Some(_) => LinkStatus::Pending,
        }
    }

    /// Returns whether the event is to be deleted at the provider.
    pub fn is_deleting(&self) -> bool {
        self.edit
            .as_ref()
            .is_some_and(|edit| edit.operation == Operation::Delete)
    }
}

/// An operation at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Create the event.
    Create,
    /// Update the event.
    Update,
    /// Delete the event.
    Delete,
}

/// Who is notified of a change by e-mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SendUpdates {
    /// All attendees.
    All,
    /// Attendees who do not use the same provider.
    ExternalOnly,
    /// No one.
    #[default]
    None,
}

impl SendUpdates {
    /// Returns the value that notifies everyone whom either value notifies.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::ExternalOnly, _) | (_, Self::ExternalOnly) => Self::ExternalOnly,
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// A response to an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RsvpResponse {
    /// The response of the account's owner.
    pub status: RsvpStatus,
    /// A comment for the organizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the organizer is notified by e-mail.
    pub notify: bool,
}

/// A local change that the provider does not have yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The operation to perform.
    pub operation: Operation,
    /// The content that both sides last agreed on; absent for an event that does not exist at the provider, or for an
    /// override whose series is recreated there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<EventContent>>,
    /// Earlier states of this change. Each may have been written although the provider's response was lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EventContent>,
    /// Who is notified by e-mail.
    #[serde(default)]
    pub send_updates: SendUpdates,
    /// Whether the provider should create an online meeting for the event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_conference: bool,
    /// The owner's response to an invitation, which is written by a call of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<RsvpResponse>>,
    /// When the change was made.
    pub made_at: DateTime<Utc>,
    /// When the change was rewritten because the event had also changed at the provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<DateTime<Utc>>,
    /// Whether writing is paused because of too many rewrites.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
}

/// More rewrites of one event than this within [`REWRITES_WITHIN`] are a loop.
const MAX_REWRITES: usize = 5;
/// The period in which rewrites are counted.
const REWRITES_WITHIN: TimeDelta = TimeDelta::minutes(10);

impl Edit {
    /// Creates a change with default options.
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

    /// Records that the change has to be rewritten because the event has also changed at the provider.
    pub fn record_rewrite(&mut self, now: DateTime<Utc>) {
        self.rewrites.retain(|at| now - *at < REWRITES_WITHIN);
        self.rewrites.push(now);
        self.is_paused = self.rewrites.len() > MAX_REWRITES;
    }
}

/// A local change that lost a conflict, kept for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptEdit {
    /// When the conflict was resolved.
    pub at: DateTime<Utc>,
    /// The API names of the fields that now have the provider's value.
    pub fields: Vec<String>,
    /// The content of the event with the local change.
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
        // Ten minutes later a rewrite no longer counts.
        edit.rewrites = vec![start; 5];
        edit.record_rewrite(start + REWRITES_WITHIN);
        assert_eq!(edit.rewrites.len(), 1);
    }

    #[test]
    fn the_status_says_what_becomes_of_an_edit() {
        let mut link = EventLink::default();
        assert_eq!(link.status(), LinkStatus::Synced);
        link.edit = Some(Box::new(Edit::new(
            Operation::Update,
            None,
            DateTime::UNIX_EPOCH,
        )));
        assert_eq!(link.status(), LinkStatus::Pending);
        link.failure = Some("refused".to_owned());
        assert_eq!(link.status(), LinkStatus::Failed);
        if let Some(edit) = &mut link.edit {
            edit.is_paused = true;
        }
        assert_eq!(link.status(), LinkStatus::Paused);
        link.edit = None;
        assert_eq!(link.status(), LinkStatus::Failed);
    }
}
