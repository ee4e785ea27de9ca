//! Expansion of series: `events.instances`, `singleEvents`, `freeBusy`; and `settings`.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};
use shared::domain::ids::OriginalStart;
use shared::domain::recurrence::Series;
use shared::domain::time::EventTime;

use super::errors::Refusal;
use super::events::{Answer, Query, current, flag, instant, is_within, parameter, readable, stamp};
use super::state::{Calendar, Person, State, Stored};

/// How far into the future a series is expanded when the request has no `timeMax`.
const HORIZON: TimeDelta = TimeDelta::days(730);
/// The maximum number of occurrences that one series is expanded to.
const LIMIT: usize = 2_500;

fn bound(query: &Query, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(parameter(query, name)?)
        .ok()
        .map(|at| at.to_utc())
}

/// Adds one page of the results to a response, with the token of the next page.
fn page(mut answer: Value, found: Vec<Value>, query: &Query, default: usize) -> Value {
    let limit = parameter(query, "maxResults")
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
        .clamp(1, 2500);
    let from = parameter(query, "pageToken")
        .and_then(|token| token.parse().ok())
        .unwrap_or(0_usize);
    let more = found.len() > from + limit;
    answer["items"] = found.into_iter().skip(from).take(limit).collect();
    if more {
        answer["nextPageToken"] = (from + limit).to_string().into();
    }
    answer
}

fn envelope(state: &State, calendar: &Calendar, role: &str) -> Value {
    json!({
        "kind": "calendar#events", "etag": format!("\"p{}\"", state.version), "summary": calendar.summary, "updated": stamp(state.now()),
        "timeZone": calendar.time_zone, "accessRole": role, "defaultReminders": []
    })
}

/// `events.instances`
pub(super) fn instances(
    state: &State,
    person: &Person,
    calendar: &str,
    id: &str,
    query: &Query,
) -> Answer {
    let (calendar, role) = readable(state, person, calendar)?;
    let series = current(calendar, id)?;
    let found = match parameter(query, "originalStart") {
        Some(original) => {
            let (at, suffix) = match DateTime::parse_from_rfc3339(original) {
                Ok(at) => {
                    let at = at.to_utc();
                    (at, at.format("%Y%m%dT%H%M%SZ").to_string())
                }
                Err(_) => {
                    let date: NaiveDate = original.parse().unwrap_or_default();
                    let at = date.and_time(chrono::NaiveTime::MIN).and_utc();
                    (at, date.format("%Y%m%d").to_string())
                }
            };
            let wanted = format!("{id}_{suffix}");
            let lines = series["recurrence"].as_array().into_iter().flatten();
            // The expansion does not read RDATE.
            let has_dates = lines
                .filter_map(Value::as_str)
                .any(|line| line.starts_with("RDATE"));
            if has_dates || calendar.events.contains_key(&wanted) {
                current(calendar, &wanted).into_iter().collect()
            } else {
                let day = TimeDelta::days(1);
                let near = occurrences(calendar, &series, at - day, at + day);
                near.into_iter().filter(|one| one["id"] == wanted).collect()
            }
        }
        None => {
            let (from, to) = (bound(query, "timeMin"), bound(query, "timeMax"));
            occurrences(
                calendar,
                &series,
                from.unwrap_or(DateTime::UNIX_EPOCH),
                to.unwrap_or(state.now() + HORIZON),
            )
        }
    };
    let found = found
        .into_iter()
        .filter(|event| event["status"] != "cancelled" || flag(query, "showDeleted"))
        .collect();
    Ok(page(envelope(state, calendar, &role), found, query, 250))
}

/// `events.list` with `singleEvents=true`. Sync tokens are not supported here; Calweave does not
/// use them with it.
pub(super) fn single_events(
    state: &State,
    person: &Person,
    calendar: &str,
    query: &Query,
) -> Answer {
    let (calendar, role) = readable(state, person, calendar)?;
    if parameter(query, "syncToken").is_some() {
        return Err(Refusal::new(
            501,
            "notImplemented",
            "the sandbox does not support sync tokens with singleEvents",
        ));
    }
    let (from, to) = (
        bound(query, "timeMin").unwrap_or(DateTime::UNIX_EPOCH),
        bound(query, "timeMax").unwrap_or(state.now() + HORIZON),
    );
    let mut found = between(calendar, from, to);
    found.retain(|event| is_within(event, query));
    if parameter(query, "orderBy") == Some("startTime") {
        found.sort_by_key(|event| instant(&event["start"]));
    }
    Ok(page(envelope(state, calendar, &role), found, query, 250))
}

