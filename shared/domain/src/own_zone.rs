//! Zones that only a feed defines: a `VTIMEZONE` that no zone of the IANA database agrees with (RFC 5545 3.6.5).

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::generator::Generator;
use super::recurrence::{Series, rules};
use super::rule::{Frequency, Rule, Until};
use super::time::EventTime;
use super::work::Work;
use super::zones::{CANDIDATES, COMPARED_YEARS};

/// A series in such a zone: its rules on the zone's own wall clock, and the zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnZone {
    /// `DTSTART`, on the zone's wall clock.
    pub start: NaiveDateTime,
    /// `RRULE`, with `UNTIL` on the zone's wall clock.
    #[serde(with = "rules")]
    pub rules: Vec<Rule>,
    /// `EXRULE`
    #[serde(with = "rules", default, skip_serializing_if = "Vec::is_empty")]
    pub except_rules: Vec<Rule>,
    /// The zone.
    pub observances: Vec<Observance>,
}

/// A `STANDARD` or `DAYLIGHT` component of a `VTIMEZONE`. Offsets are in seconds east of UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observance {
    /// `DTSTART`: the first onset, in the local time before it.
    pub start: NaiveDateTime,
    /// `TZOFFSETFROM`
    pub offset_from: i32,
    /// `TZOFFSETTO`
    pub offset_to: i32,
    /// `RRULE`: the rule of further onsets, at most one.
    #[serde(with = "rules", default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// `RDATE`: further onsets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dates: Vec<NaiveDateTime>,
}

/// The changes of a `VTIMEZONE`'s UTC offset over a stretch of time.
#[derive(Clone, Debug)]
pub struct ZoneTransitions {
    /// The offset before the first change, in seconds.
    before: i32,
    /// The local time before each change, and the offsets before and after it, in seconds.
    changes: Vec<(NaiveDateTime, i32, i32)>,
}

/// Maximum number of observances that are kept beside an event.
const MAX_OBSERVANCES: usize = 40;
/// Maximum number of `RDATE`s of an observance that are kept beside an event.
const MAX_DATES: usize = 30;
/// Maximum number of onsets of one rule in a stretch. Clocks change twice a year.
const MAX_ONSETS: usize = 1_000;

impl OwnZone {
    /// Returns the starts in `[from, to)` in UTC, more than `limit` at most by one, and whether some were left out.
    pub(super) fn yielded(
        &self,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        limit: usize,
        work: &mut Work,
    ) -> (Vec<EventTime>, bool) {
        let day = Days::new(2);
        let low = from
            .naive_utc()
            .checked_sub_days(day)
            .unwrap_or(NaiveDateTime::MIN);
        let high = to
            .naive_utc()
            .checked_add_days(day)
            .unwrap_or(NaiveDateTime::MAX);
        let Some(transitions) = ZoneTransitions::between(&self.observances, low, high) else {
            return (vec![], true);
        };
        let by_rule = Series {
            rules: self.rules.clone(),
            except_rules: self.except_rules.clone(),
            ..Series::default()
        };
        let within = |at| {
            let at = transitions.to_utc(at).and_utc();
            from <= at && at < to
        };
        let start = EventTime::Floating(self.start);
        let (found, truncated) = by_rule.yielded(start, (low, high), &within, limit, work);
        let in_utc = |at: &EventTime| EventTime::Zoned(transitions.to_utc(at.local()), Tz::UTC);
        (found.iter().map(in_utc).collect(), truncated)
    }

    /// Returns a time in UTC after which no occurrence starts; `None` without an end.
    pub(super) fn last_start(&self) -> Option<NaiveDateTime> {
        let by_rule = Series {
            rules: self.rules.clone(),
            ..Series::default()
        };
        let last = by_rule.last_start(EventTime::Floating(self.start))?;
        last.checked_add_days(Days::new(2))
    }
}

impl ZoneTransitions {
    /// The years from and up to which [`ZoneTransitions::of`] knows the changes.
    const YEARS: (i32, i32) = (1900, 2100);

