//! The request body of an event, before validation.

use calweave_domain::details::{EventStatus, ReminderMethod, Transparency, Visibility};
use calweave_domain::ids::CalendarId;
use calweave_domain::link::SendUpdates;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::recurrence::Recurrence;

/// An event to create or to update. `calendarId`, `title`, `startTime` and `endTime` are required for a new event. In
/// an update, omitted fields keep their values, and null clears a field.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventBody)]
pub struct EventDraft {
    /// Id of the calendar, `cal_…`. An event cannot be moved to another calendar.
    #[serde(default, alias = "calendarConnectionId", alias = "calendar_id")]
    #[schema(value_type = Option<String>)]
    pub calendar_id: Option<CalendarId>,
    /// Title, 1 to 500 characters. Cannot be null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) title: Field<String>,
    /// Plain text, or HTML as far as the provider supports it; at most 8,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) description: Field<String>,
    /// Location, at most 500 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) location: Field<String>,
    /// Start: RFC 3339, a wall-clock time in `timezone`, or a date for an all-day event.
    #[schema(example = "2026-03-02T09:00:00+01:00")]
    #[serde(default, alias = "start_time")]
    pub(super) start_time: Option<String>,
    /// End, exclusive, in the same form as `startTime`.
    #[schema(example = "2026-03-02T10:00:00+01:00")]
    #[serde(default, alias = "end_time")]
    pub(super) end_time: Option<String>,
    /// Whether the event is all-day. Implied if the times are dates.
    #[serde(default, alias = "is_all_day")]
    pub(super) is_all_day: Option<bool>,
    /// IANA time zone of the event. For a new event, defaults to the zone of the user's profile.
    #[serde(default)]
    pub(super) timezone: Option<String>,
    /// Recurrence of the event; null for an event that does not recur.
    #[serde(default)]
    #[schema(value_type = Option<Recurrence>)]
    pub(super) recurrence: Field<Recurrence>,
    /// Recurrence as an `RRULE` (RFC 5545), as an alternative to `recurrence`.
    #[serde(default, alias = "recurrence_rule")]
    #[schema(value_type = Option<String>, example = "FREQ=WEEKLY;BYDAY=MO")]
    pub(super) recurrence_rule: Field<String>,
    /// Attendees, at most 100. Replaces the whole list.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Invited>>)]
    pub(super) attendees: Field<Vec<Invited>>,
    /// Reminders, at most 5; null for the default reminders of the calendar.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Remind>>)]
    pub(super) reminders: Field<Vec<Remind>>,
    /// Status: `CONFIRMED` or `TENTATIVE`.
    #[serde(default)]
    pub(super) status: Option<EventStatus>,
    /// Whether the event counts as busy time.
    #[serde(default)]
    pub(super) transparency: Option<Transparency>,
    /// Access classification of the event.
    #[serde(default)]
    pub(super) visibility: Option<Visibility>,
    /// The provider's id of a colour; null for the colour of the calendar.
    #[serde(default, alias = "color_id")]
    #[schema(value_type = Option<String>)]
    pub(super) color_id: Field<String>,
    /// URL of a page about the event, at most 2,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) url: Field<String>,
    /// Whether the provider creates an online meeting for the event.
    #[serde(default, alias = "create_conference")]
    pub create_conference: bool,
    /// Who is notified by e-mail. Defaults to no one.
    #[serde(default, alias = "send_updates")]
    pub send_updates: SendUpdates,
    /// What happens to a new series whose recurrence the provider does not support.
    #[serde(default, alias = "when_inexpressible")]
    pub when_inexpressible: WhenInexpressible,
}

/// What happens to a new series whose recurrence the provider does not support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WhenInexpressible {
    /// The request fails with a validation error.
    #[default]
    Refuse,
    /// Each occurrence in the synced window becomes a separate event.
    Expand,
}

/// An attendee to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// E-mail address.
    pub(super) email: String,
    /// Display name.
    #[serde(default, alias = "display_name")]
    pub(super) display_name: Option<String>,
    /// Whether attendance is optional.
    #[serde(default, alias = "is_optional")]
    pub(super) is_optional: bool,
}

/// A reminder.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Remind {
    /// Delivery method: `POPUP` or `EMAIL`.
    #[serde(default)]
    pub(super) method: ReminderMethod,
    /// Minutes before the start, 0 to 40,320 (four weeks).
    #[serde(alias = "minutes_before")]
    pub(super) minutes_before: i64,
}

/// A field of an update, which distinguishes an omitted field from null.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// The field was omitted: its value does not change.
    #[default]
    Keep,
    /// The field is null: its value is cleared.
    Clear,
    /// The field has a new value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
