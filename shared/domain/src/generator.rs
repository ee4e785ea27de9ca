//! Searches the starts of a recurrence rule on the wall clock: calendar arithmetic without time zones.

use chrono::{Datelike, NaiveDateTime, NaiveTime, TimeDelta};

use super::periods::{END, Periods, add_days};
use super::rule::{Frequency, Rule, Until};
use super::time::EventTime;
use super::work::Work;

/// Evaluates one rule on the wall clock.
pub(super) struct Generator<'a> {
    periods: Periods<'a>,
    /// The last wall-clock time at which an occurrence can start; `None` without `UNTIL`.
    pub(super) until: Option<NaiveDateTime>,
}

/// Whether a search has looked at everything, or was stopped: by the one who searches, or because its work was used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Done,
    Stopped,
}

impl<'a> Generator<'a> {
    pub(super) fn new(rule: &'a Rule, start: EventTime) -> Self {
        let until = rule.until.map(|until| match (until, start) {
            (Until::Date(date), _) => date.and_hms_opt(23, 59, 59).unwrap_or(NaiveDateTime::MAX),
            (Until::Utc(at), EventTime::Zoned(_, zone)) => {
                at.and_utc().with_timezone(&zone).naive_local()
            }
            (Until::Utc(at) | Until::Local(at), EventTime::Date(_)) => {
                at.date().and_hms_opt(23, 59, 59).unwrap_or(at)
            }
            (Until::Utc(at) | Until::Local(at), _) => at,
        });
        Self {
            periods: Periods::new(rule, start.local()),
            until,
        }
    }

    /// Calls `each` with the starts in `[low, high)`, in order, until it returns false. A rule whose `COUNT` takes too much
    /// work to count through yields nothing.
    pub(super) fn search(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        work: &mut Work,
        each: &mut dyn FnMut(NaiveDateTime) -> bool,
    ) -> Search {
        if !self.periods.is_possible() {
            return Search::Done;
        }
        let Some(last) = self.last(work) else {
            return Search::Stopped;
        };
        let end = high.min(
            last.checked_add_signed(TimeDelta::seconds(1))
                .unwrap_or(last),
        );
        self.search_uncounted(low.max(self.periods.start), end, work, each)
    }

    /// Returns whether the rule yields a start at this time.
    pub(super) fn yields(&self, at: NaiveDateTime, work: &mut Work) -> bool {
        let mut is_found = false;
        self.search(at, at + TimeDelta::seconds(1), work, &mut |_| {
            is_found = true;
            false
        });
        is_found
    }

    /// Returns a time after which the rule yields nothing, by `UNTIL` and `COUNT`. `None` if finding it takes too much work.
    pub(super) fn last(&self, work: &mut Work) -> Option<NaiveDateTime> {
        let until = self.until.map_or(END, |until| until.min(END));
        match self.periods.rule.count {
            Some(_) => Some(self.last_counted(work)?.min(until)),
            None => Some(until),
        }
    }

    /// Returns the last start of a rule with `COUNT`, or a time after it; `None` if finding it takes too much work.
    fn last_counted(&self, work: &mut Work) -> Option<NaiveDateTime> {
        if let Some((start, last)) = self.periods.rule.count_end.0.get()
            && *start == self.periods.start
        {
            return Some(*last);
        }
        let count = u64::from(self.periods.rule.count?);
        let last = if !self.periods.is_possible() {
            self.periods.start
        } else if self.one_each_period() {
            let period = i64::try_from(count - 1).ok()?;
            match self.periods.period_start(period) {
                Some(begin) => self.only_start_of(begin, work)?,
                None => END,
            }
        } else if self.periods.is_fine() {
            self.last_by_search(count, work)?
        } else {
            self.last_by_periods(count, work)?
        };
        let last = last.clamp(self.periods.start, END);
        // Set already if another start was asked for first.
        self.periods
            .rule
            .count_end
            .0
            .set((self.periods.start, last))
            .ok();
        Some(last)
    }

    fn only_start_of(&self, begin: NaiveDateTime, work: &mut Work) -> Option<NaiveDateTime> {
        if !self.periods.is_fine() {
            return self.periods.starts_of(begin, work)?.get(0);
        }
        let mut starts = Vec::new();
        self.periods.fill(begin, &mut starts);
        starts.first().copied()
    }

