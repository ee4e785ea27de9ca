//! What a caller says about an event, checked field by field.

use std::collections::HashSet;

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer};
use shared::domain::event::{
    Attendee, Details, Reminder, ReminderMethod, RsvpStatus, Status, Transparency, Visibility,
};
use shared::domain::ids::CalendarId;
use shared::domain::link::{Content, SendUpdates};
use shared::domain::recurrence::Series;
use shared::domain::rule::Frequency;
use shared::domain::time::{EventTime, next_day};
use shared::http::problem::FieldError;
use shared::http::{Answer, Problem};
use utoipa::ToSchema;

use crate::recurrence::Recurrence;

/// What an event is to say. In a new event `calendarId`, `title`, `startTime` and `endTime` are needed; in a change what is
/// left out stays as it is, and null takes away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventBody {
    /// In which calendar: `cal_…`. An event stays in the calendar that it was made in.
    #[serde(default, alias = "calendarConnectionId", alias = "calendar_id")]
    #[schema(value_type = Option<String>)]
    pub calendar_id: Option<CalendarId>,
    /// 1 to 500 characters; not null.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    title: Field<String>,
    /// Plain text or what the provider shows of HTML; at most 8,000 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    description: Field<String>,
    /// At most 500 characters.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    location: Field<String>,
    /// RFC 3339, a wall-clock time in `timezone`, or a date for an all-day event.
    #[schema(example = "2026-03-02T09:00:00+01:00")]
    #[serde(default, alias = "start_time")]
    start_time: Option<String>,
    /// Exclusive, in the same form.
    #[schema(example = "2026-03-02T10:00:00+01:00")]
    #[serde(default, alias = "end_time")]
    end_time: Option<String>,
    /// Whether it takes whole days; also true where the times are dates.
    #[serde(default, alias = "is_all_day")]
    is_all_day: Option<bool>,
    /// IANA name of the event's zone; the person's own for a new event.
    #[serde(default)]
    timezone: Option<String>,
    /// How it repeats; null for not at all.
    #[serde(default)]
    #[schema(value_type = Option<Recurrence>)]
    recurrence: Field<Recurrence>,
    /// The same as an `RRULE` (RFC 5545).
    #[serde(default, alias = "recurrence_rule")]
    #[schema(value_type = Option<String>, example = "FREQ=WEEKLY;BYDAY=MO")]
    recurrence_rule: Field<String>,
    /// Who is invited, at most 100; the whole list.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Invited>>)]
    attendees: Field<Vec<Invited>>,
    /// When to remind, at most 5; null for the calendar's own way.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Remind>>)]
    reminders: Field<Vec<Remind>>,
    /// `CONFIRMED` or `TENTATIVE`.
    #[serde(default)]
    status: Option<Status>,
    /// Whether it takes up time.
    #[serde(default)]
    transparency: Option<Transparency>,
    /// Who may see it.
    #[serde(default)]
    visibility: Option<Visibility>,
    /// The provider's id of a colour; null for the calendar's.
    #[serde(default, alias = "color_id")]
    #[schema(value_type = Option<String>)]
    color_id: Field<String>,
    /// Where to read more.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    url: Field<String>,
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
pub(crate) struct Invited {
    /// An address.
    email: String,
    /// A name.
    #[serde(default, alias = "display_name")]
    display_name: Option<String>,
    /// Whether they need not come.
    #[serde(default, alias = "is_optional")]
    is_optional: bool,
}

/// When to remind.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remind {
    /// `POPUP` or `EMAIL`.
    #[serde(default)]
    method: ReminderMethod,
    /// 0 to 40,320: four weeks.
    #[serde(alias = "minutes_before")]
    minutes_before: i64,
}

/// A field of a change.
#[derive(Debug, Default)]
enum Field<T> {
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

const MAX_ATTENDEES: usize = 100;
const MAX_REMINDERS: usize = 5;
const MAX_MINUTES: i64 = 40_320;
/// The longest event.
const MAX_DURATION: TimeDelta = TimeDelta::days(366);

/// Collects what is wrong, so that all of it is said at once.
#[derive(Default)]
struct Wrong(Vec<FieldError>);

impl Wrong {
    fn say(&mut self, field: &str, message: &str) {
        self.0.push(FieldError {
            field: field.to_owned(),
            message: message.to_owned(),
        });
    }
}

impl EventBody {
    /// The content of a new event.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn create(self, reader: Tz) -> Answer<Content> {
        let mut missing = Wrong::default();
        for (field, is_missing) in [
            ("title", matches!(self.title, Field::Keep)),
            ("startTime", self.start_time.is_none()),
            ("endTime", self.end_time.is_none()),
        ] {
            if is_missing {
                missing.say(field, "is needed");
            }
        }
        if !missing.0.is_empty() {
            return Err(Problem::fields(missing.0));
        }
        let details = Details {
            uses_default_reminders: true,
            ..Details::default()
        };
        let epoch = EventTime::Zoned(NaiveDateTime::default(), reader);
        self.change(
            Content {
                start: epoch,
                end: epoch,
                series: None,
                details: Box::new(details),
            },
            reader,
        )
    }

