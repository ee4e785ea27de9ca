//! Resolves the zone names of one feed.

use std::collections::HashMap;

use calcard::icalendar::{
    ICalendarComponent, ICalendarComponentType, ICalendarEntry, ICalendarProperty, ICalendarValue,
};
use calweave_domain::own_zone::{Observance, ZoneTransitions};
use calweave_domain::rule::Rule;
use calweave_domain::time::EventTime;
use calweave_domain::zones::{named_offset, resolve};
use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

use super::lines::CalendarFrame;
use super::wall::{Wall, wall};
use super::{Header, Warnings, parse};

/// Maximum number of `VTIMEZONE`s that are read. Real feeds have a handful.
const MAX_TIMEZONES: usize = 100;
/// Maximum number of values of each `RDATE` of an observance.
const MAX_DATES: usize = 1_000;
/// Maximum number of observances of one `VTIMEZONE`. Some have one for each change of their clocks; the latest are read.
const MAX_OBSERVANCES: usize = 200;
/// Maximum number of observances with a rule. Real ones have a handful.
const MAX_RULES: usize = 20;

/// The zones of a feed. Each is resolved once.
pub(super) struct Zones {
    by_name: HashMap<String, Meaning>,
    own: HashMap<String, Vec<Observance>>,
    clocks: HashMap<String, ZoneTransitions>,
    feed_zone: Option<Tz>,
    reader: Tz,
    guessed: Vec<String>,
    fixed: Vec<String>,
}

#[derive(Clone, Copy)]
enum Meaning {
    Known(Tz),
    /// Defined by the feed's own `VTIMEZONE`, which no known zone matches.
    Rules,
    Guessed(Tz),
}

impl Zones {
    /// Reads the zones of a feed's frame. `reader` is the zone for unknown names, if the feed has no default zone.
    pub fn new(frame: &CalendarFrame, reader: Tz) -> Self {
        let own = frame
            .timezones
            .iter()
            .take(MAX_TIMEZONES)
            .filter_map(|text| read_timezone(text))
            .collect();
        let feed_zone = Header::read(frame).zone;
        Self {
            by_name: HashMap::new(),
            own,
            clocks: HashMap::new(),
            feed_zone,
            reader,
            guessed: vec![],
            fixed: vec![],
        }
    }

    /// Returns a wall-clock time in the zone that the feed calls `name`, and whether that zone is a guess.
    pub fn zoned(&mut self, local: NaiveDateTime, name: &str) -> (EventTime, bool) {
        let meaning = match self.by_name.get(name) {
            Some(meaning) => *meaning,
            None => {
                let meaning = self.work_out(name);
                self.by_name.insert(name.to_owned(), meaning);
                meaning
            }
        };
        match meaning {
            Meaning::Known(zone) => (EventTime::Zoned(local, zone), false),
            Meaning::Guessed(zone) => (EventTime::Zoned(local, zone), true),
            Meaning::Rules => {
                let at = self
                    .clocks
                    .get(name)
                    .map_or(local, |clocks| clocks.to_utc(local));
                (EventTime::Zoned(at, Tz::UTC), false)
            }
        }
    }

    /// Returns the observances of a zone that only the feed's own `VTIMEZONE` defines, and its transitions.
    pub fn own_zone(&self, name: &str) -> Option<(&[Observance], &ZoneTransitions)> {
        Some((self.own.get(name)?, self.clocks.get(name)?))
    }

    /// Returns the zone where the feed is: its default zone (`X-WR-TIMEZONE`) if it has one, otherwise the reader's.
    pub fn home(&self) -> Tz {
        self.feed_zone.unwrap_or(self.reader)
    }

    /// Returns a time without a zone: in the feed's default zone (`X-WR-TIMEZONE`) if it has one, otherwise floating.
    pub fn floating(&self, local: NaiveDateTime) -> EventTime {
        self.feed_zone.map_or(EventTime::Floating(local), |zone| {
            EventTime::Zoned(local, zone)
        })
    }

    /// Adds a warning for each zone that is unknown, or that only the feed defines.
    pub fn warn(&mut self, warnings: &mut Warnings) {
        for name in self.guessed.drain(..) {
            warnings.add(format!("The time zone {name:?} is unknown; its times are read in another zone and may be wrong."));
        }
        for name in self.fixed.drain(..) {
            warnings.add(format!(
                "The time zone {name:?} is defined only by the feed; its times are shown in UTC."
            ));
        }
    }

    /// A zone that is named by its offset: a known one that has always had this offset of late, or one of the feed's own.
    fn fixed_offset(&mut self, name: &str, offset: i32) -> Meaning {
        let observances = vec![Observance {
            start: NaiveDateTime::default(),
            offset_from: offset,
            offset_to: offset,
            rules: vec![],
            dates: vec![],
        }];
        let Some(clocks) = ZoneTransitions::of(&observances) else {
            return Meaning::Guessed(self.home());
        };
        if let Some(zone) = clocks.matching() {
            return Meaning::Known(zone);
        }
        self.own.insert(name.to_owned(), observances);
        self.clocks.insert(name.to_owned(), clocks);
        Meaning::Rules
    }