    fn last_by_search(&self, count: u64, work: &mut Work) -> Option<NaiveDateTime> {
        if 86_400 % (self.periods.interval() * self.periods.unit()) == 0
            && !self.begins_within_a_cycle(work)
        {
            return Some(self.periods.start);
        }
        let (mut counted, mut last) = (0, self.periods.start);
        let search = self.search_uncounted(self.periods.start, END, work, &mut |at| {
            (counted, last) = (counted + 1, at);
            counted < count
        });
        (search == Search::Done || counted == count).then_some(last)
    }

    /// Returns whether a rule that places the same periods on each day yields any start at all: the calendar repeats itself every
    /// 400 years. True also if the work is used up.
    fn begins_within_a_cycle(&self, work: &mut Work) -> bool {
        let end = add_days(self.periods.start.date(), 146_097).unwrap_or(END);
        let search = self.search_uncounted(self.periods.start, end, work, &mut |_| false);
        search == Search::Stopped
    }

    /// Counts the starts of whole periods. The calendar repeats itself every 400 years, and so do the periods: one cycle is
    /// counted through, and the others are skipped.
    fn last_by_periods(&self, count: u64, work: &mut Work) -> Option<NaiveDateTime> {
        let cycle = self.cycle();
        let mut period = 0;
        let (mut counted, mut first, mut last) = (0, 0, self.periods.start);
        let mut is_in_first_cycle = true;
        loop {
            if is_in_first_cycle && period > cycle {
                is_in_first_cycle = false;
                let each_cycle = counted - first;
                if each_cycle == 0 {
                    return Some(last);
                }
                let cycles = (count - counted - 1) / each_cycle;
                counted += cycles * each_cycle;
                period = i64::try_from(cycles)
                    .ok()?
                    .checked_mul(cycle)?
                    .checked_add(period)?;
            }
            let Some(begin) = self.periods.period_start(period) else {
                return Some(END);
            };
            if self.periods.rule.frequency == Frequency::Daily
                && let Some(next) = self.periods.after_month(begin)
            {
                work.spend(1)?;
                period = self.periods.period_at_or_after(next).max(period + 1);
                continue;
            }
            let starts = self.periods.starts_of(begin, work)?;
            let before = match period {
                0 => starts.position(self.periods.start),
                _ => 0,
            };
            let len = starts.len() - before;
            if counted + len as u64 >= count {
                let index = usize::try_from(count - counted - 1).ok()?;
                return starts.get(before + index);
            }
            counted += len as u64;
            if len > 0 {
                last = starts.get(starts.len() - 1)?;
            }
            if period == 0 {
                first = counted;
            }
            period += 1;
        }
    }

    /// Returns the number of periods after which the calendar repeats itself.
    fn cycle(&self) -> i64 {
        // Of 400 years, which are a whole number of weeks.
        let units: i64 = match self.periods.rule.frequency {
            Frequency::Yearly => 400,
            Frequency::Monthly => 4_800,
            Frequency::Weekly => 20_871,
            _ => 146_097,
        };
        units / greatest_common_divisor(units, self.periods.interval())
    }

    /// As [`Generator::search`], but without regard to `UNTIL` and `COUNT`. `low` is not before the start.
    fn search_uncounted(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        work: &mut Work,
        each: &mut dyn FnMut(NaiveDateTime) -> bool,
    ) -> Search {
        let found = if self.periods.is_fine() {
            self.search_fine(low, high, work, each)
        } else if self.periods.rule.by_set_pos.is_empty() {
            self.search_days(low, high, work, each)
        } else {
            self.search_positions(low, high, work, each)
        };
        found.unwrap_or(Search::Stopped)
    }

    /// Searches day by day: without `BYSETPOS`, each day of a period counts for itself. `None` when the work is used up.
    fn search_days(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        work: &mut Work,
        each: &mut dyn FnMut(NaiveDateTime) -> bool,
    ) -> Option<Search> {
        let mut day = low.date().and_time(NaiveTime::MIN);
        while day < high {
            work.spend(1)?;
            let next = if self.periods.is_in_period(day) {
                self.periods.after_month(day)
            } else {
                Some(
                    self.periods
                        .period_start(self.periods.period_of(day) + 1)
                        .unwrap_or(high),
                )
            };
            if let Some(next) = next {
                day = next;
                continue;
            }
            if self.periods.allows(day.date()) {
                let first = if day.date() == low.date() {
                    self.periods
                        .times
                        .partition_point(|time| *time < low.time())
                } else {
                    0
                };
                for time in &self.periods.times[first..] {
                    work.spend(1)?;
                    let at = day.date().and_time(*time);
                    if at >= high {
                        return Some(Search::Done);
                    }
                    if !each(at) {
                        return Some(Search::Stopped);
                    }
                }
            }
            let Some(next) = add_days(day.date(), 1) else {
                break;
            };
            day = next;
        }
        Some(Search::Done)
    }

