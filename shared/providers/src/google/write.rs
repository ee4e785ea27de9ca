//! From our event to Google's. What Google has is kept, and only what differs is written over it: a `PUT` erases whatever
//! it leaves out.

use calweave_domain::event::{
    Attendee, Event, EventDetails, EventStatus, Reminder, ReminderMethod, RsvpStatus, Transparency,
    Visibility,
};
use calweave_domain::ids::OriginalStart;
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{Rule, Until};
use calweave_domain::time::{EventTime, rfc3339, to_instant};
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

/// Makes `to` of `body`, which says `from`; of nothing without.
pub(super) fn overlay(body: &mut Value, from: Option<&Event>, to: &Event, zone: Tz) {
    let is_new = from.is_none();
    let differs = |same: &dyn Fn(&Event) -> bool| from.is_none_or(|from| !same(from));
    let kind = |at: EventTime| matches!(at, EventTime::Date(_));
    // A switch between a date and a time must leave nothing of the other behind, so both ends are written together.
    if differs(&|from| {
        from.start == to.start && from.end == to.end && kind(from.start) == kind(to.start)
    }) {
        body["start"] = time(to.start, zone);
        body["end"] = time(to.end, zone);
    }
    let lines = to
        .series
        .as_deref()
        .map(|series| recurrence(series, to.start))
        .unwrap_or_default();
    let before = from
        .and_then(|from| Some(recurrence(from.series.as_deref()?, from.start)))
        .unwrap_or_default();
    if lines != before {
        body["recurrence"] = lines.into();
    }
    let blank = EventDetails::default();
    let (old, new) = (from.map_or(&blank, |from| &*from.details), &*to.details);
    let mut text = |name: &str, old: &str, new: &str| {
        if old != new {
            body[name] = new.into();
        }
    };
    text("summary", &old.title, &new.title);
    let plain = |text: &Option<String>| text.clone().unwrap_or_default();
    text(
        "description",
        &plain(&old.description),
        &plain(&new.description),
    );
    text("location", &plain(&old.location), &plain(&new.location));
    text("status", status(old.status), status(new.status));
    text(
        "transparency",
        transparency(old.transparency),
        transparency(new.transparency),
    );
    text(
        "visibility",
        visibility(old.visibility),
        visibility(new.visibility),
    );
    if old.color_id != new.color_id {
        body["colorId"] = new.color_id.clone().into();
    }
    if old.url != new.url {
        body["source"] = new
            .url
            .as_ref()
            .map_or(Value::Null, |url| json!({ "url": url, "title": new.title }));
    }
    if old.attendees != new.attendees && !new.attendees_omitted {
        let known = body["attendees"].take();
        body["attendees"] = new
            .attendees
            .iter()
            .map(|one| attendee(one, &known))
            .collect();
    }
    let reminders =
        |details: &EventDetails| (details.uses_default_reminders, details.reminders.clone());
    if is_new || reminders(old) != reminders(new) {
        let overrides: Vec<Value> = new.reminders.iter().map(reminder).collect();
        body["reminders"] = if new.uses_default_reminders {
            json!({ "useDefault": true })
        } else {
            json!({ "useDefault": false, "overrides": overrides })
        };
    }
}

fn time(at: EventTime, zone: Tz) -> Value {
    match at {
        EventTime::Date(date) => json!({ "date": date.to_string() }),
        EventTime::Zoned(local, own) => {
            json!({ "dateTime": rfc3339(to_instant(local, own), own), "timeZone": own.name() })
        }
        // Google knows no floating times: the calendar's zone is where most readers are.
        EventTime::Floating(local) => {
            json!({ "dateTime": rfc3339(to_instant(local, zone), zone), "timeZone": zone.name() })
        }
    }
}

fn status(status: EventStatus) -> &'static str {
    match status {
        EventStatus::Confirmed => "confirmed",
        EventStatus::Tentative => "tentative",
        EventStatus::Cancelled => "cancelled",
    }
}

