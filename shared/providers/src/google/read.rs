//! Converts Google's event resource
//! (<https://developers.google.com/calendar/api/v3/reference/events#resource>) to an [`Event`].
//!
//! Every field but the id may be missing. A value that does not have the documented form is
//! ignored. Only an event whose times cannot be read is left out, with a warning.

use calweave_domain::details::{
    Attendee, EventDetails, EventStatus, Reminder, ReminderMethod, RsvpStatus, Transparency,
    Visibility,
};
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_domain::link::EventLink;
use calweave_domain::recurrence::Series;
use calweave_domain::time::EventTime;
use calweave_domain::zones::resolve;
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::{RemoteCalendar, ids};
use crate::{Change, bounded};

/// Google's placeholder for the organizer of an event that was created from an email.
const UNKNOWN_ORGANIZER: &str = "unknownorganizer@calendar.google.com";

/// Converts one item of a list.
///
/// # Errors
/// A sentence for the calendar's owner if the item cannot be converted.
pub(super) fn change(target: RemoteCalendar<'_>, item: &Value) -> Result<Change, String> {
    let id = item["id"]
        .as_str()
        .ok_or("Google sent an event without an id.")?;
    if item["status"] != "cancelled" {
        return event(target, item).map(|event| Change::Upserted(Box::new(event)));
    }
    // Google guarantees only the id of a cancelled event. A cancelled occurrence also has the id of
    // its series and its original start.
    match (text(item, "recurringEventId"), original_start(target, item)) {
        (Some(series), Some(original)) => Ok(Change::OccurrenceCancelled {
            series: ids::event_id(target.calendar, &series),
            original,
        }),
        _ => Ok(Change::Removed {
            id: ids::event_id(target.calendar, id),
            remote_id: id.to_owned(),
        }),
    }
}

/// Returns Calweave's id of an event, a series or an exception.
pub(super) fn id(target: RemoteCalendar<'_>, item: &Value) -> Option<EventId> {
    match (text(item, "recurringEventId"), original_start(target, item)) {
        (Some(series), Some(original)) => {
            Some(ids::event_id(target.calendar, &series).occurrence(original))
        }
        _ => Some(ids::event_id(target.calendar, item["id"].as_str()?)),
    }
}

/// Converts an event that is not cancelled.
///
/// # Errors
/// A sentence for the calendar's owner if the event's times cannot be read.
pub(super) fn event(target: RemoteCalendar<'_>, item: &Value) -> Result<Event, String> {
    let remote_id = item["id"]
        .as_str()
        .ok_or("Google sent an event without an id.")?;
    let mut details = details(item);
    let unreadable = || {
        format!(
            "The times of {:?} cannot be read; it is not shown.",
            short(&details.title)
        )
    };
    let start = time(&item["start"], target.zone).ok_or_else(unreadable)?;
    let end = end(time(&item["end"], target.zone), start);
    let id = id(target, item).ok_or("Google sent an event without an id.")?;
    let series = series(item, start, &mut details).map(Box::new);
    let link = EventLink {
        remote_id: Some(remote_id.to_owned()),
        version: text(item, "etag"),
        ..EventLink::default()
    };
    let mut event = Event {
        id,
        uid: text(item, "iCalUID").unwrap_or_else(|| remote_id.to_owned()),
        start,
        end,
        series,
        zone_guessed: is_zone_unknown(&item["start"]),
        details: Box::new(details),
        link: Some(Box::new(link)),
        content_hash: String::new(),
        updated_at: DateTime::<Utc>::UNIX_EPOCH,
    };
    event.hash();
    Ok(event)
}

/// Returns the end of an event. An all-day event lasts at least one day. If the end is missing or
/// earlier than that, or before the start, the earliest valid end replaces it.
fn end(end: Option<EventTime>, start: EventTime) -> EventTime {
    let least = match start {
        EventTime::Date(date) => EventTime::Date(date + TimeDelta::days(1)),
        _ => start,
    };
    let is_late = |end: &EventTime| end.instant(Tz::UTC) >= least.instant(Tz::UTC);
    end.filter(is_late).unwrap_or(least)
}

