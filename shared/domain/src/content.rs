//! What an event says: the part of it that a person can change, here or at the provider.

use serde::{Deserialize, Serialize};

use super::event::{Event, EventDetails, RsvpStatus};
use super::recurrence::Series;
use super::time::EventTime;

/// What both sides can change of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventContent {
    /// When it starts.
    pub start: EventTime,
    /// When it ends, exclusively.
    pub end: EventTime,
    /// How it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Box<Series>>,
    /// What it says.
    #[serde(flatten)]
    pub details: Box<EventDetails>,
}

impl EventContent {
    /// That of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            start: event.start,
            end: event.end,
            series: event.series.clone(),
            details: event.details.clone(),
        }
    }

    /// What somebody who is invited has answered.
    pub(super) fn response_of(&self, email: &str) -> Option<RsvpStatus> {
        let found = self
            .details
            .attendees
            .iter()
            .find(|one| one.email.eq_ignore_ascii_case(email));
        found.map(|one| one.rsvp_status)
    }

    /// Takes over what those who are invited have answered elsewhere.
    pub fn adopt_responses(&mut self, other: &Self) {
        for one in &mut self.details.attendees {
            one.rsvp_status = other.response_of(&one.email).unwrap_or(one.rsvp_status);
        }
    }

    /// What the account's owner has answered.
    pub fn own_response(&self) -> Option<RsvpStatus> {
        self.details
            .attendees
            .iter()
            .find(|one| one.is_self)
            .map(|one| one.rsvp_status)
    }

    /// Puts it in place of an event's.
    pub fn write_to(self, event: &mut Event) {
        (event.start, event.end, event.series, event.details) =
            (self.start, self.end, self.series, self.details);
    }
}
