//! Renders events as Graph returns them: times in UTC or in the event's zone, the body as text or
//! HTML, and occurrences that are expanded from their series.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::recurrence::Series;
use shared::domain::time::{EventTime, to_instant};
use shared::domain::zones::resolve;
use shared::providers::microsoft::pattern;

use super::state::{Calendar, Days, Stored};

/// The `Prefer` headers of a request, and the sandbox's own settings.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Preferences {
    pub utc: bool,
    pub text: bool,
    pub days: Days,
}

/// The range around the requested window in which a series is expanded, as overrides can move
/// occurrences into the window.
const AROUND: TimeDelta = TimeDelta::days(40);
const LIMIT: usize = 3_000;

/// Parses a `dateTimeTimeZone`: the local time and its zone.
pub(super) fn written(time: &Value) -> Option<(NaiveDateTime, Tz)> {
    let text = time["dateTime"].as_str()?.trim_end_matches('Z');
    Some((
        NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?,
        resolve(time["timeZone"].as_str()?)?,
    ))
}

pub(super) fn instant(time: &Value) -> Option<DateTime<Utc>> {
    written(time).map(|(local, zone)| to_instant(local, zone))
}

fn stamp(local: NaiveDateTime) -> String {
    local.format("%Y-%m-%dT%H:%M:%S.0000000").to_string()
}

fn shown(time: &Value, preferences: Preferences) -> Value {
    match written(time) {
        // All-day events are converted too, so a day of another zone does not begin at midnight.
        Some((local, zone)) if preferences.utc => {
            json!({ "dateTime": stamp(to_instant(local, zone).naive_utc()), "timeZone": "UTC" })
        }
        Some((local, _)) => json!({ "dateTime": stamp(local), "timeZone": time["timeZone"] }),
        None => time.clone(),
    }
}

/// Removes a field.
pub(super) fn remove(event: &mut Value, name: &str) {
    if let Some(fields) = event.as_object_mut() {
        fields.remove(name);
    }
}

/// Renders a stored event for a response.
pub(super) fn render(event: &Value, version: u64, preferences: Preferences) -> Value {
    let mut shown_event = event.clone();
    remove(&mut shown_event, "singleValueExtendedProperties");
    let in_requested_zone =
        preferences.days.are_in_requested_zone && preferences.utc && event["isAllDay"] == true;
    for (name, original) in [
        ("start", "originalStartTimeZone"),
        ("end", "originalEndTimeZone"),
    ] {
        let mut time = event[name].clone();
        if in_requested_zone {
            time["timeZone"] = "UTC".into();
        }
        shown_event[original] = time["timeZone"].clone();
        shown_event[name] = shown(&time, preferences);
    }
    if preferences.days.lack_occurrence_id {
        remove(&mut shown_event, "occurrenceId");
    }
    let content = event["body"]["content"].as_str().unwrap_or_default();
    let is_html = event["body"]["contentType"] == "html";
    let body = match (is_html, preferences.text) {
        (true, true) => {
            json!({ "contentType": "text", "content": format!("{}\r\n", plain(content)) })
        }
        (false, false) => {
            json!({ "contentType": "html", "content": format!("<html><body><div>{content}</div></body></html>") })
        }
        _ => event["body"].clone(),
    };
    shown_event["body"] = body;
    shown_event["@odata.etag"] = etag(version).into();
    shown_event["changeKey"] = format!("v{version}").into();
    shown_event
}

pub(super) fn etag(version: u64) -> String {
    format!("W/\"v{version}\"")
}

/// Converts HTML to plain text.
fn plain(html: &str) -> String {
    let mut text = String::new();
    let mut within = false;
    for part in html
        .replace("<br>", "\r\n")
        .replace("</div>", "\r\n</div>")
        .chars()
    {
        match part {
            '<' => within = true,
            '>' => within = false,
            other if !within => text.push(other),
            _ => {}
        }
    }
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
        .trim()
        .to_owned()
}

/// Returns the start of a series and its rules; `None` when the event has no valid recurrence. The
/// rules are expanded in the time zone of the recurrence, which can differ from that of the start
/// (microsoft-graph-docs#2202, #6208).
pub(super) fn series(event: &Value) -> Option<(EventTime, Series)> {
    let (local, zone) = written(&event["start"])?;
    let start = if event["isAllDay"] == true {
        EventTime::Date(local.date())
    } else {
        let named = event["recurrence"]["range"]["recurrenceTimeZone"].as_str();
        let own = named.and_then(resolve).unwrap_or(zone);
        let at = to_instant(local, zone).with_timezone(&own);
        EventTime::Zoned(at.naive_local(), own)
    };
    Some((start, pattern::series(&event["recurrence"]).ok()?))
}

/// Returns the id of the occurrence of a series on this date.
pub(super) fn occurrence_id(series: &str, date: NaiveDate) -> String {
    format!("{series}.{}", date.format("%Y%m%d"))
}

