//! Converts one `VEVENT` to Calweave's own types.

use calcard::icalendar::{
    ICalendarDuration, ICalendarEntry, ICalendarParameterName as Parameter,
    ICalendarParameterValue, ICalendarPeriod, ICalendarProperty, ICalendarValue,
};
use calweave_domain::details::EventDetails;
use calweave_domain::digest::digest_of;
use calweave_domain::recurrence::Series;
use calweave_domain::time::{EventTime, next_day};
use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::details::{detail, of_texts, reminders};
use super::lines::Block;
use super::recurrence::MAX_DATES;
use super::wall::{Wall, wall};
use super::zones::Zones;
use super::{Warnings, parse};

/// A parsed `VEVENT`.
pub(super) struct Component {
    pub uid: String,
    /// Whether the uid is the feed's own, and not derived from title and start.
    pub has_uid: bool,
    pub start: EventTime,
    pub end: EventTime,
    pub zone_guessed: bool,
    pub details: Box<EventDetails>,
    pub series: Option<Box<Series>>,
    /// `RECURRENCE-ID`, and whether it also applies to all later occurrences (`RANGE=THISANDFUTURE`).
    pub replaces: Option<(EventTime, bool)>,
    /// `SEQUENCE`, then the later of `DTSTAMP` and `LAST-MODIFIED`: of two versions the greater one is used.
    pub version: (i64, NaiveDateTime),
    /// The `RDATE`s that are periods with a duration of their own (RFC 5545 3.8.5.2).
    pub periods: Vec<(EventTime, EventTime)>,
}

/// Reads a component. Returns `None`, with a warning, if it has no start that can be read.
pub(super) fn read(
    block: Block,
    zones: &mut Zones,
    now: DateTime<Utc>,
    warnings: &mut Warnings,
) -> Option<Component> {
    let calendar = parse(&block.text)?;
    let event = calendar.components.first()?;
    let mut reader = Reader {
        zones,
        warnings,
        now,
        zone_guessed: false,
        start_zone: None,
    };
    let mut details = Box::new(of_texts(block.texts));
    let properties = reader.properties(&event.entries, &mut details);
    let Some(start) = properties.start else {
        warnings.add(format!(
            "The event {:?} has no readable start and is not shown.",
            short(&details.title)
        ));
        return None;
    };
    let duration = properties.duration.as_ref();
    let end = reader.end(start, properties.end, duration, &details.title);
    let all_day = properties.all_day.then(|| reader.whole_days(start, end));
    let (start, end) = all_day.flatten().unwrap_or((start, end));
    details.reminders = reminders(&calendar, start, end);
    let zone_guessed = reader.zone_guessed;
    let mut series = reader.series(
        [&block.rules, &block.except_rules],
        start,
        &properties.except,
        &properties.dates,
        &details.title,
    );
    if let Some(series) = &mut series {
        reader.in_own_zone(series, properties.own_start, &mut details);
    }
    let periods = match &series {
        Some(_) => reader.periods(start, end, &properties.dates),
        None => vec![],
    };
    Some(Component {
        has_uid: properties.uid.as_ref().is_some_and(|uid| !uid.is_empty()),
        periods,
        uid: uid(properties.uid, start, &details.title, warnings),
        start,
        end,
        zone_guessed,
        details,
        series,
        replaces: properties.replaces,
        version: (properties.sequence, properties.written),
    })
}

/// Returns the `UID`; a digest of it if it is longer than 1 KiB, and one derived from title and start if it is missing.
fn uid(uid: Option<String>, start: EventTime, title: &str, warnings: &mut Warnings) -> String {
    match uid.filter(|uid| !uid.is_empty()) {
        Some(uid) if uid.len() > 1024 => digest_of(uid.as_bytes()),
        Some(uid) => uid,
        None => {
            warnings.add("An event has no UID; it is identified by its title and start.");
            let digest = digest_of(format!("{start}{title}").as_bytes());
            format!("calweave-{digest}")
        }
    }
}

/// The properties of an event other than its details.
struct Properties<'a> {
    uid: Option<String>,
    start: Option<EventTime>,
    /// Wall-clock time and zone name of the start, if it has both.
    own_start: Option<(NaiveDateTime, &'a str)>,
    end: Option<EventTime>,
    duration: Option<ICalendarDuration>,
    /// `RECURRENCE-ID`, and whether it has `RANGE=THISANDFUTURE`.
    replaces: Option<(EventTime, bool)>,
    sequence: i64,
    /// The later of `DTSTAMP` and `LAST-MODIFIED`.
    written: NaiveDateTime,
    except: Vec<&'a ICalendarEntry>,
    dates: Vec<&'a ICalendarEntry>,
    /// Whether a property says that the event is all-day if it lasts from midnight to midnight.
    all_day: bool,
}

