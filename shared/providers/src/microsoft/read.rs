//! Converts Graph events (<https://learn.microsoft.com/graph/api/resources/event>) to domain
//! events. Every property except the id may be missing. A property of an unexpected form is
//! ignored.

use calweave_domain::details::{
    EventDetails, EventStatus, Importance, Reminder, ReminderMethod, Transparency, Visibility,
};
use calweave_domain::event::Event;
use calweave_domain::ids::EventId;
use calweave_domain::link::EventLink;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::zones::{resolve, windows_name};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use mail_parser::decoders::html::html_to_text;
use serde_json::Value;

use super::super::bounded;
use super::super::ids::own_id;
use super::{GraphSession, RemoteCalendar, occurrence, pattern, people};

/// The first line of the meeting text that Teams adds below the description.
pub(super) const MEETING_BLOCK: &str =
    "____________________________________________________________";

/// The id here of an event or a series.
///
/// # Errors
/// Returns a sentence for the calendar's owner if the event has no id.
pub(super) fn id(target: RemoteCalendar<'_>, item: &Value) -> Result<EventId, String> {
    let remote_id = item["id"]
        .as_str()
        .ok_or("Microsoft sent an event without an id.")?;
    let own = item["transactionId"]
        .as_str()
        .and_then(|name| own_id(target.calendar, name));
    Ok(own.unwrap_or_else(|| EventId::of(target.calendar, remote_id)))
}

/// Converts an event or a series, or, with `series`, an occurrence or exception of that series.
///
/// # Errors
/// Returns a sentence for the calendar's owner if the times cannot be read or the id is missing.
pub(super) fn event(
    session: &GraphSession,
    target: RemoteCalendar<'_>,
    item: &Value,
    series: Option<&Event>,
) -> Result<Event, String> {
    let remote_id = item["id"]
        .as_str()
        .ok_or("Microsoft sent an event without an id.")?;
    let mut details = details(session, item);
    let unreadable = || {
        format!(
            "The times of {:?} cannot be read; it is not shown.",
            details.title.chars().take(60).collect::<String>()
        )
    };
    let all_day = item["isAllDay"] == true;
    let (mut zone, is_known) = zone_of(item, target.zone);
    if let Some(own) = series
        .and_then(|series| series.start.zone())
        .filter(|_| !is_known)
    {
        zone = own;
    }
    let zone_guessed = !all_day && !is_known && series.is_none();
    let start = time(&item["start"], zone, all_day).ok_or_else(unreadable)?;
    let end = end(item, start, zone, target.zone);
    let placed = series.and_then(|series| {
        let original =
            occurrence::original_start(item, series.start, series.series.as_deref(), target.zone)?;
        Some(series.id.occurrence(original))
    });
    let id = match placed {
        Some(id) => id,
        None => id(target, item)?,
    };
    let rule = match &item["recurrence"] {
        value if value.is_object() => pattern::series(value)
            .map_err(|unknown| details.unknown.push(("recurrence".to_owned(), unknown)))
            .ok(),
        _ => None,
    };
    let version = item["@odata.etag"]
        .as_str()
        .or(item["changeKey"].as_str())
        .map(str::to_owned);
    let link = EventLink {
        remote_id: Some(remote_id.to_owned()),
        version,
        ..EventLink::default()
    };
    let mut event = Event {
        id,
        uid: text(item, "iCalUId").unwrap_or_else(|| remote_id.to_owned()),
        start,
        end,
        series: rule.map(Box::new),
        zone_guessed,
        details: Box::new(details),
        link: Some(Box::new(link)),
        content_hash: String::new(),
        updated_at: DateTime::<Utc>::UNIX_EPOCH,
    };
    align_start(&mut event);
    event.hash();
    Ok(event)
}

/// Returns `at_hand` if it has the same Windows name as `zone`, else `zone`. Microsoft has one name
/// for many zones.
fn closest(zone: Tz, at_hand: Tz) -> Tz {
    if zone != at_hand
        && windows_name(zone).is_some()
        && windows_name(zone) == windows_name(at_hand)
    {
        at_hand
    } else {
        zone
    }
}

