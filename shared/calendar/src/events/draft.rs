//! What a caller says about an event, before it is checked.

use calweave_domain::details::{EventStatus, ReminderMethod, Transparency, Visibility};
use calweave_domain::ids::CalendarId;
use calweave_domain::link::SendUpdates;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::recurrence::Recurrence;

/// What an event is to say. In a new event `calendarId`, `title`, `startTime` and `endTime` are needed; in a change what is
/// left out stays as it is, and null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EventBody)]
pub struct EventDraft {
    /// In which calendar: `cal_…`. An event stays in the calendar that it was made in.
    #[serde(default, alias = "calendarConnectionId", alias = "calendar_id")]
    #[schema(value_type = Option<String>)]
    pub calendar_id: Option<CalendarId>,
    /// 1 to 500 characters; not null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) title: Field<String>,
    /// Plain text or what the provider shows of HTML; at most 8,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) description: Field<String>,
    /// At most 500 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) location: Field<String>,
    /// RFC 3339, a wall-clock time in `timezone`, or a date for an all-day event.
    #[schema(example = "2026-03-02T09:00:00+01:00")]
    #[serde(default, alias = "start_time")]
    pub(super) start_time: Option<String>,
    /// Exclusive, in the same form.
    #[schema(example = "2026-03-02T10:00:00+01:00")]
    #[serde(default, alias = "end_time")]
    pub(super) end_time: Option<String>,
    /// Whether it takes whole days; also true where the times are dates.
    #[serde(default, alias = "is_all_day")]
    pub(super) is_all_day: Option<bool>,
    /// IANA name of the event's zone; the person's own for a new event.
    #[serde(default)]
    pub(super) timezone: Option<String>,
    /// How it repeats; null for not at all.
    #[serde(default)]
    #[schema(value_type = Option<Recurrence>)]
    pub(super) recurrence: Field<Recurrence>,
    /// The same as an `RRULE` (RFC 5545).
    #[serde(default, alias = "recurrence_rule")]
    #[schema(value_type = Option<String>, example = "FREQ=WEEKLY;BYDAY=MO")]
    pub(super) recurrence_rule: Field<String>,
    /// Who is invited, at most 100; the whole list.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Invited>>)]
    pub(super) attendees: Field<Vec<Invited>>,
    /// When to remind, at most 5; null for the calendar's own way.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Remind>>)]
    pub(super) reminders: Field<Vec<Remind>>,
    /// `CONFIRMED` or `TENTATIVE`.
    #[serde(default)]
    pub(super) status: Option<EventStatus>,
    /// Whether it takes up time.
    #[serde(default)]
    pub(super) transparency: Option<Transparency>,
    /// Who may see it.
    #[serde(default)]
    pub(super) visibility: Option<Visibility>,
    /// The provider's id of a colour; null for the calendar's.
    #[serde(default, alias = "color_id")]
    #[schema(value_type = Option<String>)]
    pub(super) color_id: Field<String>,
    /// Where to read more.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub(super) url: Field<String>,
    /// Whether the provider is to make an online meeting to go with it.
    #[serde(default, alias = "create_conference")]
    pub create_conference: bool,
    /// Who is told by mail; nobody unless said.
    #[serde(default, alias = "send_updates")]
    pub send_updates: SendUpdates,
    /// What becomes of a new series that the provider cannot repeat so.
    #[serde(default, alias = "when_inexpressible")]
    pub when_inexpressible: WhenInexpressible,
}

/// What becomes of a series that the provider cannot repeat so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum WhenInexpressible {
    /// It is refused, with the reason.
    #[default]
    Refuse,
    /// Each occurrence is an event of its own, as far ahead as calendars are read.
    Expand,
}

/// Somebody to invite.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// An address.
    pub(super) email: String,
    /// A name.
    #[serde(default, alias = "display_name")]
    pub(super) display_name: Option<String>,
    /// Whether they need not come.
    #[serde(default, alias = "is_optional")]
    pub(super) is_optional: bool,
}

/// When to remind.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Remind {
    /// `POPUP` or `EMAIL`.
    #[serde(default)]
    pub(super) method: ReminderMethod,
    /// 0 to 40,320: four weeks.
    #[serde(alias = "minutes_before")]
    pub(super) minutes_before: i64,
}

/// A field of a change.
#[derive(Debug, Default)]
pub(super) enum Field<T> {
    /// It was left out.
    #[default]
    Keep,
    /// It is null.
    Clear,
    /// It has a value.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
