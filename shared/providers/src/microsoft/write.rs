//! From our event to Graph's: only what differs is written.

use calweave_domain::content::EventContent;
use calweave_domain::event::{
    Attendee, Event, EventDetails, EventStatus, ReminderMethod, Transparency, Visibility,
};
use calweave_domain::field::FieldError;
use calweave_domain::link::SendUpdates;
use calweave_domain::rule::Rule;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::zones::windows_name;
use chrono::NaiveTime;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::{NAME, ProviderError, Refusal, Result, recurrence};

const TOLD: &str = "must be all: Microsoft tells everybody who is invited, whatever is asked for";

/// What of a change Microsoft cannot keep, or would do more than is asked for: the field and the reason. `before` is nothing
/// for a new event.
pub fn unwritable(
    before: Option<&EventContent>,
    now: &EventContent,
    send_updates: SendUpdates,
) -> Vec<FieldError> {
    let mut wrong = Vec::new();
    let mut say = |field: &str, message: &str| wrong.push(FieldError::new(field, message));
    let blank = EventDetails::default();
    let (old, new) = (
        before.map_or(&blank, |before| &*before.details),
        &*now.details,
    );
    if old.color_id != new.color_id && new.color_id.is_some() {
        say(
            "colorId",
            "is nothing that Microsoft knows; colours there are those of categories",
        );
    }
    if old.url != new.url && new.url.is_some() {
        say(
            "url",
            "is nothing that Microsoft knows; put it into the description",
        );
    }
    if old.reminders != new.reminders
        && (new.reminders.len() > 1
            || new
                .reminders
                .iter()
                .any(|one| one.method == ReminderMethod::Email))
    {
        say(
            "reminders",
            "may be one POPUP at most: Microsoft knows no others",
        );
    }
    if before.is_some() && new.uses_default_reminders && !old.uses_default_reminders {
        say(
            "reminders",
            "cannot be the calendar's own: Microsoft has none; say [] for none",
        );
    }
    if (old.status, old.transparency) != (new.status, new.transparency)
        && (new.status, new.transparency) == (EventStatus::Tentative, Transparency::Transparent)
    {
        say(
            "status",
            "cannot be TENTATIVE of what is TRANSPARENT: Microsoft has one value for both",
        );
    }
    let people = |details: &EventDetails| details.attendees.iter().any(|one| !one.is_self);
    let invited = |content: &EventContent| -> Vec<(String, bool)> {
        content
            .details
            .attendees
            .iter()
            .map(|one| (one.email.to_lowercase(), one.is_optional))
            .collect()
    };
    let is_invitee = old
        .attendees
        .iter()
        .any(|one| one.is_self && !one.is_organizer);
    if is_invitee && before.is_some_and(|before| invited(before) != invited(now)) {
        say("attendees", "can be changed by the organizer only");
    }
    let is_told =
        before.is_none_or(|before| invited(before) != invited(now) || is_news(before, now));
    let is_told = is_told && !is_invitee && (people(old) || people(new));
    if is_told && send_updates != SendUpdates::All {
        say("sendUpdates", TOLD);
    }
    if let Some(series) = &now.series {
        let changed = before.is_none_or(|before| {
            (before.start, before.series.as_ref()) != (now.start, now.series.as_ref())
        });
        if changed && let Err(reason) = recurrence::patterned(series, now.start) {
            wrong.push(FieldError::new("recurrence", format!("cannot be kept: {reason}. With whenInexpressible EXPAND each occurrence of a new one is an event of its own")));
        } else if changed
            && now
                .start
                .zone()
                .is_some_and(|zone| windows_name(zone).is_none())
        {
            wrong.push(FieldError::new(
                "timezone",
                "is none that Microsoft can repeat an event in; it has no zone of the same clocks",
            ));
        }
    }
    wrong
}

