//! The request body of a slot, with its validation.

use calweave_domain::ids::CalendarId;
use calweave_domain::rule::Rule;
use calweave_domain::slot::SlotTime;
use calweave_domain::time::to_instant;
use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::calendars::unknown_zone;
use crate::{Error, Result};

/// A slot to create or to update. `title`, `startTime` and `endTime` are required for a new slot. In an update, omitted
/// fields keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SlotBody)]
pub struct SlotDraft {
    /// Title, 1 to 200 characters.
    #[serde(default)]
    title: Option<String>,
    /// Category as free text, at most 100 characters.
    #[serde(default)]
    label: Option<String>,
    /// Weekday of a weekly slot, such as `MONDAY` or `MO`. Omitted for a slot that takes place once.
    #[serde(default, alias = "day_of_week")]
    day_of_week: Option<String>,
    /// Start. For a slot that takes place once: RFC 3339, or a wall-clock time in `timezone`. For a weekly slot: a time
    /// of day.
    #[serde(default, alias = "start_time", alias = "google_start_datetime")]
    #[schema(example = "09:00")]
    start_time: Option<String>,
    /// End, exclusive, in the same form as `startTime`.
    #[serde(default, alias = "end_time", alias = "google_end_datetime")]
    #[schema(example = "10:00")]
    end_time: Option<String>,
    /// IANA time zone. For a new slot, defaults to the zone of the user's profile.
    #[serde(default)]
    timezone: Option<String>,
    /// Id of the calendar that shows the slot, `cal_…`. It cannot be changed later.
    #[serde(default, alias = "calendar_id")]
    #[schema(value_type = Option<String>)]
    pub calendar_id: Option<CalendarId>,
}

/// Maximum duration of a slot that takes place once.
const LONGEST: TimeDelta = TimeDelta::days(31);

impl SlotDraft {
    /// Returns the validated title.
    ///
    /// # Errors
    /// When the title is empty or too long.
    pub fn title(&self) -> Result<Option<String>> {
        let title = self.title.as_ref().map(|title| title.trim().to_owned());
        match &title {
            Some(text) if text.is_empty() || text.chars().count() > 200 => {
                Err(Error::field("title", "must have 1 to 200 characters"))
            }
            _ => Ok(title),
        }
    }

    /// Returns the validated label.
    ///
    /// # Errors
    /// When the label is too long.
    pub fn label(&self) -> Result<Option<String>> {
        match &self.label {
            Some(text) if text.chars().count() > 100 => {
                Err(Error::field("label", "must have at most 100 characters"))
            }
            label => Ok(label.clone()),
        }
    }

    /// Returns the new time of a slot whose time was `before`; `None` when the draft does not change the time.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the invalid field.
    pub fn when(&self, reader: Tz, before: Option<SlotTime>) -> Result<Option<SlotTime>> {
        if [
            &self.start_time,
            &self.end_time,
            &self.day_of_week,
            &self.timezone,
        ]
        .into_iter()
        .all(Option::is_none)
        {
            return Ok(None);
        }
        let unknown = || unknown_zone("timezone");
        let known = before.map_or(reader, |before| before.zone());
        let zone = self
            .timezone
            .as_ref()
            .map_or(Ok(known), |name| name.parse().map_err(|_| unknown()))?;
        let weekday = match (&self.day_of_week, before) {
            (Some(name), _) => Some(Rule::weekday(name).ok_or_else(|| {
                Error::field("dayOfWeek", "must be a weekday such as MONDAY or MO")
            })?),
            (None, Some(SlotTime::Weekly { weekday, .. })) => Some(weekday),
            (None, _) => None,
        };
        match weekday {
            Some(weekday) => self.weekly(weekday, zone, before),
            None => self.dated(zone, before),
        }
        .map(Some)
    }

    fn weekly(&self, weekday: Weekday, zone: Tz, before: Option<SlotTime>) -> Result<SlotTime> {
        let (from, to) = match before {
            Some(SlotTime::Weekly { start, end, .. }) => (Some(start), Some(end)),
            _ => (None, None),
        };
        let read = |field: &'static str, text: Option<&String>, known: Option<NaiveTime>| match text
        {
            Some(text) => NaiveTime::parse_from_str(text, "%H:%M")
                .or_else(|_| NaiveTime::parse_from_str(text, "%H:%M:%S"))
                .map_err(|_| {
                    Error::field(
                        field,
                        "must be a time of day such as 09:00 for a weekly slot",
                    )
                }),
            None => known.ok_or_else(|| Error::field(field, "is required")),
        };
        let (start, end) = (
            read("startTime", self.start_time.as_ref(), from)?,
            read("endTime", self.end_time.as_ref(), to)?,
        );
        if start < end {
            Ok(SlotTime::Weekly {
                weekday,
                start,
                end,
                zone,
            })
        } else {
            Err(late())
        }
    }

    fn dated(&self, zone: Tz, before: Option<SlotTime>) -> Result<SlotTime> {
        let (from, to) = match before {
            Some(SlotTime::Dated { start, end, .. }) => (Some(start), Some(end)),
            _ => (None, None),
        };
        let read =
            |field: &'static str, text: Option<&String>, known: Option<NaiveDateTime>| match text {
                Some(text) => {
                    let moment = DateTime::parse_from_rfc3339(text)
                        .map(|at| at.with_timezone(&zone).naive_local());
                    let local = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok();
                    moment.ok().or_else(local).ok_or_else(|| {
                        Error::field(field, "must be RFC 3339, or a wall-clock time")
                    })
                }
                None => known.ok_or_else(|| Error::field(field, "is required")),
            };
        let (start, end) = (
            read("startTime", self.start_time.as_ref(), from)?,
            read("endTime", self.end_time.as_ref(), to)?,
        );
        // Compared as instants, because the UTC offset can change between start and end.
        match to_instant(end, zone) - to_instant(start, zone) {
            length if length <= TimeDelta::zero() => Err(late()),
            length if length > LONGEST => Err(Error::field(
                "endTime",
                "must be at most 31 days after startTime",
            )),
            _ => Ok(SlotTime::Dated { start, end, zone }),
        }
    }
}

fn late() -> Error {
    Error::field("endTime", "must be later than startTime")
}