    /// Computes the changes of these observances for two centuries; `None` if there are no observances.
    pub fn of(observances: &[Observance]) -> Option<Self> {
        let midnight = |year| NaiveDate::from_ymd_opt(year, 1, 1)?.and_hms_opt(0, 0, 0);
        Self::between(
            observances,
            midnight(Self::YEARS.0)?,
            midnight(Self::YEARS.1)?,
        )
    }

    /// Computes the changes between two times, and the last one before them; `None` if there are no observances.
    pub fn between(
        observances: &[Observance],
        low: NaiveDateTime,
        high: NaiveDateTime,
    ) -> Option<Self> {
        let first = observances.iter().min_by_key(|part| part.start)?;
        let mut changes = Vec::new();
        for part in observances {
            let onsets = part.onsets(low, high);
            changes.extend(onsets.map(|at| (at, part.offset_from, part.offset_to)));
        }
        changes.sort_unstable();
        Some(Self {
            before: first.offset_from,
            changes,
        })
    }

    /// Returns the UTC offset at a wall-clock time, in seconds.
    pub fn offset_of_local(&self, local: NaiveDateTime) -> i32 {
        let index = self.changes.partition_point(|(at, ..)| *at <= local);
        index
            .checked_sub(1)
            .map_or(self.before, |index| self.changes[index].2)
    }

    /// Converts a wall-clock time to UTC.
    pub fn to_utc(&self, local: NaiveDateTime) -> NaiveDateTime {
        utc(local, self.offset_of_local(local)).naive_utc()
    }

    fn offset_at(&self, at: DateTime<Utc>) -> i32 {
        let index = self
            .changes
            .partition_point(|(local, from, _)| utc(*local, *from) <= at);
        index
            .checked_sub(1)
            .map_or(self.before, |index| self.changes[index].2)
    }

    /// Returns the first IANA zone whose offsets agree with these from 2020 to 2031. A series in a zone with a custom
    /// name is then expanded by rules that are kept up to date.
    pub fn matching(&self) -> Option<Tz> {
        let noon = |year, month| Utc.with_ymd_and_hms(year, month, 1, 12, 0, 0).single();
        let months =
            COMPARED_YEARS.flat_map(|year| (1..=12).filter_map(move |month| noon(year, month)));
        let edges = self
            .changes
            .iter()
            .map(|(at, from, _)| utc(*at, *from))
            .filter(|at| COMPARED_YEARS.contains(&at.year()));
        let samples: Vec<_> = months
            .chain(edges.flat_map(|at| [at - TimeDelta::seconds(1), at]))
            .collect();
        let agrees = |zone: &Tz| {
            samples.iter().all(|at| {
                zone.offset_from_utc_datetime(&at.naive_utc())
                    .fix()
                    .local_minus_utc()
                    == self.offset_at(*at)
            })
        };
        CANDIDATES.iter().copied().find(agrees)
    }
}

fn utc(local: NaiveDateTime, offset: i32) -> DateTime<Utc> {
    local
        .checked_sub_signed(TimeDelta::seconds(i64::from(offset)))
        .unwrap_or(local)
        .and_utc()
}

impl Observance {
    /// Returns the onsets in `[low, high)` and the last one before them, each in the local time before it.
    fn onsets(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
    ) -> impl Iterator<Item = NaiveDateTime> {
        let mut onsets = vec![self.start];
        onsets.extend(&self.dates);
        for rule in &self.rules {
            let mut rule = rule.clone();
            // UNTIL of a VTIMEZONE is in UTC. Convert it to the local time before the change.
            if let Some(Until::Utc(at)) = rule.until {
                let offset = TimeDelta::seconds(i64::from(self.offset_from));
                rule.until = at.checked_add_signed(offset).map(Until::Local);
            }
            let generator = Generator::new(&rule, EventTime::Floating(self.start));
            let mut work = Work::one_rule();
            let Some(last) = generator.last(&mut work) else {
                continue;
            };
            // The last onset before the stretch lies within an interval of the rule.
            let reach = Days::new(366 * (u64::from(rule.interval.min(100)) + 1));
            let from = low
                .min(last)
                .checked_sub_days(reach)
                .unwrap_or(NaiveDateTime::MIN);
            generator.search(from, high, &mut work, &mut |at| {
                onsets.push(at);
                onsets.len() < MAX_ONSETS
            });
        }
        let last_before = onsets.iter().copied().filter(|at| *at < low).max();
        onsets
            .into_iter()
            .filter(move |at| (low <= *at && *at < high) || Some(*at) == last_before)
    }

