//! Reads the properties of a `VEVENT` other than its times: texts, status, attendees, reminders.

use calcard::icalendar::{
    ICalendar, ICalendarAction, ICalendarClassification, ICalendarEntry,
    ICalendarParameterName as Parameter, ICalendarParameterValue, ICalendarParticipationRole,
    ICalendarParticipationStatus, ICalendarProperty, ICalendarRelated, ICalendarStatus,
    ICalendarTransparency, ICalendarValue, Uri,
};
use calweave_domain::details::{
    Attendee, EventDetails, EventStatus, Reminder, ReminderMethod, RsvpStatus, Transparency,
    Visibility,
};
use calweave_domain::time::EventTime;
use chrono::TimeDelta;
use chrono_tz::Tz;

use super::lines::Texts;
use super::wall::{Wall, wall};

/// Maximum length of a title or location, in bytes.
const MAX_TITLE: usize = 2 << 10;
/// Maximum length of a description, in bytes. A DynamoDB item holds 400 KB.
const MAX_TEXT: usize = 100 << 10;
/// Maximum number of attendees of one event, including the organizer.
const MAX_PEOPLE: usize = 500;
/// Maximum number of reminders of one event.
const MAX_REMINDERS: usize = 20;
/// Maximum number of categories of one event.
const MAX_CATEGORIES: usize = 50;
/// Maximum length of a category, in bytes.
const MAX_CATEGORY: usize = 100;

/// Returns the details that the text properties give.
pub(super) fn of_texts(texts: Texts) -> EventDetails {
    EventDetails {
        title: texts
            .summary
            .and_then(|text| kept(on_one_line(&text), MAX_TITLE))
            .unwrap_or_default(),
        description: texts
            .description
            .and_then(|text| kept(clean(&text), MAX_TEXT)),
        location: texts
            .location
            .and_then(|text| kept(clean(&text), MAX_TITLE)),
        ..EventDetails::default()
    }
}

/// Reads one property into `details`. Ignores properties that Calweave does not read.
pub(super) fn detail(entry: &ICalendarEntry, details: &mut EventDetails) {
    let value = entry.values.first();
    let text = |max| {
        let text = value
            .and_then(ICalendarValue::as_text)
            .map(str::trim)
            .filter(|text| !text.is_empty())?;
        kept(clean(text), max)
    };
    // A frontend makes a link of it, so nothing else than a web address will do.
    let link = || {
        let link = uri(value?).filter(|link| link.len() <= 4096 && is_web_address(link))?;
        Some(clean(link))
    };
    match &entry.name {
        ICalendarProperty::Summary => {
            let title = text(MAX_TITLE).unwrap_or_default();
            details.title = on_one_line(&title);
        }
        ICalendarProperty::Description => details.description = text(MAX_TEXT),
        ICalendarProperty::Location => details.location = text(MAX_TITLE),
        ICalendarProperty::Url => details.url = link(),
        ICalendarProperty::Conference => {
            details.conference_url = details.conference_url.take().or_else(link);
        }
        ICalendarProperty::Categories => categories(entry, details),
        ICalendarProperty::Status | ICalendarProperty::Transp | ICalendarProperty::Class => {
            classify(&entry.name, value, details);
        }
        ICalendarProperty::Organizer | ICalendarProperty::Attendee
            if details.attendees.len() < MAX_PEOPLE =>
        {
            let is_organizer = entry.name == ICalendarProperty::Organizer;
            details.attendees.extend(attendee(entry, is_organizer));
            merge_organizer(&mut details.attendees);
        }
        ICalendarProperty::Other(name) => match name.to_ascii_uppercase().as_str() {
            "X-GOOGLE-CONFERENCE" | "X-MICROSOFT-SKYPETEAMSMEETINGURL" => {
                details.conference_url = details.conference_url.take().or_else(link);
            }
            "X-MICROSOFT-CDO-BUSYSTATUS" => match text(40).as_deref() {
                Some("FREE") => details.transparency = Transparency::Transparent,
                Some("BUSY") | None => {}
                Some(other) => details
                    .unknown
                    .push(("X-MICROSOFT-CDO-BUSYSTATUS".into(), other.to_owned())),
            },
            _ => {}
        },
        _ => {}
    }
}

fn categories(entry: &ICalendarEntry, details: &mut EventDetails) {
    let names = entry.values.iter().filter_map(ICalendarValue::as_text);
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    let room = MAX_CATEGORIES.saturating_sub(details.categories.len());
    let names = names.map(|name| cut(name, MAX_CATEGORY).to_owned());
    details.categories.extend(names.take(room));
}

