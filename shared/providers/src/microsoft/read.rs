//! Converts Graph events (<https://learn.microsoft.com/graph/api/resources/event>) to domain
//! events. Every property except the id may be missing. A property of an unexpected form is
//! ignored.

use calweave_domain::details::{
    Attendee, EventDetails, EventStatus, Importance, Reminder, ReminderMethod, RsvpStatus,
    Transparency, Visibility,
};
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_domain::link::EventLink;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::zones::{resolve, windows_name};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::super::ids::own_id;
use super::{GraphSession, RemoteCalendar, occurrence, pattern, recurrence};

/// The first line of the meeting text that Teams adds below the description.
pub(super) const MEETING_BLOCK: &str = "________________";

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
    let (zone, is_known) = match series.and_then(|series| series.start.zone()) {
        Some(zone) => (zone, true),
        None => zone_of(item, target.zone),
    };
    let zone_guessed = !all_day && !is_known;
    let start = time(&item["start"], zone, all_day).ok_or_else(unreadable)?;
    let end = time(&item["end"], zone, all_day).unwrap_or(start);
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

/// Replaces values of `incoming` by those of `known` where Microsoft cannot tell the two apart:
/// zones, rules and exceptions.
pub(super) fn keep_equivalents(known: &Event, incoming: &mut Event) {
    let likened = |known: EventTime, incoming: EventTime| match (known, incoming) {
        (EventTime::Zoned(_, zone), EventTime::Zoned(local, other)) if zone != other => {
            let same = windows_name(zone)
                .map_or(other == Tz::UTC, |name| Some(name) == windows_name(other));
            let at = EventTime::at(to_instant(local, other), zone);
            if same && at.zone() == Some(zone) {
                at
            } else {
                incoming
            }
        }
        _ => incoming,
    };
    (incoming.start, incoming.end) = (
        likened(known.start, incoming.start),
        likened(known.end, incoming.end),
    );
    // Rules that Microsoft expresses by the same pattern are the same rule.
    if let (Some(series), Some(other)) = (known.series.as_deref(), incoming.series.as_deref_mut()) {
        let says_the_same = recurrence::patterned(&series.without_exceptions(), known.start)
            .is_ok_and(|patterned| {
                pattern::series(&patterned.recurrence)
                    .is_ok_and(|read| read == other.without_exceptions())
            });
        if says_the_same && known.start == incoming.start {
            other.rules.clone_from(&series.rules);
        }
        // Microsoft stores the exceptions as cancelled occurrences.
        let is_cancelled = |except: &&OriginalStart| {
            let falls_on = |date: NaiveDate, at: &OriginalStart| match at {
                OriginalStart::Date(other) => *other == date,
                OriginalStart::Instant(at) => known
                    .start
                    .zone()
                    .is_some_and(|zone| at.with_timezone(&zone).date_naive() == date),
                OriginalStart::Floating(local) => local.date() == date,
            };
            other.overridden.contains(except)
                || matches!(except, OriginalStart::Date(date) if other.overridden.iter().any(|at| falls_on(*date, at)))
        };
        other.except_dates = series
            .except_dates
            .iter()
            .filter(is_cancelled)
            .copied()
            .collect();
    }
}

fn text(item: &Value, name: &str) -> Option<String> {
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
    let mut names = [recurrence, original].into_iter().flatten();
    let resolved = names.clone().find_map(resolve);
    let is_known = resolved.is_some() || names.all(str::is_empty);
    (closest(resolved.unwrap_or(mailbox), mailbox), is_known)
}

/// Parses a local time of Graph, with or without a fraction and `Z`.
pub(super) fn local(text: &str) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f").ok()
}

/// Converts `{dateTime, timeZone}`, which Graph returns in UTC. The time of an all-day event that
/// was written in another zone may not be midnight.
fn time(value: &Value, zone: Tz, all_day: bool) -> Option<EventTime> {
    let at = local(value["dateTime"].as_str()?)?;
    let written = value["timeZone"]
        .as_str()
        .and_then(resolve)
        .unwrap_or(Tz::UTC);
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
        location: text(&item["location"], "displayName"),
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
        attendees: attendees(session, item),
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
    let text = item["body"]["content"].as_str()?.replace("\r\n", "\n");
    let own = match text
        .find(MEETING_BLOCK)
        .filter(|_| item["isOnlineMeeting"] == true)
    {
        Some(at) => &text[..at],
        None => &text,
    };
    Some(own.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The attendees and the organizer; empty if nobody is invited.
fn attendees(session: &GraphSession, item: &Value) -> Vec<Attendee> {
    let own = session.email.as_str();
    let organizer = text(&item["organizer"]["emailAddress"], "address").unwrap_or_default();
    let listed = item["attendees"].as_array().into_iter().flatten();
    let listed = listed.filter_map(|one| attendee(item, one, own, &organizer));
    let mut attendees: Vec<Attendee> = listed.collect();
    let is_invited = matches!(
        item["responseStatus"]["response"].as_str(),
        Some("notResponded" | "accepted" | "declined" | "tentativelyAccepted")
    );
    let is_listed = attendees.iter().any(|one| one.is_self);
    if is_invited && !is_same(own, &organizer) && !is_listed && !own.is_empty() {
        // The account's owner is invited as a member of a group.
        attendees.push(Attendee {
            email: own.to_owned(),
            rsvp_status: rsvp(&item["responseStatus"]),
            is_self: true,
            ..Attendee::default()
        });
    }
    let has_organizer = attendees.iter().any(|one| one.is_organizer);
    if !attendees.is_empty() && !organizer.is_empty() && !has_organizer {
        let name = text(&item["organizer"]["emailAddress"], "name");
        attendees.push(Attendee {
            display_name: name.filter(|name| *name != organizer),
            rsvp_status: RsvpStatus::Accepted,
            is_organizer: true,
            is_optional: false,
            is_self: is_same(own, &organizer),
            email: organizer,
        });
    }
    attendees
}

/// Whether two addresses are the same, and not empty.
fn is_same(one: &str, other: &str) -> bool {
    !one.is_empty() && one.eq_ignore_ascii_case(other)
}

fn attendee(item: &Value, one: &Value, own: &str, organizer: &str) -> Option<Attendee> {
    let email = text(&one["emailAddress"], "address")?;
    let (is_self, is_organizer) = (is_same(own, &email), is_same(organizer, &email));
    // The response of the account's owner is a property of the event.
    let response = if is_self && item["responseStatus"].is_object() {
        &item["responseStatus"]
    } else {
        &one["status"]
    };
    Some(Attendee {
        display_name: text(&one["emailAddress"], "name").filter(|name| *name != email),
        rsvp_status: if is_organizer {
            RsvpStatus::Accepted
        } else {
            rsvp(response)
        },
        is_organizer,
        is_optional: one["type"] == "optional",
        is_self,
        email,
    })
}

fn rsvp(status: &Value) -> RsvpStatus {
    match status["response"].as_str() {
        Some("accepted" | "organizer") => RsvpStatus::Accepted,
        Some("declined") => RsvpStatus::Declined,
        Some("tentativelyAccepted") => RsvpStatus::Tentative,
        _ => RsvpStatus::NeedsAction,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Microsoft;
    use super::*;
    use calweave_base::clock::Clock;
    use calweave_base::config::OAuthClient;
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
