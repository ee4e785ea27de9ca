//! Events in Calweave's own form, which is the same for all providers.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::content::EventContent;
use super::details::{EventDetails, EventStatus, RsvpStatus, Transparency};
use super::ids::{CalendarId, EventId, OriginalStart};
use super::link::EventLink;
use super::recurrence::Series;
use super::time::EventTime;

/// A single event, a series, or an override (an occurrence of a series that was changed). The larger parts are boxed: a
/// feed has thousands of events, which are moved several times before they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Event id. The id of an override contains the id of its series and the original start.
    pub id: EventId,
    /// `UID` (RFC 5545 3.8.4.7); `iCalUID` or `iCalUId` in the providers' APIs.
    pub uid: String,
    /// Start.
    pub start: EventTime,
    /// End, exclusive.
    pub end: EventTime,
    /// Recurrence, if the event is a series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Box<Series>>,
    /// Whether the zone is a guess, because the feed names an unknown one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zone_guessed: bool,
    /// All other properties.
    #[serde(flatten)]
    pub details: Box<EventDetails>,
    /// Sync state between the event and its provider; absent in a feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<EventLink>>,
    /// Digest of all fields above except the link. A sync writes the event only if the digest differs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_hash: String,
    /// When Calweave last saw the event change.
    #[serde(default, skip_serializing_if = "super::details::is_default")]
    pub updated_at: DateTime<Utc>,
}

impl Event {
    /// Returns whether the event is shown: it is not being deleted, and if it is an override, its series is not being
    /// deleted either and still yields the occurrence.
    pub fn is_visible(&self) -> bool {
        self.link
            .as_ref()
            .is_none_or(|link| !link.is_deleting() && !link.is_hidden)
    }

    /// Returns whether the event was deleted in Calweave and is still to be deleted at the provider.
    pub fn is_deleting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_deleting())
    }

    /// Returns whether a local change is still to be written to the provider.
    pub fn is_edited(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.edit.is_some())
    }

    /// Returns the event as it was before the change that is still to be written; `None` if there is no such change, or if it
    /// has no base, as a creation.
    pub fn before_edit(&self) -> Option<Self> {
        let base = self.link.as_ref()?.edit.as_ref()?.base.clone()?;
        let mut before = self.clone();
        base.write_to(&mut before);
        Some(before)
    }

    /// Returns the calendar that contains the event.
    pub fn calendar(&self) -> CalendarId {
        self.id.calendar()
    }

    /// Returns the original start of the occurrence that an override replaces; `None` for any other event.
    pub fn original_start(&self) -> Option<OriginalStart> {
        self.id.original_start()
    }

    /// Returns the duration: elapsed time, whole days for an all-day event, or wall-clock time for a floating one. It
    /// is never negative.
    pub fn duration(&self) -> TimeDelta {
        match (self.start, self.end) {
            (EventTime::Date(start), EventTime::Date(end)) => end - start,
            (EventTime::Floating(start), EventTime::Floating(end)) => end - start,
            (start, end) => end.instant(chrono_tz::UTC) - start.instant(chrono_tz::UTC),
        }
        .max(TimeDelta::zero())
    }

    /// Returns whether the event is busy time for its owner: it is neither cancelled nor transparent, and the owner has
    /// not declined it. A tentative event or response counts as busy, to avoid double bookings.
    pub fn is_busy(&self) -> bool {
        let details = &self.details;
        let declined = details
            .attendees
            .iter()
            .any(|one| one.is_self && one.rsvp_status == RsvpStatus::Declined);
        details.status != EventStatus::Cancelled
            && details.transparency == Transparency::Opaque
            && !declined
    }

    /// Sets [`Event::content_hash`] and returns the event's size as JSON, in bytes. The times at which the provider
    /// wrote the event are not part of an event, so a producer that rewrites them on each fetch causes no change.
    pub fn hash(&mut self) -> usize {
        self.content_hash.clear();
        let (updated_at, link) = (std::mem::take(&mut self.updated_at), self.link.take());
        // A struct of plain fields always serialises; a wrong digest would only cause one unnecessary write.
        let mut text = Vec::with_capacity(1024);
        let written = serde_json::to_writer(&mut text, self);
        debug_assert!(written.is_ok(), "an event can be written");
        self.content_hash = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, &text).as_ref()[..12]);
        (self.updated_at, self.link) = (updated_at, link);
        text.len()
    }
}

impl EventContent {
    /// Returns the content of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            start: event.start,
            end: event.end,
            series: event.series.clone(),
            details: event.details.clone(),
        }
    }

    /// Replaces the content of `event`.
    pub fn write_to(self, event: &mut Event) {
        (event.start, event.end, event.series, event.details) =
            (self.start, self.end, self.series, self.details);
    }
}
