//! An event as Calweave keeps it: one item, whichever provider it came from.

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
        /// Definite.
        #[default]
        Confirmed,
        /// Not yet definite.
        Tentative,
        /// Does not take place.
        Cancelled,
    }
);
wire_enum!(
    /// `TRANSP`: whether the event takes up time (RFC 5545 3.8.2.7).
    Transparency {
        /// The person is busy.
        #[default]
        Opaque,
        /// The person is free.
        Transparent,
    }
);
wire_enum!(
    /// `CLASS`: who may see the event (RFC 5545 3.8.1.3).
    Visibility {
        /// Everyone who may see the calendar.
        #[default]
        Public,
        /// The person alone.
        Private,
        /// A stated group.
        Confidential,
    }
);
wire_enum!(
    /// How much it matters, where somebody has said so: `PRIORITY` in three steps (RFC 5545 3.8.1.9).
    Importance {
        /// Little.
        Low,
        /// As anything else.
        #[default]
        Normal,
        /// Much.
        High,
    }
);
wire_enum!(
    /// `PARTSTAT`: what somebody answered (RFC 5545 3.2.12).
    RsvpStatus {
        /// Not yet answered.
        #[default]
        NeedsAction,
        /// Will come.
        Accepted,
        /// Won't come.
        Declined,
        /// Might come.
        Tentative,
    }
);
wire_enum!(
    /// How a reminder reaches the person.
    ReminderMethod {
        /// On the screen.
        #[default]
        Popup,
        /// By e-mail.
        Email,
    }
);

/// Somebody who is invited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attendee {
    /// The address below `mailto:`, or the whole URI where it is another kind.
    pub email: String,
    /// `CN`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// `PARTSTAT`
    #[serde(default)]
    pub rsvp_status: RsvpStatus,
    /// Whether this is the organizer.
    #[serde(default)]
    pub is_organizer: bool,
    /// `ROLE=OPT-PARTICIPANT`
    #[serde(default)]
    pub is_optional: bool,
    /// Whether this is the account that the calendar belongs to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_self: bool,
}

/// When to remind the person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reminder {
    /// How.
    pub method: ReminderMethod,
    /// Minutes before the start; negative for after it.
    pub minutes_before: i64,
}

/// What an event says, apart from when it is.
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
    /// How much it matters.
    #[serde(skip_serializing_if = "is_default")]
    pub importance: Importance,
    /// How the provider shows the time, where transparency and status do not say it: `oof`, `workingElsewhere`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub show_as: Option<String>,
    /// `URL`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// `CONFERENCE` (RFC 7986 5.11), or the meeting link that the producer put in a property of its own.
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
    /// Where the provider shows the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_link: Option<String>,
    /// The provider's id of the event's own colour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_id: Option<String>,
    /// What kind of event the provider says it is, where it is no ordinary one: it can only be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Whether the calendar's default reminders are used in place of `reminders`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub uses_default_reminders: bool,
    /// Whether the provider has left out attendees, so that the list must not be written back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attendees_omitted: bool,
    /// Values that Calweave has no word for, kept as they came: property name and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<(String, String)>,
}

/// An event, a series, or an occurrence of a series that differs from its rule. Its larger parts are boxed: a feed has
/// thousands of events, and they are moved several times before they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Its id; that of an override names its series and original start.
    pub id: EventId,
    /// What the provider calls it: the UID of a feed's event.
    pub uid: String,
    /// When it starts.
    pub start: EventTime,
    /// When it ends, exclusively.
    pub end: EventTime,
    /// How it repeats, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Box<Series>>,
    /// Whether the zone is a guess, because the feed names one that nobody knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zone_guessed: bool,
    /// What it says.
    #[serde(flatten)]
    pub details: Box<EventDetails>,
    /// How it stands with the account that it belongs to; none in a feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Box<EventLink>>,
    /// Digest of everything above but the link: what decides whether a sync writes the event.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content_hash: String,
    /// When Calweave last saw it change.
    #[serde(default, skip_serializing_if = "is_default")]
    pub updated_at: DateTime<Utc>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Event {
    /// Whether anybody sees it: it is not to go, and the series that it is an occurrence of neither is to go nor has moved away.
    pub fn is_visible(&self) -> bool {
        self.link
            .as_ref()
            .is_none_or(|link| !link.is_deleting() && !link.is_hidden)
    }

    /// Whether it is to go, and the provider has not let it go yet.
    pub fn is_deleting(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.is_deleting())
    }

    /// Whether a change made here is still to be written.
    pub fn is_edited(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.edit.is_some())
    }

    /// The calendar that holds it.
    pub fn calendar(&self) -> CalendarId {
        self.id.calendar()
    }

    /// Which occurrence of its series it replaces, where it is an override.
    pub fn original_start(&self) -> Option<OriginalStart> {
        self.id.original_start()
    }

    /// Elapsed time from start to end; whole days for an all-day event, wall-clock time for a floating one.
    pub fn duration(&self) -> TimeDelta {
        match (self.start, self.end) {
            (EventTime::Date(start), EventTime::Date(end)) => end - start,
            (EventTime::Floating(start), EventTime::Floating(end)) => end - start,
            (start, end) => end.instant(chrono_tz::UTC) - start.instant(chrono_tz::UTC),
        }
        .max(TimeDelta::zero())
    }

    /// Whether it takes up its owner's time: not when it is cancelled or transparent, or when the owner has declined.
    /// Tentative is busy, be it the event or the owner's answer: better asked twice than booked twice.
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

    /// Sets [`Event::content_hash`]. Times at which the provider wrote the event are not part of an event, so a
    /// producer that rewrites them on each fetch changes nothing. Answers with the event's size as JSON, in bytes.
    pub fn hash(&mut self) -> usize {
        self.content_hash.clear();
        let (updated_at, link) = (std::mem::take(&mut self.updated_at), self.link.take());
        // A struct of plain fields always serialises; an empty text would only mean one write too many.
        let mut text = Vec::with_capacity(1024);
        let written = serde_json::to_writer(&mut text, self);
        debug_assert!(written.is_ok(), "an event can be written");
        self.content_hash = BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, &text).as_ref()[..12]);
        (self.updated_at, self.link) = (updated_at, link);
        text.len()
    }
}