    fn work_out(&mut self, name: &str) -> Meaning {
        let shown = || name.chars().take(60).collect();
        if let Some(zone) = resolve(name) {
            return Meaning::Known(zone);
        }
        if let Some(rules) = self.own.get(name) {
            let clocks = ZoneTransitions::of(rules);
            if let Some(zone) = clocks.as_ref().and_then(ZoneTransitions::matching) {
                return Meaning::Known(zone);
            }
            if let Some(clocks) = clocks {
                self.fixed.push(shown());
                self.clocks.insert(name.to_owned(), clocks);
                return Meaning::Rules;
            }
        }
        let offset = named_offset(name);
        if let Some(offset) = offset.filter(|_| !name.starts_with('(')) {
            return self.fixed_offset(name, offset);
        }
        self.guessed.push(shown());
        if name.starts_with("(UTC)") {
            return Meaning::Guessed(Tz::UTC);
        }
        // The offset in front of an unknown display name says nothing of its summer time: the zone where the feed is may be
        // meant.
        let is_home = |offset: &i32| standard_offset(self.home()) == *offset;
        match offset
            .filter(|offset| !is_home(offset))
            .map(|offset| self.fixed_offset(name, offset))
        {
            Some(Meaning::Known(zone)) => Meaning::Guessed(zone),
            _ => Meaning::Guessed(self.home()),
        }
    }
}

/// Returns the offset of a zone when it has no summer time, in seconds.
fn standard_offset(zone: Tz) -> i32 {
    let months = [1, 7].into_iter().filter_map(|month| {
        let at = NaiveDate::from_ymd_opt(2026, month, 1)?.and_hms_opt(0, 0, 0)?;
        Some(zone.offset_from_utc_datetime(&at).fix().local_minus_utc())
    });
    months.min().unwrap_or_default()
}

/// Returns the name and observances of one `VTIMEZONE`.
fn read_timezone(text: &str) -> Option<(String, Vec<Observance>)> {
    let calendar = parse(text)?;
    let is_named = |entry: &&ICalendarEntry| entry.name == ICalendarProperty::Tzid;
    let mut entries = calendar
        .components
        .iter()
        .flat_map(|component| &component.entries);
    let name = entries.rfind(is_named)?.values.first();
    let name = name.and_then(ICalendarValue::as_text)?.to_owned();
    let observances = calendar.components.iter().filter_map(read_observance);
    let mut observances: Vec<Observance> = observances.collect();
    observances.sort_by_key(|one| std::cmp::Reverse(one.start));
    observances.truncate(MAX_OBSERVANCES);
    let mut with_rule = 0;
    observances.retain(|one| {
        with_rule += usize::from(!one.rules.is_empty());
        one.rules.is_empty() || with_rule <= MAX_RULES
    });
    (!observances.is_empty()).then_some((name, observances))
}

/// Reads a `STANDARD` or `DAYLIGHT` component; `None` for any other, or if a required property is missing.
fn read_observance(component: &ICalendarComponent) -> Option<Observance> {
    let kind = &component.component_type;
    if !matches!(
        kind,
        ICalendarComponentType::Standard | ICalendarComponentType::Daylight
    ) {
        return None;
    }
    let (mut start, mut offset_from, mut offset_to) = (None, None, None);
    let mut rules = Vec::new();
    let mut dates = Vec::new();
    for entry in &component.entries {
        let value = entry.values.first();
        match &entry.name {
            ICalendarProperty::Dtstart => start = value.and_then(local),
            ICalendarProperty::Tzoffsetfrom => offset_from = value.and_then(offset),
            ICalendarProperty::Tzoffsetto => offset_to = value.and_then(offset),
            ICalendarProperty::Rrule => {
                if let Some(ICalendarValue::RecurrenceRule(rule)) = value {
                    // Rules of any other frequency are ignored.
                    let rule: Option<Rule> = rule.to_string().parse().ok();
                    rules = rule.filter(Observance::is_usual).into_iter().collect();
                }
            }
            ICalendarProperty::Rdate => {
                dates.extend(entry.values.iter().take(MAX_DATES).filter_map(local));
            }
            _ => {}
        }
    }
    Some(Observance {
        start: start?,
        offset_from: offset_from?,
        offset_to: offset_to?,
        rules,
        dates,
    })
}

/// Returns a UTC offset, in seconds.
fn offset(value: &ICalendarValue) -> Option<i32> {
    let ICalendarValue::PartialDateTime(at) = value else {
        return None;
    };
    let seconds = i32::from(at.tz_hour?) * 3600 + i32::from(at.tz_minute.unwrap_or(0)) * 60;
    Some(if at.tz_minus { -seconds } else { seconds })
}

/// Returns a wall-clock time; midnight for a date.
fn local(value: &ICalendarValue) -> Option<NaiveDateTime> {
    let ICalendarValue::PartialDateTime(at) = value else {
        return None;
    };
    match wall(at)? {
        Wall::Floating(local) | Wall::Utc(local) => Some(local),
        Wall::Date(date) => date.and_hms_opt(0, 0, 0),
    }
}
