//! Validation of the start and end of an event draft.

use calweave_domain::time::{EventTime, next_day};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use chrono_tz::Tz;

use super::draft::EventDraft;
use crate::FieldErrors;
use crate::calendars::NO_IANA_ZONE;

/// Maximum duration of an event.
const MAX_DURATION: TimeDelta = TimeDelta::days(366);

/// Start and end (exclusive) of an event.
pub(super) type Times = (EventTime, EventTime);

impl EventDraft {
    /// Returns the new start and end of an event whose times were `before`; both are dates, or times in the same zone.
    /// A new start without a new end keeps the duration.
    pub(super) fn times(&self, before: Times, reader: Tz, errors: &mut FieldErrors) -> Times {
        let (old_start, old_end) = before;
        if self.start_time.is_none()
            && self.end_time.is_none()
            && self.timezone.is_none()
            && self.is_all_day.is_none()
        {
            return before;
        }
        let zone = match &self.timezone {
            Some(name) => name.parse().unwrap_or_else(|_| {
                errors.add("timezone", NO_IANA_ZONE);
                reader
            }),
            None => old_start.zone().unwrap_or(reader),
        };
        let mut read = |field: &'static str, text: Option<&String>, old: EventTime| match text {
            None => old.with_zone(self.timezone.is_some().then_some(zone)),
            Some(text) => time(text, zone, self.is_all_day == Some(true)).unwrap_or_else(|| {
                errors.add(
                    field,
                    "must be RFC 3339, a wall-clock time such as 2026-03-02T09:00:00, or a date",
                );
                old
            }),
        };
        let mut start = read("startTime", self.start_time.as_ref(), old_start);
        let mut end = read("endTime", self.end_time.as_ref(), old_end);
        if self.is_all_day == Some(true) && self.start_time.is_none() && self.end_time.is_none() {
            (start, end) = whole_days(start, end);
        }
        if self.start_time.is_some() && self.end_time.is_none() {
            end = start.plus(duration(before, reader));
        }
        if let Some((field, message)) = self.mismatch((start, end), reader) {
            errors.add(field, message);
        }
        (start, end)
    }

    /// Returns the field and message of a validation error of start and end, if any.
    fn mismatch(&self, (start, end): Times, reader: Tz) -> Option<(&'static str, &'static str)> {
        let is_date = |at: EventTime| matches!(at, EventTime::Date(_));
        let contradicts = |is_all_day: bool| is_all_day != is_date(start);
        let elapsed = end.instant(reader) - start.instant(reader);
        if is_date(start) != is_date(end) {
            let message = "must have the form of startTime: a date or a time";
            Some(("endTime", message))
        } else if self.is_all_day.is_some_and(contradicts) {
            Some(("isAllDay", "does not match the form of startTime"))
        } else if elapsed < TimeDelta::zero() || (is_date(start) && start == end) {
            let message =
                "must be later than startTime; an all-day event ends on the day after its last day";
            Some(("endTime", message))
        } else if elapsed > MAX_DURATION {
            Some(("endTime", "must be at most 366 days after startTime"))
        } else {
            None
        }
    }
}

/// Returns the duration: in whole days between dates, else the elapsed time.
fn duration((start, end): Times, reader: Tz) -> TimeDelta {
    match (start, end) {
        (EventTime::Date(start), EventTime::Date(end)) => end - start,
        (start, end) => end.instant(reader) - start.instant(reader),
    }
}

/// Returns the dates that an event touches, with an exclusive end.
fn whole_days(start: EventTime, end: EventTime) -> Times {
    if matches!(start, EventTime::Date(_)) {
        return (start, end);
    }
    let last = end.local() - TimeDelta::nanoseconds(i64::from(end.local() > start.local()));
    (
        EventTime::Date(start.local().date()),
        EventTime::Date(next_day(last.date())),
    )
}

/// Parses an RFC 3339 time, converted to `zone`; a wall-clock time in `zone`; or a date. `None` for another form, or a
/// year outside 1 to 9998.
fn time(text: &str, zone: Tz, is_all_day: bool) -> Option<EventTime> {
    let text = text.trim();
    let years = 1..=9998;
    if let Ok(date) = text.parse::<NaiveDate>() {
        return years
            .contains(&date.year())
            .then_some(EventTime::Date(date));
    }
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => EventTime::at(at.to_utc(), zone),
        Err(_) => {
            let forms = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
            let mut read = forms
                .iter()
                .map(|form| NaiveDateTime::parse_from_str(text, form));
            EventTime::Zoned(read.find_map(Result::ok)?, zone)
        }
    };
    let at = if is_all_day {
        EventTime::Date(at.local().date())
    } else {
        at
    };
    years.contains(&at.local().year()).then_some(at)
}