    /// Searches period by period: `BYSETPOS` selects among all starts of one. `None` when the work is used up.
    fn search_positions(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        work: &mut Work,
        each: &mut dyn FnMut(NaiveDateTime) -> bool,
    ) -> Option<Search> {
        let mut period = self.periods.period_of(low).max(0);
        while let Some(begin) = self
            .periods
            .period_start(period)
            .filter(|begin| *begin < high)
        {
            let starts = self.periods.starts_of(begin, work)?;
            for index in starts.position(low)..starts.len() {
                work.spend(1)?;
                let at = starts.get(index)?;
                if at >= high {
                    return Some(Search::Done);
                }
                if !each(at) {
                    return Some(Search::Stopped);
                }
            }
            period += 1;
        }
        Some(Search::Done)
    }

    /// Searches the periods of a rule finer than a day. `None` when the work is used up.
    fn search_fine(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        work: &mut Work,
        each: &mut dyn FnMut(NaiveDateTime) -> bool,
    ) -> Option<Search> {
        let mut period = self.periods.period_of(low).max(0);
        let mut starts = Vec::new();
        while let Some(begin) = self
            .periods
            .period_start(period)
            .filter(|begin| *begin < high)
        {
            work.spend(1)?;
            if let Some(next) = self.periods.after_mismatch(begin) {
                period = self.periods.period_at_or_after(next).max(period + 1);
                continue;
            }
            starts.clear();
            self.periods.fill(begin, &mut starts);
            for at in starts.iter().copied().filter(|at| *at >= low) {
                work.spend(1)?;
                if at >= high {
                    return Some(Search::Done);
                }
                if !each(at) {
                    return Some(Search::Stopped);
                }
            }
            period += 1;
        }
        Some(Search::Done)
    }

    /// Returns whether each period has exactly one start, so that starts can be counted without generating them.
    fn one_each_period(&self) -> bool {
        let rule = self.periods.rule;
        let unfiltered = rule.by_month.is_empty()
            && rule.by_month_day.is_empty()
            && rule.by_year_day.is_empty()
            && rule.by_week_no.is_empty()
            && rule.by_day.is_empty()
            && rule.by_hour.is_empty()
            && rule.by_minute.is_empty()
            && rule.by_second.is_empty()
            && rule.by_set_pos.is_empty();
        unfiltered
            && match rule.frequency {
                Frequency::Yearly => {
                    !(self.periods.start.month() == 2 && self.periods.start.day() == 29)
                }
                Frequency::Monthly => self.periods.start.day() <= 28,
                _ => true,
            }
    }
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts() -> impl Strategy<Value = String> {
        let list = |name: &'static str, values: &'static [&'static str]| {
            let some = prop::collection::vec(prop::sample::select(values), 1..4);
            let some = prop::option::weighted(0.3, some);
            some.prop_map(move |some| {
                some.map_or(String::new(), |list| format!(";{name}={}", list.join(",")))
            })
        };
        let lists = (
            list("BYMONTH", &["1", "2", "3", "10", "12"]),
            list("BYMONTHDAY", &["1", "15", "29", "31", "-1", "-31"]),
            list("BYDAY", &["MO", "TU", "SU", "1MO", "-1FR", "5SA"]),
            list("BYHOUR", &["0", "9", "23"]),
            list("BYSETPOS", &["1", "-1", "2", "5"]),
            list("BYYEARDAY", &["1", "100", "366", "-1"]),
            list("BYWEEKNO", &["1", "20", "53"]),
        );
        lists.prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn whole_periods_are_counted_as_one_by_one(
            frequency in prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
            interval in 1_u32..9, count in 1_u64..900, parts in parts(), minutes in 0_i64..3_000_000,
        ) {
            let rule: Rule = format!("FREQ={frequency};INTERVAL={interval};COUNT={count}{parts}").parse().unwrap();
            let start = NaiveDateTime::default() + TimeDelta::minutes(minutes);
            let generator = Generator::new(&rule, EventTime::Floating(start));
            let last = generator.last(&mut Work::one_rule()).unwrap();
            let (mut counted, mut walked) = (0, start);
            let far = start + TimeDelta::days(60 * 366);
            let search = generator.search_uncounted(start, far, &mut Work::one_rule(), &mut |at| {
                (counted, walked) = (counted + 1, at);
                counted < count
            });
            if counted == count {
                prop_assert_eq!(last, walked);
            } else {
                prop_assert!(search == Search::Done && last >= walked);
            }
        }
    }
}