    /// Returns observances without what no longer matters at `at`: all onsets but the last one before it. At most
    /// [`MAX_OBSERVANCES`], the latest.
    pub fn all_since(observances: &[Self], at: NaiveDateTime) -> Vec<Self> {
        let is_past = |one: &&Self| one.rules.is_empty() && one.last_date() <= at;
        let past = observances.iter().filter(is_past);
        let last_past = past.max_by_key(|one| one.last_date());
        let rest = observances.iter().filter(|one| !is_past(one));
        let mut kept: Vec<Self> = rest.chain(last_past).map(|one| one.since(at)).collect();
        kept.sort_by_key(|one| std::cmp::Reverse(one.start));
        kept.truncate(MAX_OBSERVANCES);
        kept
    }

    /// Returns the last onset that is not by a rule.
    fn last_date(&self) -> NaiveDateTime {
        self.dates
            .iter()
            .copied()
            .fold(self.start, NaiveDateTime::max)
    }

    /// Returns the observance without the onsets that no longer matter at `at`: all but the last one before it.
    #[must_use]
    fn since(&self, at: NaiveDateTime) -> Self {
        let mut dates = self.dates.clone();
        dates.push(self.start);
        let last_before = dates.iter().copied().filter(|date| *date <= at).max();
        dates.retain(|date| *date > at || Some(*date) == last_before);
        dates.sort_unstable();
        dates.dedup();
        dates.truncate(MAX_DATES);
        let start = if self.rules.is_empty() {
            dates.remove(0)
        } else {
            // A rule counts from its start.
            dates.retain(|date| *date != self.start);
            self.start
        };
        Self {
            start,
            dates,
            ..self.clone()
        }
    }

    /// Returns whether the rule is one of those by which clocks change: yearly or monthly.
    pub fn is_usual(rule: &Rule) -> bool {
        matches!(rule.frequency, Frequency::Yearly | Frequency::Monthly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_of_the_feeds_own_is_recognised_by_its_rules() {
        let part = |start: &str, from, to, rule: Option<&str>| Observance {
            start: start.parse().unwrap(),
            offset_from: from,
            offset_to: to,
            rules: rule.map(|rule| rule.parse().unwrap()).into_iter().collect(),
            dates: vec![],
        };
        let own = [
            part(
                "1601-01-01T03:00:00",
                7200,
                3600,
                Some("FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10"),
            ),
            part(
                "1601-01-01T02:00:00",
                3600,
                7200,
                Some("FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3"),
            ),
        ];
        let own = ZoneTransitions::of(&own).unwrap();
        assert_eq!(own.matching(), Some(Tz::Europe__Berlin));
        assert_eq!(
            own.offset_of_local("2026-07-01T09:00:00".parse().unwrap()),
            7200
        );
        let fixed =
            ZoneTransitions::of(&[part("1970-01-01T00:00:00", 20700, 20700, None)]).unwrap();
        assert_eq!(fixed.matching(), Some(Tz::Asia__Kathmandu));
        let odd = ZoneTransitions::of(&[part("1970-01-01T00:00:00", 1234, 1234, None)]).unwrap();
        assert_eq!(odd.matching(), None);
        assert_eq!(
            odd.offset_of_local("2026-07-01T09:00:00".parse().unwrap()),
            1234
        );
    }
}