/// Whether whoever is invited would want to know of a change.
fn is_news(before: &EventContent, now: &EventContent) -> bool {
    let (old, new) = (&before.details, &now.details);
    (before.start, before.end, &before.series) != (now.start, now.end, &now.series)
        || (&old.title, &old.description, &old.location)
            != (&new.title, &new.description, &new.location)
}

/// The organizer's removal of a meeting is a cancellation, of which everybody is told.
pub fn undeletable(event: &Event, send_updates: SendUpdates) -> Vec<FieldError> {
    let attendees = &event.details.attendees;
    let is_invitee = attendees.iter().any(|one| one.is_self && !one.is_organizer);
    if send_updates == SendUpdates::All || is_invitee || attendees.iter().all(|one| one.is_self) {
        return vec![];
    }
    vec![FieldError::new("sendUpdates", TOLD)]
}

/// A description as it is given back: with other line ends, and nothing around it.
fn plain(description: Option<&str>) -> String {
    description
        .unwrap_or_default()
        .replace("\r\n", "\n")
        .trim()
        .to_owned()
}

/// What Microsoft takes for one thing: of a series it forgets all that is different when any of it changes.
fn times(event: &Event) -> (EventTime, EventTime, Option<Vec<Rule>>) {
    (
        event.start,
        event.end,
        event.series.as_deref().map(|series| series.rules.clone()),
    )
}

/// Whether a series is drawn anew when `to` is made of it.
pub(super) fn resets_exceptions(from: &Event, to: &Event) -> bool {
    from.series.is_some() && times(from) != times(to)
}

/// What has to be written to make `to` of an event that says `from`; all of it without.
///
/// # Errors
/// When Microsoft cannot express the recurrence.
pub(super) fn patch(from: Option<&Event>, to: &Event, zone: Tz) -> Result<Map<String, Value>> {
    let mut body = Map::new();
    let blank = EventDetails::default();
    let (old, new) = (from.map_or(&blank, |from| &*from.details), &*to.details);
    let is_new = from.is_none();
    let mut set = |name: &str, value: Value| {
        body.insert(name.to_owned(), value);
    };
    if from.is_none_or(|from| times(from) != times(to)) {
        set("start", time(to.start, zone));
        set("end", time(to.end, zone));
        set("isAllDay", matches!(to.start, EventTime::Date(_)).into());
        match to.series.as_deref() {
            Some(series) => {
                let reason = |message: String| ProviderError::Refused {
                    provider: NAME,
                    reason: Refusal::Field("recurrence".to_owned()),
                    message,
                };
                let mut made = recurrence::patterned(series, to.start)
                    .map_err(reason)?
                    .recurrence;
                if let Some(zone) = to.start.zone().and_then(windows_name) {
                    made["range"]["recurrenceTimeZone"] = zone.into();
                }
                set("recurrence", made);
            }
            None if from.is_some_and(|from| from.series.is_some()) => {
                set("recurrence", Value::Null);
            }
            None => {}
        }
    }
    if is_new || old.title != new.title {
        set("subject", new.title.as_str().into());
    }
    if plain(old.description.as_deref()) != plain(new.description.as_deref()) {
        set(
            "body",
            json!({ "contentType": "text", "content": new.description.as_deref().unwrap_or_default() }),
        );
    }
    if old.location != new.location {
        set(
            "location",
            json!({ "displayName": new.location.as_deref().unwrap_or_default() }),
        );
    }
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
    // Who organises an event is not invited to it.
    let invited = |details: &EventDetails| {
        details
            .attendees
            .iter()
            .filter(|one| !one.is_organizer)
            .map(attendee)
            .collect::<Vec<_>>()
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

/// By the name that Windows has for the zone; a zone that Windows has no name for is written as UTC.
fn time(at: EventTime, zone: Tz) -> Value {
    let (local, own) = match at {
        // Midnight where the mailbox is: elsewhere Outlook would show two days.
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
        // There are no floating times: the mailbox's zone is where most readers are.
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
