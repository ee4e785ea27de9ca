//! Converts an event to Google's event resource. A `PUT` erases every field that the request body
//! leaves out. The body therefore starts as Google's current resource, and only the fields that
//! differ are overwritten.

use calweave_domain::details::{
    Attendee, EventDetails, EventStatus, Reminder, ReminderMethod, RsvpStatus, Transparency,
    Visibility,
};
use calweave_domain::event::Event;
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{Rule, Until};
use calweave_domain::time::{EventTime, rfc3339, to_instant};
use chrono_tz::Tz;
use serde_json::{Value, json};

/// Writes the fields in which `to` differs from `from` over `body`. `body` is the resource that
/// `from` was read from. `from` is `None` if the resource is new. Floating times are written in
/// `zone`.
pub(super) fn overlay(body: &mut Value, from: Option<&Event>, to: &Event, zone: Tz) {
    overlay_times(body, from, to, zone);
    let blank = EventDetails::default();
    let (old, new) = (from.map_or(&blank, |from| &*from.details), &*to.details);
    overlay_texts(body, old, new);
    if old.color_id != new.color_id {
        body["colorId"] = new.color_id.clone().into();
    }
    if old.url != new.url {
        let source = |url: &String| json!({ "url": url, "title": new.title });
        body["source"] = new.url.as_ref().map_or(Value::Null, source);
    }
    if old.attendees != new.attendees && !new.attendees_omitted {
        let known = body["attendees"].take();
        // The organizer may come from the event's `organizer` field. It is then not an attendee at
        // Google.
        let is_listed = |one: &&Attendee| !one.is_organizer || listed(one, &known).is_some();
        let attendees = new.attendees.iter().filter(is_listed);
        body["attendees"] = attendees.map(|one| attendee(one, &known)).collect();
    }
    let reminders =
        |details: &EventDetails| (details.uses_default_reminders, details.reminders.clone());
    if from.is_none() || reminders(old) != reminders(new) {
        let overrides: Vec<Value> = new.reminders.iter().map(reminder).collect();
        body["reminders"] = if new.uses_default_reminders {
            json!({ "useDefault": true })
        } else {
            json!({ "useDefault": false, "overrides": overrides })
        };
    }
}

fn overlay_times(body: &mut Value, from: Option<&Event>, to: &Event, zone: Tz) {
    let times = |event: &Event| {
        let is_date = matches!(event.start, EventTime::Date(_));
        (event.start, event.end, is_date)
    };
    // The start and the end are both written: after a switch between date and time, neither may
    // keep the other form.
    if from.map(times) != Some(times(to)) {
        body["start"] = time(to.start, zone);
        body["end"] = time(to.end, zone);
    }
    let lines = |event: &Event| {
        let series = event.series.as_deref();
        series.map_or_else(Vec::new, |series| recurrence(series, event.start))
    };
    if from.map(lines).unwrap_or_default() != lines(to) {
        body["recurrence"] = lines(to).into();
    }
}

fn overlay_texts(body: &mut Value, old: &EventDetails, new: &EventDetails) {
    let mut text = |name: &str, field: &dyn Fn(&EventDetails) -> String| {
        if field(old) != field(new) {
            body[name] = field(new).into();
        }
    };
    text("summary", &|details| details.title.clone());
    text("description", &|details| {
        details.description.clone().unwrap_or_default()
    });
    text("location", &|details| {
        details.location.clone().unwrap_or_default()
    });
    text("status", &|details| status(details.status).to_owned());
    text("transparency", &|details| {
        transparency(details.transparency).to_owned()
    });
    text("visibility", &|details| {
        visibility(details.visibility).to_owned()
    });
}

fn time(at: EventTime, zone: Tz) -> Value {
    match at {
        EventTime::Date(date) => json!({ "date": date.to_string() }),
        EventTime::Zoned(local, own) => {
            json!({ "dateTime": rfc3339(to_instant(local, own), own), "timeZone": own.name() })
        }
        // Google has no floating times. The calendar's zone is used, because most readers are in
        // it.
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

/// Finds the entry of an attendee in Google's list, by e-mail address.
fn listed<'a>(one: &Attendee, known: &'a Value) -> Option<&'a Value> {
    let is_same = |other: &&Value| {
        let email = other["email"].as_str();
        email.is_some_and(|email| email.eq_ignore_ascii_case(&one.email))
    };
    known.as_array().into_iter().flatten().find(is_same)
}

/// Converts an attendee. Fields of Google's entry that Calweave does not have are kept.
fn attendee(one: &Attendee, known: &Value) -> Value {
    let mut value = listed(one, known)
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

/// Converts a series to the content lines of `recurrence`. Exceptions are separate events at
/// Google, and are not part of the lines.
fn recurrence(series: &Series, start: EventTime) -> Vec<String> {
    let rule = |rule: &Rule| for_google(rule, start);
    let series = Series {
        rules: series.rules.iter().map(rule).collect(),
        except_rules: series.except_rules.iter().map(rule).collect(),
        ..series.clone()
    };
    series.content_lines(start).unwrap_or_default()
}

/// Converts `UNTIL` to the form that Google requires: UTC for a timed series, a date for an all-day
/// series.
fn for_google(rule: &Rule, start: EventTime) -> Rule {
    let until = rule.until.map(|until| match (until, start) {
        (Until::Local(at) | Until::Utc(at), EventTime::Date(_)) => Until::Date(at.date()),
        (until, EventTime::Date(_)) | (until @ Until::Utc(_), _) => until,
        (Until::Local(at), _) => {
            Until::Utc(to_instant(at, start.zone().unwrap_or(Tz::UTC)).naive_utc())
        }
        (Until::Date(date), _) => {
            // The end of that day in the event's zone.
            let last = date.and_hms_opt(23, 59, 59).unwrap_or_default();
            Until::Utc(to_instant(last, start.zone().unwrap_or(Tz::UTC)).naive_utc())
        }
    });
    Rule {
        until,
        ..rule.clone()
    }
}