/// Returns a string field; `None` if it is missing or empty.
fn text(item: &Value, name: &str) -> Option<String> {
    item[name]
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Shortens a title for a warning.
fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

fn details(item: &Value) -> EventDetails {
    let event_type = text(item, "eventType").filter(|kind| kind != "default");
    let mut unknown = Vec::new();
    let visibility = match item["visibility"].as_str() {
        Some("private") => Visibility::Private,
        Some("confidential") => Visibility::Confidential,
        Some("default" | "public") | None => Visibility::Public,
        // RFC 5545 section 3.8.1.3: an unknown class is treated as private.
        Some(other) => {
            unknown.push(("visibility".to_owned(), other.to_owned()));
            Visibility::Private
        }
    };
    let status = match item["status"].as_str() {
        Some("tentative") => EventStatus::Tentative,
        Some("cancelled") => EventStatus::Cancelled,
        Some("confirmed") | None => EventStatus::Confirmed,
        Some(other) => {
            unknown.push(("status".to_owned(), other.to_owned()));
            EventStatus::Confirmed
        }
    };
    // A working location does not make its owner busy.
    let is_free =
        item["transparency"] == "transparent" || event_type.as_deref() == Some("workingLocation");
    EventDetails {
        title: text(item, "summary").unwrap_or_default(),
        description: text(item, "description").map(bounded),
        location: text(item, "location"),
        status,
        transparency: if is_free {
            Transparency::Transparent
        } else {
            Transparency::Opaque
        },
        visibility,
        url: text(&item["source"], "url"),
        conference_url: conference(item),
        attendees: attendees(item),
        reminders: item["reminders"]["overrides"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(reminder)
            .collect(),
        html_link: text(item, "htmlLink"),
        color_id: text(item, "colorId"),
        event_type,
        uses_default_reminders: item["reminders"]["useDefault"] == true,
        attendees_omitted: item["attendeesOmitted"] == true,
        unknown,
        ..EventDetails::default()
    }
}

/// Returns the URL of the video conference.
fn conference(item: &Value) -> Option<String> {
    let entries = item["conferenceData"]["entryPoints"]
        .as_array()
        .into_iter()
        .flatten();
    let video = entries
        .clone()
        .find(|entry| entry["entryPointType"] == "video")
        .and_then(|entry| text(entry, "uri"));
    text(item, "hangoutLink").or(video)
}

/// Returns the attendees. If an event has attendees and its organizer is not one of them, the
/// organizer is added at the end.
fn attendees(item: &Value) -> Vec<Attendee> {
    let listed = item["attendees"].as_array().into_iter().flatten();
    let mut attendees: Vec<Attendee> = listed.filter_map(attendee).collect();
    let organizer = text(&item["organizer"], "email").filter(|email| email != UNKNOWN_ORGANIZER);
    let is_listed = |email: &String| {
        let is_same = |one: &Attendee| one.is_organizer || one.email.eq_ignore_ascii_case(email);
        attendees.iter().any(is_same)
    };
    if !attendees.is_empty()
        && let Some(email) = organizer.filter(|email| !is_listed(email))
    {
        attendees.push(Attendee {
            email,
            display_name: text(&item["organizer"], "displayName"),
            rsvp_status: RsvpStatus::Accepted,
            is_organizer: true,
            is_optional: false,
            is_self: item["organizer"]["self"] == true,
        });
    }
    attendees
}

fn attendee(value: &Value) -> Option<Attendee> {
    let rsvp_status = match value["responseStatus"].as_str() {
        Some("accepted") => RsvpStatus::Accepted,
        Some("declined") => RsvpStatus::Declined,
        Some("tentative") => RsvpStatus::Tentative,
        _ => RsvpStatus::NeedsAction,
    };
    Some(Attendee {
        email: text(value, "email")?,
        display_name: text(value, "displayName"),
        rsvp_status,
        is_organizer: value["organizer"] == true,
        is_optional: value["optional"] == true,
        is_self: value["self"] == true,
    })
}

fn reminder(value: &Value) -> Option<Reminder> {
    let method = match value["method"].as_str()? {
        "email" => ReminderMethod::Email,
        "popup" => ReminderMethod::Popup,
        // For example `sms`, which Google no longer sends. RFC 5545 section 3.8.6.1: unknown
        // actions are ignored.
        _ => return None,
    };
    Some(Reminder {
        method,
        minutes_before: value["minutes"].as_i64()?,
    })
}

/// Resolves a time zone name. Google writes IANA names, and passes on other names from imported
/// events.
fn zone_of(name: &str) -> Option<Tz> {
    name.parse().ok().or_else(|| resolve(name))
}

/// Returns whether a time names an unknown zone. The calendar's zone then replaces it.
fn is_zone_unknown(value: &Value) -> bool {
    let name = value["timeZone"].as_str().filter(|name| !name.is_empty());
    value["dateTime"].is_string() && name.is_some_and(|name| zone_of(name).is_none())
}

/// Converts `{date}` or `{dateTime, timeZone}`. A time without a known zone is in `zone`.
fn time(value: &Value, zone: Tz) -> Option<EventTime> {
    if let Some(date) = value["date"].as_str() {
        return date.parse::<NaiveDate>().ok().map(EventTime::Date);
    }
    let zone = value["timeZone"].as_str().and_then(zone_of).unwrap_or(zone);
    let text = value["dateTime"].as_str()?;
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Some(EventTime::at(at.to_utc(), zone)),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S")
            .ok()
            .map(|local| EventTime::Zoned(local, zone)),
    }
}

pub(super) fn original_start(target: RemoteCalendar<'_>, item: &Value) -> Option<OriginalStart> {
    time(&item["originalStartTime"], target.zone).map(|at| at.original_start())
}

/// Converts `recurrence`: content lines of RFC 5545 without `DTSTART`. A line that cannot be read
/// is added to `details.unknown`. Returns `None` if no line can be read: the event is then shown
/// once.
fn series(item: &Value, start: EventTime, details: &mut EventDetails) -> Option<Series> {
    let lines = item["recurrence"].as_array()?;
    let mut series = Series::default();
    let mut found = false;
    for line in lines.iter().filter_map(Value::as_str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let (name, parameters) = name.split_once(';').unwrap_or((name, ""));
        // Google has been observed to send `RRULE:DATE;TZID=Europe/Oslo:20260309T090000`
        // (gcal_sync#327).
        let garbled = value.strip_prefix("DATE;").filter(|_| name == "RRULE");
        let garbled = garbled.and_then(|rest| rest.split_once(':'));
        let (name, parameters, value) = match garbled {
            Some((parameters, value)) => ("RDATE", parameters, value),
            None => (name, parameters, value),
        };
        let understood = match name.to_ascii_uppercase().as_str() {
            "RRULE" => value.parse().map(|rule| series.rules.push(rule)).is_ok(),
            "EXRULE" => value
                .parse()
                .map(|rule| series.except_rules.push(rule))
                .is_ok(),
            "RDATE" => dates(value, parameters, start)
                .map(|dates| {
                    let timed = dates.into_iter().map(|date| with_time_of(start, date));
                    series.dates.extend(timed);
                })
                .is_some(),
            "EXDATE" => dates(value, parameters, start)
                .map(|dates| {
                    series
                        .except_dates
                        .extend(dates.iter().map(EventTime::original_start));
                })
                .is_some(),
            _ => false,
        };
        if understood {
            found = true;
        } else {
            details.unknown.push((name.to_owned(), value.to_owned()));
        }
    }
    found.then_some(series)
}

/// Gives a date the time of day of `start`, if `start` has one.
fn with_time_of(start: EventTime, date: EventTime) -> EventTime {
    match (start, date) {
        (EventTime::Date(_), _) => date,
        (_, EventTime::Date(date)) => start.with_local(date.and_time(start.local().time())),
        _ => date,
    }
}

/// Parses a list of dates and times (RFC 5545 sections 3.3.4 and 3.3.5). Times are converted to the
/// kind and the zone of `start`.
fn dates(value: &str, parameters: &str, start: EventTime) -> Option<Vec<EventTime>> {
    let zone = parameters
        .split(';')
        .find_map(|part| part.strip_prefix("TZID="))
        .and_then(|name| zone_of(name.trim_matches('"')))
        .or(start.zone())
        .unwrap_or(Tz::UTC);
    let one = |text: &str| -> Option<EventTime> {
        // Of a period, only the start is used.
        let text = text.split('/').next()?.trim();
        if text.len() == 8 {
            return NaiveDate::parse_from_str(text, "%Y%m%d")
                .ok()
                .map(EventTime::Date);
        }
        let (local, zone) = match text.strip_suffix('Z') {
            Some(utc) => (utc, Tz::UTC),
            None => (text, zone),
        };
        let at = EventTime::Zoned(
            NaiveDateTime::parse_from_str(local, "%Y%m%dT%H%M%S").ok()?,
            zone,
        );
        Some(match start {
            // In the zone of the series, so that all its occurrences are shown in one zone.
            EventTime::Zoned(_, own) => {
                EventTime::Zoned(at.instant(own).with_timezone(&own).naive_local(), own)
            }
            EventTime::Date(_) => EventTime::Date(at.local().date()),
            EventTime::Floating(_) => EventTime::Floating(at.local()),
        })
    };
    value
        .split(',')
        .filter(|text| !text.trim().is_empty())
        .map(one)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use calweave_domain::ids::CalendarId;

    fn target() -> RemoteCalendar<'static> {
        RemoteCalendar {
            calendar: CalendarId::from_bytes([1; 16]),
            remote_id: "primary",
            zone: Tz::Europe__Berlin,
            is_primary: true,
            is_shared: false,
        }
    }

    #[test]
    fn a_cancelled_item_may_carry_nothing_but_its_id() {
        let gone = change(target(), &json!({ "id": "abcde", "status": "cancelled" })).unwrap();
        assert!(
            matches!(gone, Change::Removed { id, .. } if id == ids::event_id(target().calendar, "abcde"))
        );
        let item = json!({
            "id": "abcde_20260302", "status": "cancelled", "recurringEventId": "abcde", "originalStartTime": { "date": "2026-03-02" }
        });
        let Change::OccurrenceCancelled { series, original } = change(target(), &item).unwrap()
        else {
            panic!("an occurrence")
        };
        assert_eq!(
            (series, original.to_string()),
            (
                ids::event_id(target().calendar, "abcde"),
                "20260302".to_owned()
            )
        );
    }

    #[test]
    fn values_that_nobody_has_heard_of_cost_nothing_else() {
        let item = json!({
            "id": "abcde", "status": "hovering", "summary": 7, "start": { "dateTime": "2026-03-02T09:00:00+01:00", "timeZone": "Mars/Olympus" },
            "end": { "dateTime": "2026-03-02T10:00:00+01:00" }, "recurrence": ["RRULE:FREQ=FORTNIGHTLY"], "attendees": [{}, "x"], "new": {}
        });
        let Change::Upserted(event) = change(target(), &item).unwrap() else {
            panic!("an event")
        };
        assert_eq!(
            event.start.to_string(),
            "2026-03-02T09:00:00[Europe/Berlin]"
        );
        let unknown = [("status", "hovering"), ("RRULE", "FREQ=FORTNIGHTLY")]
            .map(|(name, value)| (name.into(), value.into()));
        assert_eq!(event.details.unknown, unknown);
        assert!(
            change(target(), &json!({ "id": "abcde" }))
                .unwrap_err()
                .contains("cannot be read")
        );
    }

    #[test]
    fn exceptions_count_in_the_zone_of_the_series() {
        let item = json!({
            "id": "abcde", "start": { "dateTime": "2026-03-02T09:00:00+01:00", "timeZone": "Europe/Berlin" },
            "end": { "dateTime": "2026-03-02T10:00:00+01:00", "timeZone": "Europe/Berlin" },
            "recurrence": ["RRULE:FREQ=DAILY;COUNT=5", "EXDATE;TZID=Europe/Berlin:20260303T090000", "EXDATE:20260304T080000Z"]
        });
        let series = event(target(), &item).unwrap().series.unwrap();
        let gone: Vec<String> = series
            .except_dates
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(gone, ["20260303T080000Z", "20260304T080000Z"]);
    }
}
