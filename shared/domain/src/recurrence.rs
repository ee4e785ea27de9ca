//! Expansion of series into occurrences. Rules are evaluated on the wall clock of the event's own zone, and the results
//! are then mapped to instants (RFC 5545 3.3.10, 3.8.5). `docs/api.md` states what is done where the RFC is silent.

use std::collections::HashSet;

use chrono::{DateTime, Days, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::generator::{Generator, Search};
use super::ids::OriginalStart;
use super::own_zone::OwnZone;
use super::rule::{Frequency, Rule};
use super::time::EventTime;
use super::work::Work;

/// The recurrence of an event: `RRULE`, `EXRULE`, `RDATE`, `EXDATE`, and the overridden occurrences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Series {
    /// `RRULE`; nearly always one.
    #[serde(with = "rules", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// `EXRULE` (RFC 2445): excluded starts.
    #[serde(with = "rules", skip_serializing_if = "Vec::is_empty")]
    pub except_rules: Vec<Rule>,
    /// `RDATE`: additional starts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<EventTime>,
    /// `EXDATE`: excluded starts. A date excludes that whole day, also in a timed series.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except_dates: Vec<OriginalStart>,
    /// Original starts of occurrences that have an override or were cancelled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<OriginalStart>,
    /// Exclusive end: no occurrence starts at or after this wall-clock time. Set on the earlier part of a series that
    /// an override with `RANGE=THISANDFUTURE` splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_before: Option<NaiveDateTime>,
    /// Inclusive start: no occurrence starts before this wall-clock time. Set on the later part of such a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<NaiveDateTime>,
    /// Shift of the later part of such a series from where the rule places its occurrences, in seconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub shift_seconds: i64,
    /// The rules of a series in a zone that only its feed defines. Such a series has no other rules, and its times are in
    /// UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_zone: Option<Box<OwnZone>>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The starts of a series in a window.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    /// Starts in order; for a shifted series, where the rule places them.
    pub starts: Vec<EventTime>,
    /// Whether starts are missing, because of the limit or because the search was stopped early.
    pub truncated: bool,
    /// The wall-clock times inside a gap that move to the instant of another start of the series.
    doubled: Vec<NaiveDateTime>,
}

impl Expansion {
    /// Returns the identity of the occurrence at one of the starts. A time inside a gap moves to a later instant, which
    /// identifies it as providers do. If the series has another start at that instant, the wall-clock time tells them
    /// apart.
    pub fn original_start(&self, at: EventTime) -> OriginalStart {
        if self.doubled.contains(&at.local()) && at.is_in_gap() {
            OriginalStart::Floating(at.local())
        } else {
            at.original_start()
        }
    }

    /// Returns the start of the occurrence with this identity.
    pub fn find(&self, original: OriginalStart) -> Option<EventTime> {
        let mut starts = self.starts.iter().copied();
        starts.find(|at| {
            self.original_start(*at) == original
                || (at.is_in_gap() && original == OriginalStart::Floating(at.local()))
        })
    }
}

impl Series {
    /// Returns the series as if no occurrence were overridden.
    #[must_use]
    pub fn without_overrides(&self) -> Self {
        Self {
            overridden: vec![],
            ..self.clone()
        }
    }

    /// Returns the series as if it had neither exception dates nor overridden occurrences.
    #[must_use]
    pub fn without_exceptions(&self) -> Self {
        Self {
            except_dates: vec![],
            ..self.without_overrides()
        }
    }

    /// Returns the occurrences with `from <= start < to`, at most `limit` of them, of a series that begins at `start`.
    /// Dates and floating times are interpreted in the zone `reader`.
    pub fn expand(
        &self,
        start: EventTime,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        reader: Tz,
        limit: usize,
    ) -> Expansion {
        self.expand_within(start, from, to, reader, limit, &mut Work::one_rule())
    }