/// Reads `STATUS`, `TRANSP` and `CLASS`. A value that RFC 5545 does not define is kept verbatim.
fn classify(
    property: &ICalendarProperty,
    value: Option<&ICalendarValue>,
    details: &mut EventDetails,
) {
    let Some(value) = value else { return };
    match (property, value) {
        (ICalendarProperty::Status, ICalendarValue::Status(ICalendarStatus::Confirmed))
        | (
            ICalendarProperty::Transp,
            ICalendarValue::Transparency(ICalendarTransparency::Opaque),
        )
        | (
            ICalendarProperty::Class,
            ICalendarValue::Classification(ICalendarClassification::Public),
        ) => {}
        (ICalendarProperty::Status, ICalendarValue::Status(ICalendarStatus::Tentative)) => {
            details.status = EventStatus::Tentative;
        }
        (ICalendarProperty::Status, ICalendarValue::Status(ICalendarStatus::Cancelled)) => {
            details.status = EventStatus::Cancelled;
        }
        (ICalendarProperty::Status, other) => unknown(details, "STATUS", other),
        (ICalendarProperty::Transp, ICalendarValue::Transparency(_)) => {
            details.transparency = Transparency::Transparent;
        }
        (ICalendarProperty::Transp, other) => unknown(details, "TRANSP", other),
        (_, ICalendarValue::Classification(ICalendarClassification::Confidential)) => {
            details.visibility = Visibility::Confidential;
        }
        (_, ICalendarValue::Classification(_)) => details.visibility = Visibility::Private,
        (_, other) => {
            // An unknown class is treated as private (RFC 5545, 3.8.1.3).
            details.visibility = Visibility::Private;
            unknown(details, "CLASS", other);
        }
    }
}

fn unknown(details: &mut EventDetails, name: &str, value: &ICalendarValue) {
    let text = value
        .as_text()
        .map_or_else(|| format!("{value:?}"), str::to_owned);
    details
        .unknown
        .push((name.to_owned(), cut(&text, 200).to_owned()));
}

fn uri(value: &ICalendarValue) -> Option<&str> {
    match value {
        ICalendarValue::Uri(Uri::Location(link)) => Some(link.trim()),
        ICalendarValue::Uri(Uri::Data(_)) => None,
        other => other.as_text().map(str::trim),
    }
    .filter(|link| !link.is_empty())
}

fn attendee(entry: &ICalendarEntry, is_organizer: bool) -> Option<Attendee> {
    let address = uri(entry.values.first()?)?;
    let email = match address.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case("mailto:") => &address[7..],
        _ => address,
    };
    let rsvp_status = match entry.parameter(&Parameter::Partstat) {
        Some(ICalendarParameterValue::Partstat(ICalendarParticipationStatus::Accepted)) => {
            RsvpStatus::Accepted
        }
        Some(ICalendarParameterValue::Partstat(ICalendarParticipationStatus::Declined)) => {
            RsvpStatus::Declined
        }
        Some(ICalendarParameterValue::Partstat(ICalendarParticipationStatus::Tentative)) => {
            RsvpStatus::Tentative
        }
        _ => RsvpStatus::NeedsAction,
    };
    let role = entry.parameter(&Parameter::Role);
    Some(Attendee {
        email: cut(email, 320).to_owned(),
        display_name: entry
            .parameter(&Parameter::Cn)
            .and_then(|name| name.as_text())
            .map(|name| on_one_line(&decode_caret(cut(name, 200)))),
        rsvp_status,
        is_organizer,
        is_self: false,
        is_optional: matches!(
            role,
            Some(ICalendarParameterValue::Role(
                ICalendarParticipationRole::OptParticipant
            ))
        ),
    })
}

/// Decodes the carets that encode quotes and newlines in parameter values (RFC 6868).
fn decode_caret(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('^') {
        decoded.push_str(before);
        let (sign, length) = match after.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b'\'') => ('"', 1),
            Some(b'^') => ('^', 1),
            _ => ('^', 0),
        };
        decoded.push(sign);
        rest = &after[length..];
    }
    decoded.push_str(rest);
    decoded
}