/// Returns the end of an event that starts at `start`, in its own zone. An all-day event lasts at
/// least a day, and no event ends before it starts.
fn end(item: &Value, start: EventTime, zone: Tz, mailbox: Tz) -> EventTime {
    let all_day = matches!(start, EventTime::Date(_));
    let own = item["originalEndTimeZone"].as_str().and_then(resolve);
    let own = own.filter(|_| item["originalStartTimeZone"] != item["originalEndTimeZone"]);
    let zone = own.map_or(zone, |own| closest(own, mailbox));
    let least = match start {
        EventTime::Date(date) => EventTime::Date(date + TimeDelta::days(1)),
        _ => start,
    };
    let is_late = |end: &EventTime| end.instant(Tz::UTC) >= least.instant(Tz::UTC);
    time(&item["end"], zone, all_day)
        .filter(is_late)
        .unwrap_or(least)
}

/// Moves the start of a series to the first date of its pattern. Graph's range may start before it
/// (recurrenceRange), and RFC 5545 would count the start as an occurrence.
fn align_start(event: &mut Event) {
    let Some(rule) = event
        .series
        .as_deref()
        .and_then(|series| series.rules.first())
    else {
        return;
    };
    let is_on = |date: NaiveDate| {
        let (day, month) = (i64::from(date.day()), date.month());
        (rule.by_day.is_empty() || rule.by_day.iter().any(|by| by.weekday == date.weekday()))
            && (rule.by_month_day.is_empty()
                || rule
                    .by_month_day
                    .iter()
                    .any(|by| i64::from(*by) == day || *by < 0))
            && (rule.by_month.is_empty() || rule.by_month.iter().any(|by| u32::from(*by) == month))
    };
    if is_on(event.start.local().date()) {
        return;
    }
    let from = event.start.instant(Tz::UTC);
    let series = event.series.as_deref();
    let starts = series.map(|series| {
        let to = from + TimeDelta::days(2 * 366);
        series.expand(event.start, from, to, Tz::UTC, 8).starts
    });
    let first = starts
        .into_iter()
        .flatten()
        .find(|start| is_on(start.local().date()));
    if let Some(first) = first {
        let shift = first.local() - event.start.local();
        event.end = event.end.with_local(event.end.local() + shift);
        event.start = first;
    }
}