fn transparency(transparency: Transparency) -> &'static str {
    match transparency {
        Transparency::Opaque => "opaque",
        Transparency::Transparent => "transparent",
    }
}

fn visibility(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Public => "default",
        Visibility::Private => "private",
        Visibility::Confidential => "confidential",
    }
}

/// Somebody who is invited; what Google knows of them beyond our words stays.
fn attendee(one: &Attendee, known: &Value) -> Value {
    let same = |other: &&Value| {
        other["email"]
            .as_str()
            .is_some_and(|email| email.eq_ignore_ascii_case(&one.email))
    };
    let mut value = known
        .as_array()
        .into_iter()
        .flatten()
        .find(same)
        .cloned()
        .unwrap_or_else(|| json!({ "email": one.email }));
    if let Some(name) = &one.display_name {
        value["displayName"] = name.as_str().into();
    }
    if one.is_optional || value["optional"] == true {
        value["optional"] = one.is_optional.into();
    }
    value["responseStatus"] = response(one.rsvp_status).into();
    value
}

pub(super) fn response(status: RsvpStatus) -> &'static str {
    match status {
        RsvpStatus::NeedsAction => "needsAction",
        RsvpStatus::Accepted => "accepted",
        RsvpStatus::Declined => "declined",
        RsvpStatus::Tentative => "tentative",
    }
}

fn reminder(reminder: &Reminder) -> Value {
    let method = match reminder.method {
        ReminderMethod::Popup => "popup",
        ReminderMethod::Email => "email",
    };
    json!({ "method": method, "minutes": reminder.minutes_before })
}

/// The lines of a series. What is overridden has events of its own at Google.
fn recurrence(series: &Series, start: EventTime) -> Vec<String> {
    let rules = series
        .rules
        .iter()
        .map(|rule| format!("RRULE:{}", for_google(rule, start)));
    let except = series
        .except_rules
        .iter()
        .map(|rule| format!("EXRULE:{}", for_google(rule, start)));
    let dates = series.dates.iter().map(|date| match date {
        EventTime::Date(date) => format!("RDATE;VALUE=DATE:{}", date.format("%Y%m%d")),
        other => format!("RDATE:{}", utc(other.instant(Tz::UTC))),
    });
    let except_dates = series.except_dates.iter().map(|date| match date {
        OriginalStart::Date(date) => format!("EXDATE;VALUE=DATE:{}", date.format("%Y%m%d")),
        OriginalStart::Instant(at) => format!("EXDATE:{}", utc(*at)),
        OriginalStart::Floating(local) => match start.zone() {
            Some(zone) => format!(
                "EXDATE;TZID={}:{}",
                zone.name(),
                local.format("%Y%m%dT%H%M%S")
            ),
            None => format!("EXDATE:{}", local.format("%Y%m%dT%H%M%S")),
        },
    });
    rules
        .chain(except)
        .chain(dates)
        .chain(except_dates)
        .collect()
}

/// A rule whose `UNTIL` is of the kind that Google wants: UTC for a timed series, a date for an all-day one.
fn for_google(rule: &Rule, start: EventTime) -> Rule {
    let until = rule.until.map(|until| match (until, start) {
        (Until::Local(at) | Until::Utc(at), EventTime::Date(_)) => Until::Date(at.date()),
        (until, EventTime::Date(_)) | (until @ Until::Utc(_), _) => until,
        (Until::Local(at), _) => {
            Until::Utc(to_instant(at, start.zone().unwrap_or(Tz::UTC)).naive_utc())
        }
        (Until::Date(date), _) => {
            // The whole of that day, where the event is.
            let last = date.and_hms_opt(23, 59, 59).unwrap_or_default();
            Until::Utc(to_instant(last, start.zone().unwrap_or(Tz::UTC)).naive_utc())
        }
    });
    Rule {
        until,
        ..rule.clone()
    }
}

fn utc(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
        .replace(['-', ':'], "")
}