/// Merges the last entry into an earlier one with the same address: the organizer is often also listed as an attendee.
fn merge_organizer(people: &mut Vec<Attendee>) {
    let Some(last) = people.last().cloned() else {
        return;
    };
    let earlier = people.len() - 1;
    if let Some(same) = people[..earlier]
        .iter_mut()
        .find(|person| person.email.eq_ignore_ascii_case(&last.email))
    {
        same.is_organizer |= last.is_organizer;
        if last.rsvp_status != RsvpStatus::NeedsAction {
            same.rsvp_status = last.rsvp_status;
        }
        same.display_name = same.display_name.take().or(last.display_name);
        people.truncate(earlier);
    }
}

/// Returns the reminders of an event: alarms before its start, before its end, and at a time (RFC 5545 3.8.6.3).
pub(super) fn reminders(calendar: &ICalendar, start: EventTime, end: EventTime) -> Vec<Reminder> {
    let (start, end) = (start.instant(Tz::UTC), end.instant(Tz::UTC));
    let alarms = calendar
        .components
        .iter()
        .filter(|component| component.component_type.is_alarm());
    let reminder = |alarm: &calcard::icalendar::ICalendarComponent| {
        let mut after_start = None;
        let is_none = |entry: &ICalendarEntry| {
            let text = entry.values.first().and_then(ICalendarValue::as_text);
            entry.name == ICalendarProperty::Action
                && text.is_some_and(|text| text.eq_ignore_ascii_case("NONE"))
        };
        // Apple writes an alarm of this kind where there is to be none.
        if alarm.entries.iter().any(is_none) {
            return None;
        }
        let mut method = ReminderMethod::Popup;
        for entry in &alarm.entries {
            match (&entry.name, entry.values.first()) {
                (ICalendarProperty::Trigger, Some(ICalendarValue::Duration(duration))) => {
                    let related = entry.parameter(&Parameter::Related);
                    let is_to_end = matches!(
                        related,
                        Some(ICalendarParameterValue::Related(ICalendarRelated::End))
                    );
                    let base = if is_to_end {
                        end - start
                    } else {
                        TimeDelta::zero()
                    };
                    after_start = Some(base + TimeDelta::seconds(duration.as_seconds()));
                }
                (ICalendarProperty::Trigger, Some(ICalendarValue::PartialDateTime(at))) => {
                    if let Some(Wall::Utc(at) | Wall::Floating(at)) = wall(at) {
                        after_start = Some(at.and_utc() - start);
                    }
                }
                (
                    ICalendarProperty::Action,
                    Some(ICalendarValue::Action(ICalendarAction::Email)),
                ) => method = ReminderMethod::Email,
                _ => {}
            }
        }
        after_start.map(|after| Reminder {
            method,
            minutes_before: -after.num_seconds().div_euclid(60),
        })
    };
    alarms.filter_map(reminder).take(MAX_REMINDERS).collect()
}

/// Returns a text without control characters, which terminals and logs would act upon. Line breaks and tabs stay.
fn clean(text: &str) -> String {
    let is_kept = |sign: &char| !sign.is_control() || matches!(sign, '\n' | '\t');
    let text = text.replace("\r\n", "\n");
    text.chars().filter(is_kept).collect()
}

/// Returns a short text on one line, without control characters.
fn on_one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let words = text.split(|sign: char| sign.is_control() || sign == ' ');
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn is_web_address(link: &str) -> bool {
    let (scheme, rest) = link.split_once(':').unwrap_or_default();
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_web && rest.starts_with("//")
}

/// Returns the text without surrounding white space, cut to `max` bytes; `None` if it is empty.
fn kept(text: String, max: usize) -> Option<String> {
    let trimmed = cut(text.trim(), max);
    match trimmed.len() {
        0 => None,
        all if all == text.len() => Some(text),
        _ => Some(trimmed.to_owned()),
    }
}

/// Cuts a text to at most `max` bytes, at a character boundary.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_carry_nothing_that_acts() {
        assert_eq!(clean("a\u{1b}[31mb\r\n\u{0}c\td"), "a[31mb\nc\td");
        assert_eq!(on_one_line("Board\r\nmeeting\u{7}"), "Board meeting");
        for link in ["https://example.org/a", "HTTP://example.org"] {
            assert!(is_web_address(link), "{link}");
        }
        for link in [
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https:x",
            "//example.org",
            "",
        ] {
            assert!(!is_web_address(link), "{link}");
        }
    }

    #[test]
    fn carets_are_decoded_from_left_to_right() {
        assert_eq!(decode_caret("a^nb^'c^^nd^x^"), "a\nb\"c^nd^x^");
    }
}