    /// As [`Series::expand`], with a budget that several series share.
    pub fn expand_within(
        &self,
        start: EventTime,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        reader: Tz,
        limit: usize,
        work: &mut Work,
    ) -> Expansion {
        let bounds = self.local_bounds(start, from, to, reader);
        let within = |at: NaiveDateTime| {
            let instant = self.shifted(start.with_local(at)).instant(reader);
            instant >= from && instant < to
        };
        let (mut starts, mut truncated) = match &self.own_zone {
            Some(own) => own.yielded(from, to, limit, work),
            None => self.yielded(start, bounds, &within, limit, work),
        };
        starts.extend(self.dates.iter().copied());
        let mut expansion = Expansion {
            doubled: doubled(&starts),
            ..Expansion::default()
        };
        let except = self.except_dates.iter().chain(&self.overridden);
        let except: HashSet<OriginalStart> = except.copied().collect();
        // An exception date without a time removes its whole day; an overridden start is a single occurrence.
        let days: HashSet<OriginalStart> = self.except_dates.iter().copied().collect();
        starts.retain(|at| {
            let instant = self.shifted(*at).instant(reader);
            instant >= from
                && instant < to
                && self.ends_before.is_none_or(|end| at.local() < end)
                && self.begins_at.is_none_or(|begin| at.local() >= begin)
                && (except.is_empty()
                    || !is_gone(expansion.original_start(*at), *at, &except, &days))
        });
        starts.sort_by_key(|at| (at.instant(reader), at.local()));
        starts.dedup_by_key(|at| (at.instant(reader), at.local()));
        if starts.len() > limit {
            starts.truncate(limit);
            truncated = true;
        }
        (expansion.starts, expansion.truncated) = (starts, truncated);
        expansion
    }

    /// Returns the range of wall-clock times that can lie in the window. It is wider than the window, because a change
    /// of the clocks can move a start across its bounds.
    fn local_bounds(
        &self,
        start: EventTime,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        reader: Tz,
    ) -> (NaiveDateTime, NaiveDateTime) {
        let shift = TimeDelta::seconds(self.shift_seconds);
        let zone = start.zone().unwrap_or(reader);
        let local = |at: DateTime<Utc>, margin| {
            let local = in_zone(at, zone).checked_add_signed(margin - shift);
            local.unwrap_or(at.naive_utc())
        };
        // Pacific/Apia once skipped a whole day. For a rule finer than a day, so wide a margin would yield too many
        // starts for so rare a case.
        let is_fine = |rule: &Rule| {
            use Frequency::{Hourly, Minutely, Secondly};
            matches!(rule.frequency, Hourly | Minutely | Secondly)
        };
        let has_fine_rule = self.rules.iter().any(is_fine);
        let margin = TimeDelta::hours(if has_fine_rule { 3 } else { 26 });
        (local(from, -margin), local(to, margin))
    }

    /// Returns the starts that the rules yield within the bounds, without those of `except_rules`, and whether the
    /// search was stopped early.
    pub(super) fn yielded(
        &self,
        start: EventTime,
        (low, high): (NaiveDateTime, NaiveDateTime),
        within: &dyn Fn(NaiveDateTime) -> bool,
        limit: usize,
        work: &mut Work,
    ) -> (Vec<EventTime>, bool) {
        let mut truncated = false;
        let mut found: Vec<NaiveDateTime> = Vec::new();
        // DTSTART counts even if the rule does not yield it (RFC 5545, 3.8.5.3), but not if the rule ends before it.
        let begins = self.rules.iter().all(|rule| {
            let until = Generator::new(rule, start).until;
            until.is_none_or(|until| until >= start.local())
        });
        found.extend(Some(start.local()).filter(|at| begins && (low..high).contains(at)));
        // Room for the starts that exceptions remove.
        let exceptions = self
            .except_dates
            .len()
            .saturating_add(self.overridden.len());
        let room = limit.saturating_add(exceptions).saturating_add(1);
        let excluding: Vec<_> = self
            .except_rules
            .iter()
            .map(|rule| Generator::new(rule, start))
            .collect();
        // What the rules exclude is looked up while they are searched, from a share of its own.
        let mut lent = (!excluding.is_empty()).then(|| work.lend());
        let mut is_excluded = |at: NaiveDateTime| {
            let excludes = |work: &mut Work| excluding.iter().any(|rule| rule.yields(at, work));
            lent.as_mut().is_some_and(excludes)
        };
        found.retain(|at| !is_excluded(*at));
        for rule in &self.rules {
            work.next_rule();
            let mut left = room;
            let search = Generator::new(rule, start).search(low, high, work, &mut |at| {
                if within(at) && !is_excluded(at) {
                    found.push(at);
                    left -= 1;
                }
                left > 0
            });
            truncated |= search == Search::Stopped;
        }
        truncated |= lent.is_some_and(|lent| work.take_back(&lent));
        let starts = found.iter().map(|at| start.with_local(*at));
        (starts.collect(), truncated)
    }