/// Returns the events that overlap a time range, with series expanded.
fn between(calendar: &Calendar, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Value> {
    let mut found = Vec::new();
    for Stored { event, .. } in calendar.events.values() {
        if event.get("recurrence").is_some() {
            found.extend(occurrences(calendar, event, from, to));
        } else if event.get("recurringEventId").is_none() {
            found.push(event.clone());
        }
    }
    found.retain(|event| event["status"] != "cancelled");
    found.retain(|event| {
        let (start, end) = (instant(&event["start"]), instant(&event["end"]));
        start.is_some_and(|start| start < to) && end.is_some_and(|end| end > from)
    });
    found
}

/// Returns the occurrences of a series around a time range, with their overrides. The overrides can
/// be outside the range.
fn occurrences(
    calendar: &Calendar,
    series: &Value,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<Value> {
    let (Some(id), Some((start, rules))) = (series["id"].as_str(), read(series)) else {
        return vec![];
    };
    // Looks a month around the range, for occurrences that were moved into it.
    let around = TimeDelta::days(31);
    let starts = rules
        .expand(start, from - around, to + around, Tz::UTC, LIMIT)
        .starts;
    let suffix = |at: &EventTime| match at {
        EventTime::Date(date) => date.format("%Y%m%d").to_string(),
        other => other.instant(Tz::UTC).format("%Y%m%dT%H%M%SZ").to_string(),
    };
    starts
        .iter()
        .filter_map(|at| current(calendar, &format!("{id}_{}", suffix(at))).ok())
        .collect()
}

fn read(series: &Value) -> Option<(EventTime, Series)> {
    let start = match series["start"]["date"].as_str() {
        Some(date) => EventTime::Date(date.parse().ok()?),
        None => {
            let zone: Tz = series["start"]["timeZone"].as_str()?.parse().ok()?;
            EventTime::Zoned(
                instant(&series["start"])?
                    .with_timezone(&zone)
                    .naive_local(),
                zone,
            )
        }
    };
    let mut rules = Series::default();
    for line in series["recurrence"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
    {
        let (name, value) = line.split_once(':')?;
        match name.split(';').next()? {
            "RRULE" => rules.rules.push(value.parse().ok()?),
            "EXDATE" => rules
                .except_dates
                .extend(value.split(',').filter_map(|text| excluded(text, start))),
            _ => {}
        }
    }
    Some((start, rules))
}

fn excluded(text: &str, start: EventTime) -> Option<OriginalStart> {
    if text.len() == 8 {
        return NaiveDate::parse_from_str(text, "%Y%m%d")
            .ok()
            .map(OriginalStart::Date);
    }
    let local = NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y%m%dT%H%M%S").ok()?;
    Some(if text.ends_with('Z') {
        OriginalStart::Instant(local.and_utc())
    } else {
        start.with_local(local).original_start()
    })
}

/// `freebusy.query`. A calendar that cannot be read has an error in its entry; the
/// response succeeds.
pub(super) fn free_busy(state: &State, person: &Person, body: &Value) -> Answer {
    let at = |name: &str| {
        body[name]
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|at| at.to_utc())
    };
    let (Some(from), Some(to)) = (at("timeMin"), at("timeMax")) else {
        return Err(Refusal::new(400, "required", "Missing time bounds"));
    };
    let mut calendars = json!({});
    for id in body["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item["id"].as_str())
    {
        calendars[id] = match readable(state, person, id) {
            Ok((calendar, _)) => json!({ "busy": busy(calendar, from, to) }),
            Err(_) => {
                json!({ "busy": [], "errors": [{ "domain": "global", "reason": "notFound" }] })
            }
        };
    }
    Ok(
        json!({ "kind": "calendar#freeBusy", "timeMin": stamp(from), "timeMax": stamp(to), "calendars": calendars }),
    )
}

fn busy(calendar: &Calendar, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Value> {
    let taken = between(calendar, from, to)
        .into_iter()
        .filter(|event| event["transparency"] != "transparent");
    let mut taken: Vec<_> = taken
        .filter_map(|event| {
            Some((
                instant(&event["start"])?.max(from),
                instant(&event["end"])?.min(to),
            ))
        })
        .collect();
    taken.sort_unstable();
    let mut merged: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
    for (start, end) in taken {
        match merged.last_mut() {
            Some((_, last)) if start <= *last => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
        .into_iter()
        .map(|(start, end)| json!({ "start": stamp(start), "end": stamp(end) }))
        .collect()
}

/// `settings.list` and `settings.get`
pub(super) fn settings(state: &State, person: &Person, id: Option<&str>) -> Answer {
    let known = [
        ("timezone", person.time_zone.as_str()),
        ("weekStart", "1"),
        ("format24HourTime", "true"),
        ("locale", "en"),
    ];
    let one = |(id, value): (&str, &str)| json!({ "kind": "calendar#setting", "etag": "\"1\"", "id": id, "value": value });
    match id {
        Some(id) => known
            .into_iter()
            .find(|(known, _)| *known == id)
            .map(one)
            .ok_or_else(Refusal::not_found),
        None => Ok(json!({
            "kind": "calendar#settings", "etag": "\"1\"", "items": known.map(one), "nextSyncToken": format!("t{}", state.version)
        })),
    }
}