    /// What becomes of an event that said `before`.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn change(self, before: Content, reader: Tz) -> Answer<Content> {
        let mut wrong = Wrong::default();
        let mut content = before;
        self.times(&mut content, reader, &mut wrong);
        let details = &mut *content.details;
        if matches!(self.title, Field::Clear) {
            wrong.say("title", "cannot be taken away");
        }
        if let Field::Set(title) = &self.title {
            let title: String = title.chars().filter(|c| !c.is_control()).collect();
            let title = title.trim();
            if title.is_empty() || title.chars().count() > 500 {
                wrong.say("title", "must have 1 to 500 characters");
            }
            title.clone_into(&mut details.title);
        }
        let mut text = |field: &'static str,
                        value: Field<String>,
                        longest: usize,
                        place: &mut Option<String>| match value {
            Field::Keep => {}
            Field::Clear => *place = None,
            Field::Set(text) => {
                if text.chars().count() > longest {
                    wrong.say(field, &format!("must have at most {longest} characters"));
                }
                *place = Some(text).filter(|text| !text.is_empty());
            }
        };
        text(
            "description",
            self.description,
            8_000,
            &mut details.description,
        );
        text("location", self.location, 500, &mut details.location);
        text("url", self.url, 2_000, &mut details.url);
        text("colorId", self.color_id, 20, &mut details.color_id);
        if details
            .url
            .as_ref()
            .is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://"))
        {
            wrong.say("url", "must begin with https:// or http://");
        }
        if let Some(status) = self.status {
            if status == Status::Cancelled {
                wrong.say("status", "cannot be CANCELLED; delete the event");
            }
            details.status = status;
        }
        details.transparency = self.transparency.unwrap_or(details.transparency);
        details.visibility = self.visibility.unwrap_or(details.visibility);
        match self.attendees {
            Field::Keep => {}
            Field::Clear => invite(vec![], details, &mut wrong),
            Field::Set(invited) => invite(invited, details, &mut wrong),
        }
        match self.reminders {
            Field::Keep => {}
            Field::Clear => (details.reminders, details.uses_default_reminders) = (vec![], true),
            Field::Set(reminders) => {
                if reminders.len() > MAX_REMINDERS {
                    wrong.say("reminders", "are more than 5");
                }
                if reminders
                    .iter()
                    .any(|reminder| !(0..=MAX_MINUTES).contains(&reminder.minutes_before))
                {
                    wrong.say("reminders", "must be 0 to 40320 minutes before");
                }
                let read = |reminder: Remind| Reminder {
                    method: reminder.method,
                    minutes_before: reminder.minutes_before,
                };
                (details.reminders, details.uses_default_reminders) =
                    (reminders.into_iter().map(read).collect(), false);
            }
        }
        let series = match (self.recurrence, self.recurrence_rule) {
            (Field::Set(_), Field::Set(_)) => {
                wrong.say("recurrenceRule", "cannot stand beside recurrence");
                None
            }
            (Field::Set(recurrence), _) => Some(recurrence.series(content.start).map(Some)),
            (_, Field::Set(text)) => Some(rule(&text).map(Some)),
            (Field::Clear, _) | (_, Field::Clear) => Some(Ok(None)),
            (Field::Keep, Field::Keep) => None,
        };
        if let Some(Ok(Some(series))) = &series
            && let Some((field, message)) = unusable(series, content.start, reader)
        {
            wrong.say(field, message);
        }
        match series {
            Some(Ok(series)) => content.series = series.map(Box::new),
            Some(Err((field, message))) => wrong.say(&field, &message),
            None => {}
        }
        if wrong.0.is_empty() {
            Ok(content)
        } else {
            Err(Problem::fields(wrong.0))
        }
    }

    /// Start and end, of one kind and in one zone. A new start alone takes the end along.
    fn times(&self, content: &mut Content, reader: Tz, wrong: &mut Wrong) {
        if self.start_time.is_none()
            && self.end_time.is_none()
            && self.timezone.is_none()
            && self.is_all_day.is_none()
        {
            return;
        }
        let zone = match &self.timezone {
            Some(name) => name.parse().unwrap_or_else(|_| {
                wrong.say("timezone", "is not an IANA time zone such as Europe/Berlin");
                reader
            }),
            None => content.start.zone().unwrap_or(reader),
        };
        // Days are counted, hours are measured.
        let length = match (content.start, content.end) {
            (EventTime::Date(start), EventTime::Date(end)) => end - start,
            (start, end) => end.instant(reader) - start.instant(reader),
        };
        let mut read = |field: &'static str, text: Option<&String>, old: EventTime| match text {
            None => old.with_zone(self.timezone.is_some().then_some(zone)),
            Some(text) => time(text, zone, self.is_all_day == Some(true)).unwrap_or_else(|| {
                wrong.say(
                    field,
                    "must be RFC 3339, a wall-clock time such as 2026-03-02T09:00:00, or a date",
                );
                old
            }),
        };
        let mut start = read("startTime", self.start_time.as_ref(), content.start);
        let mut end = read("endTime", self.end_time.as_ref(), content.end);
        if self.is_all_day == Some(true) && self.start_time.is_none() && self.end_time.is_none() {
            // All days that it touches.
            let last = end.local() - TimeDelta::nanoseconds(i64::from(end.local() > start.local()));
            let is_timed = !matches!(start, EventTime::Date(_));
            (start, end) = if is_timed {
                (
                    EventTime::Date(start.local().date()),
                    EventTime::Date(next_day(last.date())),
                )
            } else {
                (start, end)
            };
        }
        if self.start_time.is_some() && self.end_time.is_none() {
            end = start.plus(length);
        }
        let kind = |at: &EventTime| matches!(at, EventTime::Date(_));
        if kind(&start) != kind(&end) {
            wrong.say(
                "endTime",
                "must be a date where startTime is one, and a time where it is one",
            );
        } else if self
            .is_all_day
            .is_some_and(|all_day| all_day != kind(&start))
        {
            wrong.say("isAllDay", "does not go with the form of startTime");
        } else if end.instant(reader) < start.instant(reader) || (kind(&start) && start == end) {
            wrong.say(
                "endTime",
                "must be later than startTime; the end of an all-day event is the day after",
            );
        } else if end.instant(reader) - start.instant(reader) > MAX_DURATION {
            wrong.say("endTime", "must be at most 366 days after startTime");
        }
        (content.start, content.end) = (start, end);
    }
}