/// Parses an occurrence's id: the id of its series, and its original date.
pub(super) fn of_occurrence(id: &str) -> Option<(&str, NaiveDate)> {
    let (series, date) = id.rsplit_once('.')?;
    Some((series, NaiveDate::parse_from_str(date, "%Y%m%d").ok()?))
}

/// Returns the occurrence with this id, or its override; `None` when the series has none on that
/// date, or it is cancelled.
pub(super) fn occurrence(calendar: &Calendar, id: &str) -> Option<Stored> {
    let (series_id, date) = of_occurrence(id)?;
    let master = calendar.events.get(series_id)?;
    let (start, rules) = series(&master.event)?;
    let at = start.with_local(date.and_time(start.local().time()));
    let from = at.instant(Tz::UTC) - TimeDelta::hours(26);
    let found = rules
        .expand(start, from, from + TimeDelta::hours(52), Tz::UTC, LIMIT)
        .starts;
    if !found.iter().any(|found| found.local().date() == date) || master.cancelled.contains(&date) {
        return None;
    }
    Some(
        calendar
            .events
            .get(id)
            .cloned()
            .unwrap_or_else(|| given(master, series_id, at)),
    )
}

/// Returns the name of the zone in which an occurrence is written: that of the start, or of the
/// recurrence.
fn zone_name(master: &Stored, at: EventTime) -> Value {
    let start = &master.event["start"];
    let own = written(start).map(|(_, zone)| zone);
    if at.zone().is_none() || at.zone() == own {
        return start["timeZone"].clone();
    }
    master.event["recurrence"]["range"]["recurrenceTimeZone"].clone()
}

/// Builds the occurrence that the series has at this start, without an override.
fn given(master: &Stored, series_id: &str, at: EventTime) -> Stored {
    let mut event = master.event.clone();
    remove(&mut event, "recurrence");
    remove(&mut event, "transactionId");
    let date = at.local().date();
    let zone = zone_name(master, at);
    let (first, last) = (
        written(&master.event["start"]),
        written(&master.event["end"]),
    );
    let own = at.zone().unwrap_or(Tz::UTC);
    let length = match (first, last) {
        (Some((first, from)), Some((last, to))) if at.zone().is_some() => {
            to_instant(last, to) - to_instant(first, from)
        }
        (Some((first, _)), Some((last, _))) => last - first,
        _ => TimeDelta::zero(),
    };
    let end = match at.zone() {
        Some(zone) => (to_instant(at.local(), zone) + length)
            .with_timezone(&zone)
            .naive_local(),
        None => at.local() + length,
    };
    let original = match at.zone() {
        Some(zone) => to_instant(at.local(), zone).naive_utc(),
        // An all-day occurrence begins at midnight in the zone of its series.
        None => to_instant(at.local(), first.map_or(own, |(_, zone)| zone)).naive_utc(),
    };
    let uid = format!(
        "{}{}",
        master.event["iCalUId"].as_str().unwrap_or_default(),
        date.format("%Y%m%d")
    );
    for (name, value) in [
        ("id", occurrence_id(series_id, date).into()),
        ("type", "occurrence".into()),
        ("seriesMasterId", series_id.into()),
        ("occurrenceId", format!("OID.{series_id}.{date}").into()),
        ("iCalUId", uid.into()),
        (
            "originalStart",
            format!("{}Z", original.format("%Y-%m-%dT%H:%M:%S")).into(),
        ),
        (
            "start",
            json!({ "dateTime": stamp(at.local()), "timeZone": zone }),
        ),
        ("end", json!({ "dateTime": stamp(end), "timeZone": zone })),
    ] {
        event[name] = value;
    }
    Stored {
        version: master.version,
        event,
        cancelled: [].into(),
    }
}

/// Returns the occurrences of a series that overlap a time range, with their overrides.
pub(super) fn occurrences(
    calendar: &Calendar,
    master: &Stored,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<Stored> {
    let (Some((start, rules)), Some(id)) = (series(&master.event), master.event["id"].as_str())
    else {
        return vec![];
    };
    let starts = rules
        .expand(start, from - AROUND, to + AROUND, Tz::UTC, LIMIT)
        .starts;
    let found = starts
        .into_iter()
        .filter(|at| !master.cancelled.contains(&at.local().date()))
        .map(|at| {
            let changed = calendar
                .events
                .get(&occurrence_id(id, at.local().date()))
                .cloned();
            changed.unwrap_or_else(|| given(master, id, at))
        });
    found
        .filter(|one| is_within(&one.event, from, to))
        .collect()
}

/// Returns whether an event overlaps a time range.
pub(super) fn is_within(event: &Value, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
    let (start, end) = (instant(&event["start"]), instant(&event["end"]));
    start.is_some_and(|start| start < to)
        && end.is_some_and(|end| end > from || (Some(end) == start && end >= from))
}

/// Returns whether start and end are both at midnight in the same zone.
pub(super) fn is_whole_days(event: &Value) -> bool {
    let midnight =
        |name: &str| written(&event[name]).is_some_and(|(local, _)| local.time() == NaiveTime::MIN);
    midnight("start") && midnight("end") && event["start"]["timeZone"] == event["end"]["timeZone"]
}
