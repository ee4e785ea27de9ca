//! The content of an event: the part that can be changed in Calweave or at the provider.

use serde::{Deserialize, Serialize};

use super::details::{EventDetails, RsvpStatus};
use super::recurrence::Series;
use super::time::EventTime;

/// The part of an event that both sides can change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventContent {
    /// Start.
    pub start: EventTime,
    /// End, exclusive.
    pub end: EventTime,
    /// Recurrence, if the event is a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Box<Series>>,
    /// All other properties.
    #[serde(flatten)]
    pub details: Box<EventDetails>,
}

impl EventContent {
    /// Returns the response of the attendee with this address; the case of the address is ignored.
    pub(super) fn response_of(&self, email: &str) -> Option<RsvpStatus> {
        let found = self
            .details
            .attendees
            .iter()
            .find(|one| one.email.eq_ignore_ascii_case(email));
        found.map(|one| one.rsvp_status)
    }

    /// Replaces the responses of attendees with those in `other`, where it has them.
    pub fn adopt_responses(&mut self, other: &Self) {
        for one in &mut self.details.attendees {
            one.rsvp_status = other.response_of(&one.email).unwrap_or(one.rsvp_status);
        }
    }

    /// Returns the response of the account's owner; `None` if the owner is not an attendee.
    pub fn own_response(&self) -> Option<RsvpStatus> {
        self.details
            .attendees
            .iter()
            .find(|one| one.is_self)
            .map(|one| one.rsvp_status)
    }
}