/// What of a rule nobody could mean.
fn unusable(series: &Series, start: EventTime, reader: Tz) -> Option<(&'static str, &'static str)> {
    let rule = series.rules.first()?;
    if rule.count.is_some() && rule.until.is_some() {
        return Some(("recurrenceRule", "cannot have both COUNT and UNTIL"));
    }
    if matches!(
        rule.frequency,
        Frequency::Secondly | Frequency::Minutely | Frequency::Hourly
    ) {
        return Some((
            "recurrenceRule",
            "must repeat DAILY, WEEKLY, MONTHLY or YEARLY",
        ));
    }
    let first = start.instant(reader);
    let far = first
        .checked_add_signed(TimeDelta::days(40_000))
        .unwrap_or(first);
    series
        .expand(start, first, far, reader, 1)
        .starts
        .is_empty()
        .then_some(("recurrence", "ends before the event begins"))
}

/// The series of one rule.
fn rule(text: &str) -> Result<Series, (String, String)> {
    match text.parse() {
        Ok(rule) => Ok(Series {
            rules: vec![rule],
            ..Series::default()
        }),
        Err(error) => Err(("recurrenceRule".to_owned(), error.to_string())),
    }
}

fn invite(invited: Vec<Invited>, details: &mut Details, wrong: &mut Wrong) {
    if details.attendees_omitted {
        wrong.say(
            "attendees",
            "cannot be changed: the provider shows only some of them",
        );
        return;
    }
    let mut seen = HashSet::new();
    if invited.len() > MAX_ATTENDEES {
        wrong.say("attendees", "are more than 100");
    }
    for (index, one) in invited.iter().enumerate() {
        let address = one.email.trim().to_lowercase();
        let sound = address
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !sound || address.contains(char::is_whitespace) || address.len() > 254 {
            wrong.say(&format!("attendees[{index}].email"), "is not an address");
        } else if !seen.insert(address) {
            wrong.say(&format!("attendees[{index}].email"), "stands twice");
        }
    }
    let known = std::mem::take(&mut details.attendees);
    let read = |one: Invited| {
        let before = known
            .iter()
            .find(|known| known.email.eq_ignore_ascii_case(one.email.trim()));
        Attendee {
            email: one.email.trim().to_owned(),
            display_name: one.display_name.or_else(|| before?.display_name.clone()),
            // What somebody has answered is theirs.
            rsvp_status: before.map_or(RsvpStatus::NeedsAction, |before| before.rsvp_status),
            is_organizer: before.is_some_and(|before| before.is_organizer),
            is_optional: one.is_optional,
            is_self: before.is_some_and(|before| before.is_self),
        }
    };
    details.attendees = invited.into_iter().map(read).collect();
}

/// RFC 3339 as the wall clock of `zone`, a wall-clock time there, or a date.
fn time(text: &str, zone: Tz, all_day: bool) -> Option<EventTime> {
    let text = text.trim();
    let years = 1..=9998;
    if let Ok(date) = text.parse::<NaiveDate>() {
        return years
            .contains(&chrono::Datelike::year(&date))
            .then_some(EventTime::Date(date));
    }
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => EventTime::at(at.to_utc(), zone),
        Err(_) => {
            let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S");
            EventTime::Zoned(
                local
                    .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
                    .ok()?,
                zone,
            )
        }
    };
    let at = if all_day {
        EventTime::Date(at.local().date())
    } else {
        at
    };
    years
        .contains(&chrono::Datelike::year(&at.local()))
        .then_some(at)
}