/// Reads one `VEVENT`.
pub(super) struct Reader<'a> {
    pub zones: &'a mut Zones,
    pub warnings: &'a mut Warnings,
    pub now: DateTime<Utc>,
    zone_guessed: bool,
    /// The zone that the start names; times without a zone are in it too.
    start_zone: Option<Tz>,
}

impl Reader<'_> {
    /// Reads all properties; those other than identity and times go into `details`.
    fn properties<'a>(
        &mut self,
        entries: &'a [ICalendarEntry],
        details: &mut EventDetails,
    ) -> Properties<'a> {
        let mut read = Properties {
            uid: None,
            start: None,
            own_start: None,
            end: None,
            duration: None,
            replaces: None,
            sequence: 0,
            written: NaiveDateTime::MIN,
            except: vec![],
            dates: vec![],
            all_day: false,
        };
        self.note_start_zone(entries);
        for entry in entries {
            let value = entry.values.first();
            match (&entry.name, value) {
                (ICalendarProperty::Uid, value) => {
                    let text = value.and_then(ICalendarValue::as_text);
                    read.uid = text.map(|text| text.trim().to_owned());
                }
                (ICalendarProperty::Dtstart, _) => {
                    read.own_start = read.own_start.or_else(|| own_zone_start(entry));
                    read.start = read.start.or_else(|| self.time(entry));
                }
                (ICalendarProperty::Dtend, _) => read.end = read.end.or_else(|| self.time(entry)),
                (ICalendarProperty::Duration, Some(ICalendarValue::Duration(value))) => {
                    read.duration = Some(value.clone());
                }
                (ICalendarProperty::RecurrenceId, _) => {
                    let range = entry.parameter(&Parameter::Range);
                    let following = matches!(range, Some(ICalendarParameterValue::Bool(true)));
                    read.replaces = self.time(entry).map(|at| (at, following));
                }
                (ICalendarProperty::Sequence, Some(ICalendarValue::Integer(number))) => {
                    read.sequence = *number;
                }
                (
                    ICalendarProperty::Dtstamp | ICalendarProperty::LastModified,
                    Some(ICalendarValue::PartialDateTime(at)),
                ) => {
                    if let Some(Wall::Utc(at) | Wall::Floating(at)) = wall(at) {
                        read.written = read.written.max(at);
                    }
                }
                (
                    ICalendarProperty::Duration
                    | ICalendarProperty::Sequence
                    | ICalendarProperty::Dtstamp
                    | ICalendarProperty::LastModified,
                    _,
                ) => {}
                (ICalendarProperty::Exdate, _) => read.except.push(entry),
                (ICalendarProperty::Rdate, _) => read.dates.push(entry),
                _ => detail(entry, details),
            }
        }
        read.all_day = is_flagged_as_days(entries);
        read
    }

    /// Notes the zone that the start names, which may stand behind other times.
    fn note_start_zone(&mut self, entries: &[ICalendarEntry]) {
        let is_start = |entry: &&ICalendarEntry| entry.name == ICalendarProperty::Dtstart;
        let start = entries.iter().find(is_start);
        if let Some(start) = start.filter(|start| start.tz_id().is_some()) {
            let zone = self.time(start).and_then(|start| start.zone());
            self.start_zone = zone.filter(|zone| *zone != Tz::UTC);
        }
    }

    /// Returns the dates of an event from midnight to midnight, in its own zone or where the feed is; `None` for any other.
    fn whole_days(&self, start: EventTime, end: EventTime) -> Option<(EventTime, EventTime)> {
        let days = |start: NaiveDateTime, end: NaiveDateTime| {
            let is_midnight = |at: NaiveDateTime| at.time() == NaiveTime::MIN;
            let is_whole = is_midnight(start) && is_midnight(end) && start < end;
            is_whole.then(|| (EventTime::Date(start.date()), EventTime::Date(end.date())))
        };
        let in_zone = |at: EventTime, zone| at.instant(zone).with_timezone(&zone).naive_local();
        match start.zone() {
            Some(own) => {
                let mut zones = [own, self.zones.home()].into_iter();
                zones.find_map(|zone| days(in_zone(start, zone), in_zone(end, zone)))
            }
            None => days(start.local(), end.local()),
        }
    }

    fn time(&mut self, entry: &ICalendarEntry) -> Option<EventTime> {
        self.times(entry).next()
    }

    pub fn times<'e>(
        &'e mut self,
        entry: &'e ICalendarEntry,
    ) -> impl Iterator<Item = EventTime> + 'e {
        entry.values.iter().take(MAX_DATES).filter_map(|value| {
            let at = match value {
                ICalendarValue::PartialDateTime(at) => wall(at)?,
                ICalendarValue::Period(
                    ICalendarPeriod::Range { start, .. } | ICalendarPeriod::Duration { start, .. },
                ) => wall(start)?,
                _ => return None,
            };
            Some(match at {
                Wall::Date(date) => EventTime::Date(date),
                Wall::Utc(local) => EventTime::Zoned(local, chrono_tz::UTC),
                Wall::Floating(local) => match entry.tz_id() {
                    Some(name) => {
                        let (at, guessed) = self.zones.zoned(local, name);
                        self.zone_guessed |= guessed;
                        at
                    }
                    None => match self.start_zone {
                        Some(zone) => EventTime::Zoned(local, zone),
                        None => self.zones.floating(local),
                    },
                },
            })
        })
    }

    /// Returns the end (RFC 5545 3.6.1): `DTEND`, or `DTSTART` plus `DURATION`. Without either, a date lasts one day
    /// and a time has no duration.
    fn end(
        &mut self,
        start: EventTime,
        end: Option<EventTime>,
        duration: Option<&ICalendarDuration>,
        title: &str,
    ) -> EventTime {
        let least = match start {
            EventTime::Date(date) => EventTime::Date(next_day(date)),
            _ => start,
        };
        let end = match (end, duration) {
            (Some(end), _) => match (start, end) {
                // A time is in the middle of the last day.
                (EventTime::Date(_), end) if end.local().time() != NaiveTime::MIN => {
                    EventTime::Date(next_day(end.local().date()))
                }
                (EventTime::Date(_), end) => EventTime::Date(end.local().date()),
                (EventTime::Floating(_), end) => start.with_local(end.local()),
                (EventTime::Zoned(..), EventTime::Zoned(..)) => end,
                (EventTime::Zoned(..), end) => start.with_local(end.local()),
            },
            (None, Some(duration)) => {
                // Weeks and days are counted on the wall clock, shorter units in elapsed time (RFC 5545 3.3.6).
                let sign = if duration.neg { -1 } else { 1 };
                let days = sign * (i64::from(duration.weeks) * 7 + i64::from(duration.days));
                let rest = TimeDelta::seconds(duration.as_seconds()) - TimeDelta::days(days);
                let days = start
                    .local()
                    .checked_add_signed(TimeDelta::days(days))
                    .unwrap_or(start.local());
                start.with_local(days).plus(rest)
            }
            (None, None) => return least,
        };
        let before =
            |a: EventTime, b: EventTime| a.instant(chrono_tz::UTC) < b.instant(chrono_tz::UTC);
        if before(end, least) {
            if before(end, start) {
                self.warnings.add(format!(
                    "The event {:?} ends before it starts; its end is ignored.",
                    short(title)
                ));
            }
            return least;
        }
        end
    }
}