    /// Returns when the occurrence that the rule places at `at` takes place.
    pub fn shifted(&self, at: EventTime) -> EventTime {
        if self.shift_seconds == 0 {
            return at;
        }
        let local = at
            .local()
            .checked_add_signed(TimeDelta::seconds(self.shift_seconds))
            .unwrap_or(at.local());
        at.with_local(local)
    }

    /// Returns whether a rule takes too much work to evaluate: to find where its `COUNT` ends, or its first occurrences.
    pub fn is_too_costly(&self, start: EventTime, work: &mut Work) -> bool {
        let start = self
            .own_zone
            .as_ref()
            .map_or(start, |own| EventTime::Floating(own.start));
        let own_rules = self.own_zone.iter().flat_map(|own| &own.rules);
        let mut rules = self.rules.iter().chain(own_rules);
        rules.any(|rule| {
            let generator = Generator::new(rule, start);
            work.next_rule();
            let mut is_found = false;
            let week = start.local() + TimeDelta::days(7);
            let search = generator.search(start.local(), week, work, &mut |_| {
                is_found = true;
                false
            });
            search == Search::Stopped && !is_found
        })
    }

    /// Returns where the `COUNT` of each rule ends, in the order of the rules; empty if none has a `COUNT`, or if it takes too
    /// much work.
    pub fn count_ends(&self, start: EventTime) -> Vec<NaiveDateTime> {
        let is_counted = self.rules.iter().any(|rule| rule.count.is_some());
        let ends = self
            .rules
            .iter()
            .map(|rule| Generator::new(rule, start).last(&mut Work::one_rule()));
        let ends: Option<Vec<_>> = is_counted.then(|| ends.collect()).flatten();
        ends.unwrap_or_default()
    }

    /// Notes what [`Series::count_ends`] has returned, so that the rules need not be counted through again.
    pub fn note_count_ends(&self, start: EventTime, ends: &[NaiveDateTime]) {
        for (rule, end) in self.rules.iter().zip(ends) {
            if rule.count.is_some() {
                rule.count_end.0.set((start.local(), *end)).ok();
            }
        }
    }

    /// Returns a wall-clock time after which no occurrence starts, or `None` for a series without an end. It may be
    /// later than the start of the last occurrence, never earlier.
    pub fn last_start(&self, start: EventTime) -> Option<NaiveDateTime> {
        let mut last = start.local();
        for rule in &self.rules {
            let is_endless = rule.until.is_none() && rule.count.is_none();
            let end = Generator::new(rule, start).last(&mut Work::one_rule());
            last = last.max(end.filter(|_| !is_endless)?);
        }
        if let Some(own) = &self.own_zone {
            last = last.max(own.last_start()?);
        }
        // An `RDATE` in another zone may be up to a day later on this clock.
        let dates = self
            .dates
            .iter()
            .filter_map(|date| date.local().checked_add_days(Days::new(1)));
        let last = dates
            .fold(last, NaiveDateTime::max)
            .checked_add_signed(TimeDelta::seconds(self.shift_seconds))?;
        Some(self.ends_before.map_or(last, |end| last.min(end)))
    }
}

/// Converts an instant to the wall clock of a zone; at the limits of the date range, to that of UTC.
fn in_zone(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    let utc = at.naive_utc();
    utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix())
        .unwrap_or(utc)
}

/// Returns the wall-clock times inside a gap that move to the instant of another start.
fn doubled(starts: &[EventTime]) -> Vec<NaiveDateTime> {
    let in_gap = starts.iter().filter(|at| at.is_in_gap());
    let has_double = |at: &&EventTime| {
        let is_other = |other: &&EventTime| !other.is_in_gap();
        let others = starts.iter().filter(is_other);
        others
            .map(EventTime::original_start)
            .any(|other| other == at.original_start())
    };
    in_gap.filter(has_double).map(EventTime::local).collect()
}

fn is_gone(
    original: OriginalStart,
    at: EventTime,
    gone: &HashSet<OriginalStart>,
    days: &HashSet<OriginalStart>,
) -> bool {
    gone.contains(&original)
        || days.contains(&OriginalStart::Date(at.local().date()))
        || (at.is_in_gap() && gone.contains(&OriginalStart::Floating(at.local())))
}

