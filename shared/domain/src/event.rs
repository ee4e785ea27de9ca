//! Events in Calweave's own form, which is the same for all providers.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{CalendarId, EventId, OriginalStart};
use super::link::EventLink;
use super::recurrence::Series;
use super::time::EventTime;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

wire_enum!(
    /// `STATUS` of an event (RFC 5545 3.8.1.11).
    EventStatus {
        /// The event is definite.
        #[default]
        Confirmed,
        /// The event is tentative.
        Tentative,
        /// The event was cancelled.
        Cancelled,
    }
);
wire_enum!(
    /// `TRANSP`: whether the event counts as busy time (RFC 5545 3.8.2.7).
    Transparency {
        /// The event is busy time.
        #[default]
        Opaque,
        /// The event is free time.
        Transparent,
    }
);
wire_enum!(
    /// `CLASS`: the access classification of the event (RFC 5545 3.8.1.3).
    Visibility {
        /// Visible to everyone who can see the calendar.
        #[default]
        Public,
        /// Visible to the owner only.
        Private,
        /// Visible to a limited group.
        Confidential,
    }
);
wire_enum!(
    /// Importance of the event: `PRIORITY` in three steps (RFC 5545 3.8.1.9).
    Importance {
        /// Low importance.
        Low,
        /// Normal importance, the default.
        #[default]
        Normal,
        /// High importance.
        High,
    }
);
wire_enum!(
    /// `PARTSTAT`: an attendee's response to the invitation (RFC 5545 3.2.12).
    RsvpStatus {
        /// The attendee has not responded.
        #[default]
        NeedsAction,
        /// The attendee has accepted.
        Accepted,
        /// The attendee has declined.
        Declined,
        /// The attendee has accepted tentatively.
        Tentative,
    }
);
wire_enum!(
    /// How a reminder is delivered.
    ReminderMethod {
        /// On-screen notification.
        #[default]
        Popup,
        /// E-mail.
        Email,
    }
);

/// An attendee or the organizer of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attendee {
    /// E-mail address without `mailto:`, or the whole URI if it has another scheme.
    pub email: String,
    /// `CN`: display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `PARTSTAT`: response to the invitation.
    #[serde(default)]
    pub rsvp_status: RsvpStatus,
    /// Whether this is the organizer.
    #[serde(default)]
    pub is_organizer: bool,
    /// `ROLE=OPT-PARTICIPANT`: whether attendance is optional.
    #[serde(default)]
    pub is_optional: bool,
    /// Whether this is the account that owns the calendar.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_self: bool,
}

/// A reminder of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reminder {
    /// Delivery method.
    pub method: ReminderMethod,
    /// Minutes before the start; negative values are after the start.
    pub minutes_before: i64,
}

/// The properties of an event other than its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDetails {
    /// `SUMMARY`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// `DESCRIPTION`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// `LOCATION`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// `STATUS`
    #[serde(skip_serializing_if = "is_default")]
    pub status: EventStatus,
    /// `TRANSP`
    #[serde(skip_serializing_if = "is_default")]
    pub transparency: Transparency,
    /// `CLASS`
    #[serde(skip_serializing_if = "is_default")]
    pub visibility: Visibility,
    /// Importance.
    #[serde(skip_serializing_if = "is_default")]
    pub importance: Importance,
    /// The provider's availability value, if transparency and status cannot express it: `oof`, `workingElsewhere`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_as: Option<String>,
    /// `URL`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `CONFERENCE` (RFC 7986 5.11), or the meeting link from a producer-specific property.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conference_url: Option<String>,
    /// `CATEGORIES`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// `ORGANIZER` and `ATTENDEE`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attendees: Vec<Attendee>,
    /// `VALARM`
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<Reminder>,
    /// URL of the event in the provider's web interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_link: Option<String>,
    /// The provider's id for the event's own colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_id: Option<String>,
    /// The provider's type of a special event, which is read-only; absent for ordinary events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Whether the calendar's default reminders apply instead of `reminders`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uses_default_reminders: bool,
    /// Whether the provider has omitted attendees. The list must not be written back then.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attendees_omitted: bool,
    /// Values that Calweave cannot represent, kept verbatim: property name and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<(String, String)>,
}

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
    #[serde(default, skip_serializing_if = "is_default")]
    pub updated_at: DateTime<Utc>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