/// Returns whether Outlook, or a program that imitates it, says that an event is all-day.
fn is_flagged_as_days(entries: &[ICalendarEntry]) -> bool {
    let (mut flag, mut has_intended_status) = (None, false);
    for entry in entries {
        let ICalendarProperty::Other(name) = &entry.name else {
            continue;
        };
        match name.as_str() {
            // Outlook writes it for all-day events only.
            "X-MICROSOFT-CDO-INTENDEDSTATUS" => has_intended_status = true,
            "X-MICROSOFT-CDO-ALLDAYEVENT"
            | "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT"
            | "X-FUNAMBOL-ALLDAY" => flag = entry.values.first().and_then(truth),
            _ => {}
        }
    }
    flag.unwrap_or(has_intended_status)
}

/// Returns what a flag says; `None` if it says nothing that is known.
fn truth(value: &ICalendarValue) -> Option<bool> {
    match value {
        ICalendarValue::Boolean(value) => Some(*value),
        ICalendarValue::Integer(number) => Some(*number != 0),
        value => match value.as_text()?.trim().to_ascii_uppercase().as_str() {
            "TRUE" | "1" | "YES" => Some(true),
            "FALSE" | "0" | "NO" => Some(false),
            _ => None,
        },
    }
}

/// Returns the wall-clock time and the zone name of a start, if it has both.
fn own_zone_start(entry: &ICalendarEntry) -> Option<(NaiveDateTime, &str)> {
    match (entry.values.first()?, entry.tz_id()) {
        (ICalendarValue::PartialDateTime(at), Some(name)) => match wall(at)? {
            Wall::Floating(local) => Some((local, name)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the first 40 characters of a title, for a warning.
pub(super) fn short(title: &str) -> &str {
    title
        .char_indices()
        .nth(40)
        .map_or(title, |(end, _)| &title[..end])
}
