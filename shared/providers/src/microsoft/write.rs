//! Converts domain events to Graph events. Only properties that differ are written.

use calweave_domain::content::EventContent;
use calweave_domain::details::{
    Attendee, EventDetails, EventStatus, Reminder, ReminderMethod, Transparency, Visibility,
};
use calweave_domain::event::Event;
use calweave_domain::field::FieldError;
use calweave_domain::link::SendUpdates;
use calweave_domain::rule::Rule;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::zones::windows_name;
use chrono::NaiveTime;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::{NAME, ProviderError, Refusal, Result, recurrence};

const NOTIFIES_ALL: &str =
    "must be all: Microsoft notifies all attendees, whatever the request says";

/// Returns an error for each field of a change that Microsoft cannot store, or that would notify
/// more people than requested. `before` is `None` for a new event.
pub fn unwritable(
    before: Option<&EventContent>,
    now: &EventContent,
    send_updates: SendUpdates,
) -> Vec<FieldError> {
    let mut errors = unwritable_details(before, now);
    errors.extend(unwritable_attendees(before, now, send_updates));
    errors.extend(unwritable_recurrence(before, now));
    errors
}

fn unwritable_details(before: Option<&EventContent>, now: &EventContent) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut add = |field: &str, message: &str| errors.push(FieldError::new(field, message));
    let blank = EventDetails::default();
    let (old, new) = (
        before.map_or(&blank, |before| &*before.details),
        &*now.details,
    );
    if old.color_id != new.color_id && new.color_id.is_some() {
        add(
            "colorId",
            "is not supported by Microsoft, where colours belong to categories",
        );
    }
    if old.url != new.url && new.url.is_some() {
        add(
            "url",
            "is not supported by Microsoft; put it into the description",
        );
    }
    let has_email = |one: &Reminder| one.method == ReminderMethod::Email;
    let is_one_popup = new.reminders.len() <= 1 && !new.reminders.iter().any(has_email);
    if old.reminders != new.reminders && !is_one_popup {
        add(
            "reminders",
            "may be one POPUP at most: Microsoft supports no others",
        );
    }
    if before.is_some() && new.uses_default_reminders && !old.uses_default_reminders {
        add(
            "reminders",
            "cannot be the calendar's defaults: Microsoft has none; use [] for no reminders",
        );
    }
    let show_as = (new.status, new.transparency);
    if (old.status, old.transparency) != show_as
        && show_as == (EventStatus::Tentative, Transparency::Transparent)
    {
        add(
            "status",
            "cannot be TENTATIVE if the event is TRANSPARENT: Microsoft has one value for both",
        );
    }
    errors
}

fn unwritable_attendees(
    before: Option<&EventContent>,
    now: &EventContent,
    send_updates: SendUpdates,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let others = |content: &EventContent| content.details.attendees.iter().any(|one| !one.is_self);
    let invited = |content: &EventContent| -> Vec<(String, bool)> {
        let attendees = content.details.attendees.iter();
        attendees
            .map(|one| (one.email.to_lowercase(), one.is_optional))
            .collect()
    };
    let is_guest = |one: &Attendee| one.is_self && !one.is_organizer;
    let is_invitee = before.is_some_and(|before| before.details.attendees.iter().any(is_guest));
    let has_other_attendees = before.is_none_or(|before| invited(before) != invited(now));
    if is_invitee && has_other_attendees {
        errors.push(FieldError::new(
            "attendees",
            "can be changed by the organizer only",
        ));
    }
    let is_notified = has_other_attendees || before.is_none_or(|before| is_news(before, now));
    let has_guests = before.is_some_and(others) || others(now);
    if is_notified && !is_invitee && has_guests && send_updates != SendUpdates::All {
        errors.push(FieldError::new("sendUpdates", NOTIFIES_ALL));
    }
    errors
}

fn unwritable_recurrence(before: Option<&EventContent>, now: &EventContent) -> Option<FieldError> {
    let series = now.series.as_ref()?;
    let times = |content: &EventContent| (content.start, content.series.clone());
    if before.map(times) == Some(times(now)) {
        return None;
    }
    if let Err(reason) = recurrence::patterned(series, now.start) {
        let hint =
            "With whenInexpressible EXPAND, each occurrence of a new series becomes its own event";
        return Some(FieldError::new(
            "recurrence",
            format!("cannot be kept: {reason}. {hint}"),
        ));
    }
    let has_no_name = now
        .start
        .zone()
        .is_some_and(|zone| windows_name(zone).is_none());
    let message =
        "cannot be used for a series: Microsoft has no time zone with the same clock times";
    has_no_name.then(|| FieldError::new("timezone", message))
}

/// Whether attendees are notified of a change.
fn is_news(before: &EventContent, now: &EventContent) -> bool {
    let (old, new) = (&before.details, &now.details);
    (before.start, before.end, &before.series) != (now.start, now.end, &now.series)
        || (&old.title, &old.description, &old.location)
            != (&new.title, &new.description, &new.location)
}

/// Returns an error if deleting an event would notify more people than requested. If the organizer
/// deletes a meeting, Microsoft cancels it and notifies all attendees.
pub fn undeletable(event: &Event, send_updates: SendUpdates) -> Vec<FieldError> {
    let attendees = &event.details.attendees;
    let is_invitee = attendees.iter().any(|one| one.is_self && !one.is_organizer);
    if send_updates == SendUpdates::All || is_invitee || attendees.iter().all(|one| one.is_self) {
        return vec![];
    }
    vec![FieldError::new("sendUpdates", NOTIFIES_ALL)]
}

