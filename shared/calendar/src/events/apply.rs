//! Validates a draft and applies it to an event's content.

use std::collections::HashSet;

use calweave_domain::content::EventContent;
use calweave_domain::details::{Attendee, EventDetails, EventStatus, Reminder, RsvpStatus};
use calweave_domain::recurrence::Series;
use calweave_domain::rule::Frequency;
use calweave_domain::time::EventTime;
use calweave_domain::work::Work;
use chrono::{NaiveDateTime, TimeDelta};
use chrono_tz::Tz;

use super::draft::{EventDraft, Field, Invited, Remind};
use super::recurrence::Recurrence;
use crate::{FieldErrors, Result};

const MAX_TITLE: usize = 500;
const MAX_ATTENDEES: usize = 100;
const MAX_REMINDERS: usize = 5;
const MAX_MINUTES: i64 = 40_320;

impl EventDraft {
    /// Returns the content of a new event.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with all invalid fields.
    pub fn create(self, reader: Tz) -> Result<EventContent> {
        let mut missing = FieldErrors::default();
        for (field, is_missing) in [
            ("title", matches!(self.title, Field::Keep)),
            ("startTime", self.start_time.is_none()),
            ("endTime", self.end_time.is_none()),
        ] {
            if is_missing {
                missing.add(field, "is required");
            }
        }
        missing.or(())?;
        let details = EventDetails {
            uses_default_reminders: true,
            ..EventDetails::default()
        };
        let epoch = EventTime::Zoned(NaiveDateTime::default(), reader);
        let blank = EventContent {
            start: epoch,
            end: epoch,
            series: None,
            details: Box::new(details),
        };
        self.change(blank, reader)
    }

