//! Reads the recurrence of a `VEVENT`: `RRULE`, `EXRULE`, `RDATE` and `EXDATE`.

use std::collections::HashSet;

use calcard::icalendar::{ICalendarEntry, ICalendarPeriod, ICalendarValue};
use calweave_domain::details::EventDetails;
use calweave_domain::ids::OriginalStart;
use calweave_domain::own_zone::{Observance, OwnZone};
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{Rule, Until};
use calweave_domain::time::{EventTime, next_day};
use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::vevent::{Reader, short};
use super::wall::{Wall, wall};

/// Maximum number of `RDATE`s with a duration of their own.
const MAX_PERIODS: usize = 500;
/// Maximum number of `RDATE`s, and of `EXDATE`s, of one event.
pub(super) const MAX_DATES: usize = 10_000;

impl Reader<'_> {
    pub(super) fn series(
        &mut self,
        [rules, except_rules]: [&[String]; 2],
        start: EventTime,
        except: &[&ICalendarEntry],
        dates: &[&ICalendarEntry],
        title: &str,
    ) -> Option<Box<Series>> {
        let mut rules = self.rules(rules, title);
        let mut except_rules = self.rules(except_rules, title);
        if let EventTime::Date(_) = start {
            for rule in rules.iter_mut().chain(&mut except_rules) {
                self.as_days(rule, start);
            }
        }
        let mut more: Vec<EventTime> = Vec::new();
        for entry in dates {
            let times: Vec<EventTime> = self.times(entry).collect();
            more.extend(
                times
                    .into_iter()
                    .map(|at| like(start, self.as_day(start, at))),
            );
        }
        if rules.is_empty() && more.is_empty() {
            return None;
        }
        let mut gone: Vec<OriginalStart> = Vec::new();
        for entry in except {
            let times: Vec<EventTime> = self.times(entry).collect();
            gone.extend(
                times
                    .into_iter()
                    .map(|at| original_start(start, self.as_day(start, at))),
            );
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

    /// Reads rules. One that is not valid is left out.
    fn rules(&mut self, texts: &[String], title: &str) -> Vec<Rule> {
        let title = short(title);
        let mut rules = Vec::with_capacity(texts.len());
        for text in texts {
            match Rule::parse_leniently(text) {
                Ok((rule, slips)) => {
                    for slip in slips {
                        self.warnings.add(format!(
                            "The event {title:?} may repeat differently: {slip}."
                        ));
                    }
                    rules.push(rule);
                }
                Err(error) => {
                    self.warnings
                        .add(format!("The event {title:?} does not repeat: {error}."));
                }
            }
        }
        rules
    }

    /// Returns the date that an instant means in an all-day series: that of a midnight where the feed is.
    fn as_day(&self, start: EventTime, at: EventTime) -> EventTime {
        match (start, at) {
            (EventTime::Date(_), EventTime::Zoned(..)) => {
                let home = at.instant(chrono_tz::UTC).with_timezone(&self.zones.home());
                let is_midnight = home.time() == NaiveTime::MIN;
                EventTime::Date(if is_midnight {
                    home.date_naive()
                } else {
                    at.local().date()
                })
            }
            _ => at,
        }
    }

    /// Makes a rule of an all-day series one of whole days: parts that are finer are ignored (RFC 5545 3.3.10), and `UNTIL` is
    /// a date. As an instant it is a midnight where the feed is, or else the nearest day of the rule.
    fn as_days(&self, rule: &mut Rule, start: EventTime) {
        rule.by_hour.clear();
        rule.by_minute.clear();
        rule.by_second.clear();
        let Some(Until::Utc(at)) = rule.until else {
            return;
        };
        let written = EventTime::Zoned(at, chrono_tz::UTC);
        let mut date = self.as_day(start, written).local().date();
        rule.until = None;
        let series = Series {
            rules: vec![rule.clone()],
            ..Series::default()
        };
        let has = |date: NaiveDate| {
            let from = date.and_time(NaiveTime::MIN).and_utc();
            let day = series.expand(start, from, from + TimeDelta::hours(1), chrono_tz::UTC, 1);
            !day.starts.is_empty()
        };
        // East of Greenwich the day begins on the evening before.
        let is_evening =
            at.hour() >= 10 && at.time() < NaiveTime::from_hms_opt(23, 59, 0).unwrap_or_default();
        if date == at.date() && is_evening && !has(date) && has(next_day(date)) {
            date = next_day(date);
        }
        rule.until = Some(Until::Date(date));
    }

    /// Returns start and end of the `RDATE`s that do not last as long as the event.
    pub(super) fn periods(
        &mut self,
        start: EventTime,
        end: EventTime,
        dates: &[&ICalendarEntry],
    ) -> Vec<(EventTime, EventTime)> {
        let usual = end.instant(chrono_tz::UTC) - start.instant(chrono_tz::UTC);
        let mut periods = Vec::new();
        for entry in dates {
            let values = entry.values.iter().take(MAX_PERIODS);
            let lengths: Vec<Option<TimeDelta>> = values.map(period_length).collect();
            let starts: Vec<EventTime> = self.times(entry).collect();
            // A value that cannot be read has no start; then nobody knows which length is whose.
            if starts.len() < lengths.len() {
                continue;
            }
            let own = starts.into_iter().zip(lengths);
            let own = own.filter_map(|(at, length)| Some((like(start, at), length?)));
            let own = own.filter(|(_, length)| *length != usual);
            periods.extend(own.map(|(at, length)| (at, at.plus(length))));
        }
        periods.truncate(MAX_PERIODS);
        periods
    }

    /// Keeps the zone of a series that only the feed's own `VTIMEZONE` defines beside its rules.
    pub(super) fn in_own_zone(
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
        series.own_zone = Some(Box::new(OwnZone {
            start,
            rules,
            except_rules: std::mem::take(&mut series.except_rules),
            observances: Observance::all_since(observances, since),
        }));
    }
}

/// Returns the length of a period; `None` for any other value, or if it is negative.
fn period_length(value: &ICalendarValue) -> Option<TimeDelta> {
    let length = match value {
        ICalendarValue::Period(ICalendarPeriod::Range { start, end }) => {
            match (wall(start)?, wall(end)?) {
                (Wall::Utc(start), Wall::Utc(end))
                | (Wall::Floating(start), Wall::Floating(end)) => end - start,
                _ => return None,
            }
        }
        ICalendarValue::Period(ICalendarPeriod::Duration { duration, .. }) => {
            TimeDelta::seconds(duration.as_seconds())
        }
        _ => return None,
    };
    (length >= TimeDelta::zero()).then_some(length)
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