pub(super) mod rules {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::Rule;

    pub fn serialize<S: Serializer>(rules: &[Rule], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rules.iter().map(ToString::to_string))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Rule>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(start: &str, rule: &str, from: &str, to: &str) -> Vec<String> {
        let series = Series {
            rules: vec![rule.parse().unwrap()],
            ..Series::default()
        };
        let found = series.expand(
            start.parse().unwrap(),
            from.parse().unwrap(),
            to.parse().unwrap(),
            Tz::UTC,
            50,
        );
        found.starts.iter().map(|at| at.to_api(Tz::UTC)).collect()
    }

    #[test]
    fn series_off_by_an_hour_after_dst() {
        let found = starts(
            "2026-03-23T09:00:00[Europe/Berlin]",
            "FREQ=WEEKLY",
            "2026-03-23T00:00:00Z",
            "2026-04-07T00:00:00Z",
        );
        assert_eq!(
            found,
            [
                "2026-03-23T09:00:00+01:00",
                "2026-03-30T09:00:00+02:00",
                "2026-04-06T09:00:00+02:00"
            ]
        );
    }

    #[test]
    fn a_time_inside_a_gap_is_named_by_its_instant() {
        let names = |rule: &str, overridden: &[&str]| {
            let series = Series {
                rules: vec![rule.parse().unwrap()],
                overridden: overridden
                    .iter()
                    .map(|text| text.parse().unwrap())
                    .collect(),
                ..Series::default()
            };
            let start = "2027-03-27T02:30:00[Europe/Berlin]".parse().unwrap();
            let (from, to) = ("2027-03-28T00:00:00Z", "2027-03-28T03:00:00Z");
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let found = series.expand(start, from, to, Tz::UTC, 50);
            let name = |at: &EventTime| found.original_start(*at).to_string();
            found.starts.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names("FREQ=DAILY", &[]), ["20270328T013000Z"]);
        assert!(names("FREQ=DAILY", &["20270328T013000Z"]).is_empty());
        // 03:30 takes place at the same instant as 02:30, which does not exist.
        let hourly = [
            "20270328T003000Z",
            "20270328T023000",
            "20270328T013000Z",
            "20270328T023000Z",
        ];
        assert_eq!(names("FREQ=HOURLY", &[]), hourly);
        let [first, _, third, last] = hourly;
        assert_eq!(
            names("FREQ=HOURLY", &["20270328T023000"]),
            [first, third, last]
        );
        assert_eq!(
            names("FREQ=HOURLY", &["20270328T013000Z"]),
            [first, "20270328T023000", last]
        );
    }

    #[test]
    fn a_window_far_from_the_start_is_reached_at_once() {
        let found = starts(
            "1970-01-01T00:00:00[UTC]",
            "FREQ=SECONDLY",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:03Z",
        );
        assert_eq!(
            found,
            [
                "2026-03-01T00:00:00Z",
                "2026-03-01T00:00:01Z",
                "2026-03-01T00:00:02Z"
            ]
        );
        let counted = starts(
            "1900-01-01T00:00:00[UTC]",
            "FREQ=MINUTELY;COUNT=4000000000",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:01:00Z",
        );
        assert_eq!(counted, ["2026-03-01T00:00:00Z"]);
    }

    #[test]
    fn an_impossible_rule_gives_the_start_alone() {
        let found = starts(
            "2026-01-05",
            "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
            "2026-01-01T00:00:00Z",
            "2300-01-01T00:00:00Z",
        );
        assert_eq!(found, ["2026-01-05"]);
    }

    #[test]
    fn the_end_of_a_series_is_known_without_making_it() {
        let last = |start: &str, rule: &str| {
            let series = Series {
                rules: vec![rule.parse().unwrap()],
                ..Series::default()
            };
            series
                .last_start(start.parse().unwrap())
                .map(|at| at.date().to_string())
        };
        assert_eq!(
            last("2026-01-05", "FREQ=DAILY;COUNT=3;BYDAY=MO,TU"),
            Some("2026-01-12".into())
        );
        assert_eq!(
            last("2026-01-05", "FREQ=DAILY;UNTIL=20260202"),
            Some("2026-02-02".into())
        );
        assert_eq!(last("2026-01-05", "FREQ=DAILY"), None);
    }
}