    /// Applies the draft to `content`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) with all invalid fields.
    pub fn change(self, mut content: EventContent, reader: Tz) -> Result<EventContent> {
        let mut errors = FieldErrors::default();
        (content.start, content.end) =
            self.times((content.start, content.end), reader, &mut errors);
        let details = &mut *content.details;
        title(&self.title, details, &mut errors);
        let mut text = |field, value, longest, place: &mut Option<String>| {
            text(field, value, longest, place, &mut errors);
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
        let is_http = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        if !details.url.as_ref().is_none_or(is_http) {
            errors.add("url", "must begin with https:// or http://");
        }
        if let Some(status) = self.status {
            if status == EventStatus::Cancelled {
                errors.add("status", "cannot be CANCELLED; delete the event");
            }
            details.status = status;
        }
        details.transparency = self.transparency.unwrap_or(details.transparency);
        details.visibility = self.visibility.unwrap_or(details.visibility);
        match self.attendees {
            Field::Keep => {}
            Field::Clear => invite(vec![], details, &mut errors),
            Field::Set(invited) => invite(invited, details, &mut errors),
        }
        reminders(self.reminders, details, &mut errors);
        match series(self.recurrence, self.recurrence_rule, content.start, reader) {
            Ok(Field::Keep) => {}
            Ok(Field::Clear) => content.series = None,
            Ok(Field::Set(series)) => content.series = Some(Box::new(series)),
            Err((field, message)) => errors.add(field, message),
        }
        errors.or(content)
    }
}

fn title(title: &Field<String>, details: &mut EventDetails, errors: &mut FieldErrors) {
    match title {
        Field::Keep => {}
        Field::Clear => errors.add("title", "cannot be null"),
        Field::Set(title) => {
            let title: String = title.chars().filter(|c| !c.is_control()).collect();
            let title = title.trim();
            if title.is_empty() || title.chars().count() > MAX_TITLE {
                errors.add("title", "must have 1 to 500 characters");
            }
            title.clone_into(&mut details.title);
        }
    }
}

fn text(
    field: &str,
    value: Field<String>,
    longest: usize,
    place: &mut Option<String>,
    errors: &mut FieldErrors,
) {
    match value {
        Field::Keep => {}
        Field::Clear => *place = None,
        Field::Set(text) => {
            if text.chars().count() > longest {
                errors.add(field, format!("must have at most {longest} characters"));
            }
            *place = Some(text).filter(|text| !text.is_empty());
        }
    }
}

fn reminders(reminders: Field<Vec<Remind>>, details: &mut EventDetails, errors: &mut FieldErrors) {
    match reminders {
        Field::Keep => {}
        Field::Clear => (details.reminders, details.uses_default_reminders) = (vec![], true),
        Field::Set(reminders) => {
            if reminders.len() > MAX_REMINDERS {
                errors.add("reminders", "must be at most 5");
            }
            let is_near = |reminder: &Remind| (0..=MAX_MINUTES).contains(&reminder.minutes_before);
            if !reminders.iter().all(is_near) {
                errors.add("reminders", "must be 0 to 40320 minutes before");
            }
            let read = |reminder: Remind| Reminder {
                method: reminder.method,
                minutes_before: reminder.minutes_before,
            };
            details.reminders = reminders.into_iter().map(read).collect();
            details.uses_default_reminders = false;
        }
    }
}

/// The name of an invalid field, and the message.
type Wrong = (String, String);

/// Returns the series of a draft.
fn series(
    recurrence: Field<Recurrence>,
    text: Field<String>,
    start: EventTime,
    reader: Tz,
) -> Result<Field<Series>, Wrong> {
    let series = match (recurrence, text) {
        (Field::Set(_), Field::Set(_)) => {
            let message = "cannot be combined with recurrence";
            return Err(("recurrenceRule".to_owned(), message.to_owned()));
        }
        (Field::Set(recurrence), _) => recurrence.series(start)?,
        (_, Field::Set(text)) => rule(&text)?,
        (Field::Clear, _) | (_, Field::Clear) => return Ok(Field::Clear),
        (Field::Keep, Field::Keep) => return Ok(Field::Keep),
    };
    match unusable(&series, start, reader) {
        Some((field, message)) => Err((field.to_owned(), message.to_owned())),
        None => Ok(Field::Set(series)),
    }
}

/// Returns the field and message of a validation error of a valid rule that the API does not accept, if any.
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
    if series.is_too_costly(start, &mut Work::one_rule()) {
        return Some(("recurrenceRule", "takes too long to evaluate"));
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

/// Parses an `RRULE` into a series.
fn rule(text: &str) -> Result<Series, Wrong> {
    match text.parse() {
        Ok(rule) => Ok(Series {
            rules: vec![rule],
            ..Series::default()
        }),
        Err(error) => Err(("recurrenceRule".to_owned(), error.to_string())),
    }
}

fn invite(invited: Vec<Invited>, details: &mut EventDetails, errors: &mut FieldErrors) {
    if details.attendees_omitted {
        errors.add(
            "attendees",
            "cannot be changed: the provider returns only some of them",
        );
        return;
    }
    let mut seen = HashSet::new();
    if invited.len() > MAX_ATTENDEES {
        errors.add("attendees", "must be at most 100");
    }
    for (index, one) in invited.iter().enumerate() {
        let address = one.email.trim().to_lowercase();
        let sound = address
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        if !sound || address.contains(char::is_whitespace) || address.len() > 254 {
            errors.add(
                format!("attendees[{index}].email"),
                "is not an e-mail address",
            );
        } else if !seen.insert(address) {
            errors.add(format!("attendees[{index}].email"), "is a duplicate");
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
            // The response belongs to the attendee and cannot be set here.
            rsvp_status: before.map_or(RsvpStatus::NeedsAction, |before| before.rsvp_status),
            is_organizer: before.is_some_and(|before| before.is_organizer),
            is_optional: one.is_optional,
            is_self: before.is_some_and(|before| before.is_self),
        }
    };
    details.attendees = invited.into_iter().map(read).collect();
}