/// Normalises a description for comparison. Microsoft returns it with other line ends and without
/// surrounding whitespace.
fn plain(description: Option<&str>) -> String {
    description
        .unwrap_or_default()
        .replace("\r\n", "\n")
        .trim()
        .to_owned()
}

/// The values that Microsoft treats as a unit: when any of them changes, a series loses its
/// exceptions.
fn times(event: &Event) -> (EventTime, EventTime, Option<Vec<Rule>>) {
    (
        event.start,
        event.end,
        event.series.as_deref().map(|series| series.rules.clone()),
    )
}

/// Whether updating the series `from` to `to` makes Microsoft discard its exceptions.
pub(super) fn resets_exceptions(from: &Event, to: &Event) -> bool {
    from.series.is_some() && times(from) != times(to)
}

/// Returns the properties to write to change an event from `from` to `to`. Without `from`, returns
/// the properties of a new event.
///
/// # Errors
/// [`ProviderError::Refused`] if Microsoft cannot express the recurrence.
pub(super) fn patch(from: Option<&Event>, to: &Event, zone: Tz) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    if from.is_none_or(|from| times(from) != times(to)) {
        patch_times(&mut body, from, to, zone)?;
    }
    let blank = EventDetails::default();
    let (old, new) = (from.map_or(&blank, |from| &*from.details), &*to.details);
    let is_new = from.is_none();
    patch_texts(&mut body, old, new, is_new);
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    if (old.status, old.transparency) != (new.status, new.transparency) {
        set("showAs", show_as(new).into());
    }
    if old.visibility != new.visibility {
        let sensitivity = match new.visibility {
            Visibility::Public => "normal",
            Visibility::Private => "private",
            Visibility::Confidential => "confidential",
        };
        set("sensitivity", sensitivity.into());
    }
    // The organizer is not among the attendees.
    let invited = |details: &EventDetails| -> Vec<Value> {
        let attendees = details.attendees.iter().filter(|one| !one.is_organizer);
        attendees.map(attendee).collect()
    };
    if invited(old) != invited(new) && !new.attendees_omitted {
        set("attendees", invited(new).into());
    }
    if !new.uses_default_reminders && (is_new || old.reminders != new.reminders) {
        set("isReminderOn", (!new.reminders.is_empty()).into());
        if let Some(reminder) = new.reminders.first() {
            set("reminderMinutesBeforeStart", reminder.minutes_before.into());
        }
    }
    Ok(body)
}

fn patch_times(
    body: &mut Map<String, Value>,
    from: Option<&Event>,
    to: &Event,
    zone: Tz,
) -> Result<()> {
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("start", time(to.start, zone));
    set("end", time(to.end, zone));
    set("isAllDay", matches!(to.start, EventTime::Date(_)).into());
    match to.series.as_deref() {
        Some(series) => {
            let refused = |message: String| ProviderError::Refused {
                provider: NAME,
                reason: Refusal::Field("recurrence".to_owned()),
                message,
            };
            let patterned = recurrence::patterned(series, to.start).map_err(refused)?;
            let mut recurrence = patterned.recurrence;
            if let Some(zone) = to.start.zone().and_then(windows_name) {
                recurrence["range"]["recurrenceTimeZone"] = zone.into();
            }
            set("recurrence", recurrence);
        }
        None if from.is_some_and(|from| from.series.is_some()) => {
            set("recurrence", Value::Null);
        }
        None => {}
    }
    Ok(())
}

fn patch_texts(
    body: &mut Map<String, Value>,
    old: &EventDetails,
    new: &EventDetails,
    is_new: bool,
) {
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    if is_new || old.title != new.title {
        set("subject", new.title.as_str().into());
    }
    if plain(old.description.as_deref()) != plain(new.description.as_deref()) {
        let content = new.description.as_deref().unwrap_or_default();
        set("body", json!({ "contentType": "text", "content": content }));
    }
    if old.location != new.location {
        let name = new.location.as_deref().unwrap_or_default();
        set("location", json!({ "displayName": name }));
    }
}

fn show_as(details: &EventDetails) -> &'static str {
    match (details.transparency, details.status) {
        (Transparency::Transparent, _) => "free",
        (Transparency::Opaque, EventStatus::Tentative) => "tentative",
        (Transparency::Opaque, _) => "busy",
    }
}

fn attendee(one: &Attendee) -> Value {
    let mut address = json!({ "address": one.email });
    if let Some(name) = &one.display_name {
        address["name"] = name.as_str().into();
    }
    json!({ "type": if one.is_optional { "optional" } else { "required" }, "emailAddress": address })
}

/// Returns `{dateTime, timeZone}` with the Windows name of the zone. A time in a zone without a
/// Windows name is written in UTC.
fn time(at: EventTime, zone: Tz) -> Value {
    let (local, own) = match at {
        // Midnight in the mailbox's zone. With another zone, Outlook would show two days.
        EventTime::Date(date) => (
            date.and_time(NaiveTime::MIN),
            windows_name(zone).map_or(Tz::UTC, |_| zone),
        ),
        EventTime::Zoned(local, own) => {
            let at = to_instant(local, own);
            let own = if windows_name(own).is_some() {
                own
            } else {
                Tz::UTC
            };
            (at.with_timezone(&own).naive_local(), own)
        }
        // Microsoft has no floating times. The mailbox's zone is the zone of most readers.
        EventTime::Floating(local) => {
            let own = if windows_name(zone).is_some() {
                zone
            } else {
                Tz::UTC
            };
            (
                to_instant(local, zone).with_timezone(&own).naive_local(),
                own,
            )
        }
    };
    json!({ "dateTime": local.format("%Y-%m-%dT%H:%M:%S").to_string(), "timeZone": windows_name(own).unwrap_or("UTC") })
}
