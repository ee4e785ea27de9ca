//! What an event says besides when it is.

use serde::{Deserialize, Serialize};

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

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
