//! Converts one `VEVENT` to Calweave's own types.

use std::collections::HashSet;

use calcard::icalendar::{
    ICalendarDuration, ICalendarEntry, ICalendarParameterName as Parameter,
    ICalendarParameterValue, ICalendarPeriod, ICalendarProperty, ICalendarValue,
};
use calweave_domain::details::EventDetails;
use calweave_domain::digest::digest_of;
use calweave_domain::ids::OriginalStart;
use calweave_domain::own_zone::OwnZone;
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{Rule, Until};
use calweave_domain::time::{EventTime, next_day};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::details::{detail, of_texts, reminders};
use super::lines::Block;
use super::wall::{Wall, wall};
use super::zones::Zones;
use super::{Warnings, parse};

/// A parsed `VEVENT`.
pub(super) struct Component {
    pub uid: String,
    pub start: EventTime,
    pub end: EventTime,
    pub zone_guessed: bool,
    pub details: Box<EventDetails>,
    pub series: Option<Box<Series>>,
    /// `RECURRENCE-ID`, and whether it also applies to all later occurrences (`RANGE=THISANDFUTURE`).
    pub replaces: Option<(EventTime, bool)>,
    /// `SEQUENCE`, then the later of `DTSTAMP` and `LAST-MODIFIED`: of two versions the greater one is used.
    pub version: (i64, NaiveDateTime),
}

/// Maximum number of `RDATE`s, and of `EXDATE`s, of one event.
const MAX_DATES: usize = 10_000;

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
    };
    let mut details = Box::new(of_texts(block.texts));
    let properties = reader.properties(&event.entries, &mut details);
    details.reminders = reminders(&calendar);
    let Some(start) = properties.start else {
        warnings.add(format!(
            "The event {:?} has no readable start and is not shown.",
            short(&details.title)
        ));
        return None;
    };
    let duration = properties.duration.as_ref();
    let end = reader.end(start, properties.end, duration, &details.title);
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
    Some(Component {
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
}

struct Reader<'a> {
    zones: &'a mut Zones,
    warnings: &'a mut Warnings,
    now: DateTime<Utc>,
    zone_guessed: bool,
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
        };
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
                (ICalendarProperty::Dtend, _) => read.end = self.time(entry),
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
        read
    }

    fn time(&mut self, entry: &ICalendarEntry) -> Option<EventTime> {
        self.times(entry).next()
    }

    fn times<'e>(&'e mut self, entry: &'e ICalendarEntry) -> impl Iterator<Item = EventTime> + 'e {
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
                    None => self.zones.floating(local),
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

    fn series(
        &mut self,
        [rules, except_rules]: [&[String]; 2],
        start: EventTime,
        except: &[&ICalendarEntry],
        dates: &[&ICalendarEntry],
        title: &str,
    ) -> Option<Box<Series>> {
        let mut read = |texts: &[String]| -> Vec<Rule> {
            let mut rules = Vec::with_capacity(texts.len());
            for text in texts {
                match Rule::parse_leniently(text) {
                    Ok((rule, slips)) => {
                        for slip in slips {
                            let title = short(title);
                            self.warnings.add(format!(
                                "The event {title:?} may repeat differently: {slip}."
                            ));
                        }
                        rules.push(rule);
                    }
                    Err(error) => self.warnings.add(format!(
                        "The event {:?} does not repeat: {error}.",
                        short(title)
                    )),
                }
            }
            rules
        };
        let (rules, except_rules) = (read(rules), read(except_rules));
        let mut more: Vec<EventTime> = Vec::new();
        for entry in dates {
            more.extend(self.times(entry).map(|at| like(start, at)));
        }
        if rules.is_empty() && more.is_empty() {
            return None;
        }
        let mut gone: Vec<OriginalStart> = Vec::new();
        for entry in except {
            gone.extend(self.times(entry).map(|at| original_start(start, at)));
        }
        let mut seen = HashSet::new();
        gone.retain(|at| seen.insert(*at));
        more.sort_by_key(EventTime::local);
        more.dedup();
        gone.sort_unstable();
        if gone.len() > MAX_DATES || more.len() > MAX_DATES {
            self.warnings.add(format!(
                "The event {:?} has too many RDATEs or EXDATEs; only {MAX_DATES} are used.",
                short(title)
            ));
            gone.truncate(MAX_DATES);
            more.truncate(MAX_DATES);
        }
        Some(Box::new(Series {
            rules,
            except_rules,
            dates: more,
            except_dates: gone,
            ..Series::default()
        }))
    }

    /// Keeps the zone of a series that only the feed's own `VTIMEZONE` defines beside its rules.
    fn in_own_zone(
        &mut self,
        series: &mut Series,
        start: Option<(NaiveDateTime, &str)>,
        details: &mut EventDetails,
    ) {
        let own = start.and_then(|(start, name)| Some((start, self.zones.own_zone(name)?)));
        let Some((start, (observances, transitions))) = own else {
            return;
        };
        let mut rules = std::mem::take(&mut series.rules);
        for rule in &mut rules {
            details.unknown.push(("RRULE".to_owned(), rule.to_string()));
            if let Some(Until::Utc(at)) = rule.until {
                let offset = TimeDelta::seconds(i64::from(transitions.offset_of_local(at)));
                rule.until = at.checked_add_signed(offset).map(Until::Local);
            }
        }
        // In whole years, so that the same feed gives the same result from one day to the next.
        let since = NaiveDate::from_ymd_opt(self.now.year() - 3, 1, 1).unwrap_or_default();
        let since = since.and_time(NaiveTime::MIN).min(start);
        let observances = observances.iter().map(|one| one.since(since));
        series.own_zone = Some(Box::new(OwnZone {
            start,
            rules,
            except_rules: std::mem::take(&mut series.except_rules),
            observances: observances.collect(),
        }));
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

/// Converts `at` to the same kind of time as `start`, so that the two can be compared.
fn like(start: EventTime, at: EventTime) -> EventTime {
    match (start, at) {
        (EventTime::Date(_), at) => EventTime::Date(at.local().date()),
        (EventTime::Zoned(_, zone), EventTime::Zoned(local, _)) if at.zone() == Some(zone) => {
            EventTime::Zoned(local, zone)
        }
        (EventTime::Zoned(_, zone), EventTime::Zoned(..)) => EventTime::Zoned(
            at.instant(chrono_tz::UTC)
                .with_timezone(&zone)
                .naive_local(),
            zone,
        ),
        (start, EventTime::Date(date)) => start.with_local(date.and_time(start.local().time())),
        (start, at) => start.with_local(at.local()),
    }
}

/// Returns the original start that `at` stands for in a series that begins at `start`. In a timed series, a date stands
/// for the whole day.
pub(super) fn original_start(start: EventTime, at: EventTime) -> OriginalStart {
    match (start, at) {
        (EventTime::Zoned(..) | EventTime::Floating(_), EventTime::Date(date)) => {
            OriginalStart::Date(date)
        }
        (start, at) => {
            let named = like(start, at);
            // A feed names a time inside a gap as such: an hourly rule may place another occurrence at its instant.
            if named.is_in_gap() {
                return OriginalStart::Floating(named.local());
            }
            named.original_start()
        }
    }
}

/// Returns the first 40 characters of a title, for a warning.
pub(super) fn short(title: &str) -> &str {
    title
        .char_indices()
        .nth(40)
        .map_or(title, |(end, _)| &title[..end])
}