pub(super) fn text(item: &Value, name: &str) -> Option<String> {
    item[name]
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// Returns the zone of an event, and whether it is certain. It is not certain if Graph names only
/// unknown zones. A series repeats in the zone of its recurrence. The original zone is the one in
/// which it was created (microsoft-graph-docs#2202, #6208).
fn zone_of(item: &Value, mailbox: Tz) -> (Tz, bool) {
    let recurrence = item["recurrence"]["range"]["recurrenceTimeZone"].as_str();
    let original = item["originalStartTimeZone"].as_str();
    // Without an original zone, the times may be in a zone of their own.
    let start = item["start"]["timeZone"].as_str();
    let start = start.filter(|name| original.is_none() && resolve(name) != Some(Tz::UTC));
    let mut names = [recurrence, original, start].into_iter().flatten();
    let resolved = names.clone().find_map(resolve);
    let is_known = resolved.is_some() || names.all(str::is_empty);
    // An IANA name is meant as it is; a Windows name stands for many zones.
    let is_iana = names_iana(recurrence.or(original));
    let zone = resolved.unwrap_or(mailbox);
    let zone = if is_iana {
        zone
    } else {
        closest(zone, mailbox)
    };
    (zone, is_known)
}

/// Whether a zone's name is one of the IANA database.
fn names_iana(name: Option<&str>) -> bool {
    name.is_some_and(|name| name != "UTC" && name.parse::<Tz>().is_ok())
}

/// Parses a local time of Graph, with or without a fraction and `Z`.
pub(super) fn local(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim_end_matches('Z');
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    forms
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
}

/// Converts `{dateTime, timeZone}`, which Graph returns in UTC. The time of an all-day event that
/// was written in another zone may not be midnight.
fn time(value: &Value, zone: Tz, all_day: bool) -> Option<EventTime> {
    let at = local(value["dateTime"].as_str()?)?;
    let written = match value["timeZone"].as_str().filter(|name| !name.is_empty()) {
        Some(name) => resolve(name).unwrap_or(zone),
        None => Tz::UTC,
    };
    if all_day {
        return Some(EventTime::Date(day(at, written, zone)));
    }
    Some(EventTime::at(to_instant(at, written), zone))
}

/// The date of an all-day event whose midnight, in some zone, is `at`.
fn day(at: NaiveDateTime, written: Tz, zone: Tz) -> NaiveDate {
    if at.time() == NaiveTime::MIN {
        return at.date();
    }
    let there = to_instant(at, written).with_timezone(&zone).naive_local();
    // This is midnight, or near it if the event was written in a zone with another midnight.
    (there + TimeDelta::hours(12)).date()
}

fn details(session: &GraphSession, item: &Value) -> EventDetails {
    let mut unknown = Vec::new();
    let show_as = item["showAs"].as_str().unwrap_or("busy");
    let (status, transparency) = match show_as {
        "free" | "workingElsewhere" => (EventStatus::Confirmed, Transparency::Transparent),
        "tentative" => (EventStatus::Tentative, Transparency::Opaque),
        _ => (EventStatus::Confirmed, Transparency::Opaque),
    };
    let visibility = match item["sensitivity"].as_str() {
        Some("private" | "personal") => Visibility::Private,
        Some("confidential") => Visibility::Confidential,
        Some("normal") | None => Visibility::Public,
        Some(other) => {
            // RFC 5545 section 3.8.1.3: an unknown class is private.
            unknown.push(("sensitivity".to_owned(), other.to_owned()));
            Visibility::Private
        }
    };
    let importance = match item["importance"].as_str() {
        Some("low") => Importance::Low,
        Some("high") => Importance::High,
        _ => Importance::Normal,
    };
    let reminder = item["reminderMinutesBeforeStart"]
        .as_i64()
        .filter(|_| item["isReminderOn"] == true);
    EventDetails {
        title: text(item, "subject").unwrap_or_default(),
        description: description(item),
        location: location(item),
        status: if item["isCancelled"] == true {
            EventStatus::Cancelled
        } else {
            status
        },
        transparency,
        visibility,
        importance,
        show_as: (!matches!(show_as, "free" | "tentative" | "busy")).then(|| show_as.to_owned()),
        conference_url: text(&item["onlineMeeting"], "joinUrl")
            .or_else(|| text(item, "onlineMeetingUrl")),
        categories: item["categories"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|name| Some(name.as_str()?.to_owned()))
            .collect(),
        attendees: people::attendees(session, item),
        reminders: reminder
            .map(|minutes_before| Reminder {
                method: ReminderMethod::Popup,
                minutes_before,
            })
            .into_iter()
            .collect(),
        html_link: text(item, "webLink"),
        unknown,
        ..EventDetails::default()
    }
}

/// The description, without the meeting text that Teams adds below it, and with `\n` as line ends.
fn description(item: &Value) -> Option<String> {
    let content = item["body"]["content"].as_str()?;
    // Text is asked for, but does not always come.
    let text = if item["body"]["contentType"] == "html" {
        html_to_text(content)
    } else {
        content.to_owned()
    };
    let text = text.replace("\r\n", "\n");
    let own = match text
        .find(MEETING_BLOCK)
        .filter(|_| item["isOnlineMeeting"] == true)
    {
        Some(at) => &text[..at],
        None => &text,
    };
    let own = own.trim();
    (!own.is_empty()).then(|| bounded(own.to_owned()))
}

/// The name of the location, of the first of several, or its address.
fn location(item: &Value) -> Option<String> {
    let first = &item["locations"][0];
    let names = [&item["location"], first].map(|place| text(place, "displayName"));
    let address = |place: &Value| {
        let parts = ["street", "city", "state", "postalCode", "countryOrRegion"];
        let parts = parts
            .iter()
            .filter_map(|part| text(&place["address"], part));
        Some(parts.collect::<Vec<_>>().join(", ")).filter(|address| !address.is_empty())
    };
    let [name, other] = names;
    name.or(other)
        .or_else(|| address(&item["location"]))
        .or_else(|| address(first))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Microsoft;
    use super::*;
    use calweave_base::clock::Clock;
    use calweave_base::config::OAuthClient;
    use calweave_domain::details::RsvpStatus;
    use calweave_domain::ids::CalendarId;
    use calweave_domain::secret::Secret;

    fn target() -> RemoteCalendar<'static> {
        RemoteCalendar {
            calendar: CalendarId::from_bytes([1; 16]),
            remote_id: "c",
            zone: Tz::Europe__Oslo,
            is_primary: true,
            is_shared: false,
        }
    }

    fn read(item: &Value) -> Result<Event, String> {
        let client = OAuthClient {
            client_id: String::new(),
            client_secret: String::new().into(),
            redirect_uri: String::new(),
            endpoint: None,
        };
        let microsoft = Microsoft::new(client, "common", Clock::System);
        let session = GraphSession::new(microsoft, Secret::new(String::new()), "me@x.test");
        event(&session, target(), item, None)
    }

    fn timed(zone: &str, more: Value) -> Value {
        let time = |hour| json!({ "dateTime": format!("2026-07-01T{hour:02}:00:00.0000000"), "timeZone": "UTC" });
        let mut item = json!({ "id": "e", "subject": "E", "start": time(7), "end": time(8), "originalStartTimeZone": zone });
        item.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        item
    }

    #[test]
    fn windows_or_unknown_tzids_missing_vtimezone() {
        let start = |zone| {
            read(&timed(zone, json!({})))
                .map(|event| (event.start.to_string(), event.zone_guessed))
                .unwrap()
        };
        assert_eq!(
            start("India Standard Time"),
            ("2026-07-01T12:30:00[Asia/Calcutta]".to_owned(), false)
        );
        assert_eq!(
            start("tzone://Microsoft/Utc"),
            ("2026-07-01T07:00:00[UTC]".to_owned(), false)
        );
        // Berlin and Oslo have the same Windows name. The mailbox is in Oslo.
        assert_eq!(
            start("W. Europe Standard Time"),
            ("2026-07-01T09:00:00[Europe/Oslo]".to_owned(), false)
        );
        for unknown in [
            "tzone://Microsoft/Custom",
            "Customized Time Zone",
            "Middle-earth",
        ] {
            assert_eq!(
                start(unknown),
                ("2026-07-01T09:00:00[Europe/Oslo]".to_owned(), true),
                "{unknown}: marked as guessed"
            );
        }
    }

    #[test]
    fn all_day_event_shifts_by_a_day() {
        // Midnight of every zone, as Graph returns it in UTC.
        for zone in chrono_tz::TZ_VARIANTS {
            let date = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
            let utc = |date: NaiveDate| {
                let at = to_instant(date.and_time(NaiveTime::MIN), zone).naive_utc();
                json!({ "dateTime": at.format("%Y-%m-%dT%H:%M:%S.0000000").to_string(), "timeZone": "UTC" })
            };
            let item = json!({
                "id": "e", "isAllDay": true, "start": utc(date), "end": utc(date + TimeDelta::days(2)), "originalStartTimeZone": zone.name()
            });
            let event = read(&item).unwrap();
            assert_eq!(
                (event.start, event.end),
                (
                    EventTime::Date(date),
                    EventTime::Date(date + TimeDelta::days(2))
                ),
                "{zone}"
            );
        }
    }

    #[test]
    fn values_that_nobody_has_heard_of_cost_nothing_else() {
        let odd = json!({
            "sensitivity": "secretive", "importance": 7, "showAs": "levitating", "recurrence": { "pattern": { "type": "lunar" }, "range": {} },
            "attendees": [{}, "x"], "categories": "none", "body": 3, "new": {}
        });
        let event = read(&timed("UTC", odd)).unwrap();
        assert!(event.series.is_none() && event.is_busy());
        assert_eq!(event.details.show_as.as_deref(), Some("levitating"));
        let unknown: Vec<&str> = event
            .details
            .unknown
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(unknown, ["sensitivity", "recurrence"]);
        assert!(
            read(&json!({ "id": "e", "subject": "No time" }))
                .unwrap_err()
                .contains("cannot be read")
        );
    }

    #[test]
    fn who_is_invited_and_what_they_say() {
        let person =
            |address: &str| json!({ "emailAddress": { "address": address, "name": address } });
        let mut invitee = person("Me@x.test");
        invitee["status"] = json!({ "response": "none" });
        let item = timed(
            "UTC",
            json!({ "organizer": person("boss@x.test"), "attendees": [invitee], "responseStatus": { "response": "tentativelyAccepted" } }),
        );
        let attendees = read(&item).unwrap().details.attendees;
        let shown: Vec<_> = attendees
            .iter()
            .map(|one| {
                (
                    one.email.as_str(),
                    one.is_self,
                    one.is_organizer,
                    one.rsvp_status,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("Me@x.test", true, false, RsvpStatus::Tentative),
                ("boss@x.test", false, true, RsvpStatus::Accepted)
            ]
        );
        // The owner is invited as a member of a group. Only the group's address is listed.
        let item = timed(
            "UTC",
            json!({ "organizer": person("boss@x.test"), "attendees": [person("all@x.test")], "responseStatus": { "response": "declined" } }),
        );
        let event = read(&item).unwrap();
        assert!(event.details.attendees.iter().any(|one| one.is_self) && !event.is_busy());
        // An event that the owner creates without inviting anybody has no attendees.
        let own = timed(
            "UTC",
            json!({ "organizer": person("me@x.test"), "attendees": [], "responseStatus": { "response": "organizer" } }),
        );
        assert!(read(&own).unwrap().details.attendees.is_empty());
    }
}
