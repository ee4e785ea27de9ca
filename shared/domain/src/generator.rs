//! Evaluates a recurrence rule on the wall clock: calendar arithmetic without time zones.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::rule::{ByDay, Frequency, Rule, Until};
use super::time::EventTime;

/// Maximum number of days, or finer periods, that are examined for one rule and window: enough for a daily or a yearly
/// rule since 1601.
pub(super) const MAX_WORK: usize = 400_000;

/// Evaluates one rule on the wall clock. A *period* is one year, month, week, day, hour, minute or second of the rule,
/// counted in intervals from the one that contains the start.
pub(super) struct Generator<'a> {
    rule: &'a Rule,
    start: NaiveDateTime,
    /// The last wall-clock time at which an occurrence can start; `None` without `UNTIL`.
    pub(super) until: Option<NaiveDateTime>,
    by_month: Vec<u8>,
    by_month_day: Vec<i8>,
    by_day: Vec<ByDay>,
    /// Times of day of each matching day or, for rules finer than a day, of each period.
    times: Vec<NaiveTime>,
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
        let start = start.local();
        let mut by_month = rule.by_month.clone();
        let mut by_month_day = rule.by_month_day.clone();
        let mut by_day = rule.by_day.clone();
        if rule.by_week_no.is_empty()
            && rule.by_year_day.is_empty()
            && by_month_day.is_empty()
            && by_day.is_empty()
        {
            // Information that the rule lacks comes from the start (RFC 5545 3.3.10).
            let day = i8::try_from(start.day()).unwrap_or(1);
            match rule.frequency {
                Frequency::Yearly => {
                    if by_month.is_empty() {
                        by_month.push(u8::try_from(start.month()).unwrap_or(1));
                    }
                    by_month_day.push(day);
                }
                Frequency::Monthly => by_month_day.push(day),
                Frequency::Weekly => by_day.push(ByDay {
                    nth: 0,
                    weekday: start.weekday(),
                }),
                _ => {}
            }
        }
        let times = times(rule, start.time());
        Self {
            rule,
            start,
            until,
            by_month,
            by_month_day,
            by_day,
            times,
        }
    }

    /// Adds the starts in `[low, high)` for which `wanted` is true, at most `room`. Returns whether it stopped early.
    pub(super) fn collect(
        &self,
        low: NaiveDateTime,
        high: NaiveDateTime,
        room: usize,
        wanted: &dyn Fn(NaiveDateTime) -> bool,
        out: &mut Vec<NaiveDateTime>,
    ) -> bool {
        let mut period = 0;
        let mut counted: u64 = 0;
        match self.rule.count {
            None => period = self.period_of(low).saturating_sub(1).max(0),
            Some(_) if self.one_each_period() => {
                period = self.period_of(low).saturating_sub(1).max(0);
                counted = u64::try_from(period).unwrap_or(0);
            }
            Some(_) => {}
        }
        let before = out.len();
        let end = self
            .until
            .map_or(high, |until| high.min(until + TimeDelta::seconds(1)));
        let mut buffer = Vec::new();
        let mut work = 0;
        while work < MAX_WORK {
            work += self.work_per_period();
            if self
                .rule
                .count
                .is_some_and(|count| counted >= u64::from(count))
            {
                return false;
            }
            let Some(date) = self.period_start(period) else {
                return false;
            };
            if date >= end && date > self.start {
                return false;
            }
            buffer.clear();
            let next = self.fill(period, date, &mut buffer);
            for at in buffer.iter().copied().filter(|at| *at >= self.start) {
                if self.until.is_some_and(|until| at > until)
                    || self
                        .rule
                        .count
                        .is_some_and(|count| counted >= u64::from(count))
                {
                    return false;
                }
                counted += 1;
                if at >= high {
                    return false;
                }
                if at >= low && wanted(at) {
                    out.push(at);
                    if out.len() - before >= room {
                        return true;
                    }
                }
            }
            period = next;
        }
        true
    }

    /// Returns the last start of a rule with `COUNT`, or a time after it; `None` if it is too far away to be found.
    pub(super) fn last_counted(&self) -> Option<NaiveDateTime> {
        if self.one_each_period() {
            let count = i64::from(self.rule.count?);
            return self.period_start(count);
        }
        let count = usize::try_from(self.rule.count?).ok()?;
        let mut found = Vec::new();
        let stopped = self.collect(
            self.start,
            NaiveDateTime::MAX,
            count.saturating_add(1).min(MAX_WORK),
            &|_| true,
            &mut found,
        );
        if stopped {
            None
        } else {
            Some(found.last().copied().unwrap_or(self.start))
        }
    }

    /// Returns whether each period has exactly one start, so that starts can be counted without generating them.
    fn one_each_period(&self) -> bool {
        let rule = self.rule;
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
                Frequency::Yearly => !(self.start.month() == 2 && self.start.day() == 29),
                Frequency::Monthly => self.start.day() <= 28,
                _ => true,
            }
    }

    /// Returns the number of days, or finer periods, that are examined for one period.
    fn work_per_period(&self) -> usize {
        match self.rule.frequency {
            Frequency::Yearly => 366,
            Frequency::Monthly => 31,
            Frequency::Weekly => 7,
            _ => 1,
        }
    }

    fn interval(&self) -> i64 {
        i64::from(self.rule.interval)
    }

    /// Returns the number of the period that contains `at`, rounded down to a whole interval.
    fn period_of(&self, at: NaiveDateTime) -> i64 {
        let start = self.start;
        let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
        let elapsed = match self.rule.frequency {
            Frequency::Yearly => i64::from(at.year() - start.year()),
            Frequency::Monthly => months(at) - months(start),
            Frequency::Weekly => (at.date() - self.week_start(start.date()))
                .num_days()
                .div_euclid(7),
            Frequency::Daily => (at.date() - start.date()).num_days(),
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => (at
                - self.truncated_start())
            .num_seconds()
            .div_euclid(self.unit()),
        };
        elapsed.div_euclid(self.interval())
    }

    /// Returns the beginning of a period; `None` after [`LAST_YEAR`].
    fn period_start(&self, period: i64) -> Option<NaiveDateTime> {
        let offset = period.checked_mul(self.interval())?;
        let start = self.start;
        match self.rule.frequency {
            Frequency::Yearly => {
                let year = i32::try_from(i64::from(start.year()).checked_add(offset)?).ok()?;
                first_of(year, 1)
            }
            Frequency::Monthly => {
                let months = (i64::from(start.year()) * 12 + i64::from(start.month0()))
                    .checked_add(offset)?;
                first_of(
                    i32::try_from(months.div_euclid(12)).ok()?,
                    u32::try_from(months.rem_euclid(12)).ok()? + 1,
                )
            }
            Frequency::Weekly => add_days(self.week_start(start.date()), offset.checked_mul(7)?),
            Frequency::Daily => add_days(start.date(), offset),
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
                let seconds = TimeDelta::try_seconds(offset.checked_mul(self.unit())?)?;
                self.truncated_start()
                    .checked_add_signed(seconds)
                    .filter(|at| at.year() <= LAST_YEAR)
            }
        }
    }

    /// Adds the starts of one period in order. Returns the next period that can have any.
    fn fill(&self, period: i64, begin: NaiveDateTime, out: &mut Vec<NaiveDateTime>) -> i64 {
        let days = match self.rule.frequency {
            Frequency::Yearly => days_in_year(begin.year()),
            Frequency::Monthly => days_in_month(begin.year(), begin.month()),
            Frequency::Weekly => 7,
            Frequency::Daily => 1,
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => {
                return self.fill_within_day(period, begin, out);
            }
        };
        let mut date = begin.date();
        for _ in 0..days {
            if self.allows(date) {
                out.extend(self.times.iter().map(|time| date.and_time(*time)));
            }
            let Some(next) = date.succ_opt() else { break };
            date = next;
        }
        self.pick_positions(out);
        period + 1
    }

    fn fill_within_day(
        &self,
        period: i64,
        begin: NaiveDateTime,
        out: &mut Vec<NaiveDateTime>,
    ) -> i64 {
        let after = |at: Option<NaiveDateTime>| {
            at.map_or(i64::MAX, |at| {
                self.period_of(at - TimeDelta::seconds(1)) + 1
            })
            .max(period + 1)
        };
        if !self.allows(begin.date()) {
            return after(add_days(begin.date(), 1));
        }
        let rule = self.rule;
        if !rule.by_hour.is_empty()
            && !rule
                .by_hour
                .iter()
                .any(|hour| u32::from(*hour) == begin.hour())
        {
            return after(
                begin
                    .with_minute(0)
                    .and_then(|at| at.with_second(0))
                    .map(|at| at + TimeDelta::hours(1)),
            );
        }
        let fine = rule.frequency != Frequency::Hourly;
        if fine
            && !rule.by_minute.is_empty()
            && !rule
                .by_minute
                .iter()
                .any(|minute| u32::from(*minute) == begin.minute())
        {
            return after(begin.with_second(0).map(|at| at + TimeDelta::minutes(1)));
        }
        if rule.frequency == Frequency::Secondly {
            if rule.by_second.is_empty()
                || rule
                    .by_second
                    .iter()
                    .any(|second| u32::from(*second) == begin.second())
            {
                out.push(begin);
            }
        } else {
            out.extend(self.times.iter().filter_map(|time| {
                let minute = if rule.frequency == Frequency::Hourly {
                    time.minute()
                } else {
                    begin.minute()
                };
                begin
                    .with_minute(minute)
                    .and_then(|at| at.with_second(time.second()))
            }));
        }
        self.pick_positions(out);
        period + 1
    }

    fn pick_positions(&self, out: &mut Vec<NaiveDateTime>) {
        if self.rule.by_set_pos.is_empty() {
            return;
        }
        let len = i64::try_from(out.len()).unwrap_or(i64::MAX);
        let mut chosen: Vec<usize> = self
            .rule
            .by_set_pos
            .iter()
            .map(|pos| {
                if *pos > 0 {
                    i64::from(*pos) - 1
                } else {
                    len + i64::from(*pos)
                }
            })
            .filter_map(|index| {
                usize::try_from(index)
                    .ok()
                    .filter(|index| *index < out.len())
            })
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        *out = chosen.into_iter().map(|index| out[index]).collect();
    }

    /// Returns whether the rule's BY parts allow this day.
    fn allows(&self, date: NaiveDate) -> bool {
        let in_month = || i32::try_from(days_in_month(date.year(), date.month())).unwrap_or(31);
        let in_year = || i32::try_from(days_in_year(date.year())).unwrap_or(365);
        let day = i32::try_from(date.day()).unwrap_or(1);
        let ordinal = i32::try_from(date.ordinal()).unwrap_or(1);
        (self.by_month.is_empty()
            || self
                .by_month
                .iter()
                .any(|month| u32::from(*month) == date.month()))
            && (self.by_month_day.is_empty()
                || self.by_month_day.iter().any(|want| {
                    i32::from(*want) == day || i32::from(*want) == day - in_month() - 1
                }))
            && (self.rule.by_year_day.is_empty()
                || self.rule.by_year_day.iter().any(|want| {
                    i32::from(*want) == ordinal || i32::from(*want) == ordinal - in_year() - 1
                }))
            && (self.by_day.is_empty()
                || self.by_day.iter().any(|want| self.is_weekday(*want, date)))
            && (self.rule.by_week_no.is_empty() || {
                let (week, weeks) = self.week_of(date);
                self.rule
                    .by_week_no
                    .iter()
                    .any(|want| i32::from(*want) == week || i32::from(*want) == week - weeks - 1)
            })
    }

    fn is_weekday(&self, want: ByDay, date: NaiveDate) -> bool {
        if want.weekday != date.weekday() {
            return false;
        }
        if want.nth == 0 {
            return true;
        }
        let by_year = self.rule.frequency == Frequency::Yearly && self.by_month.is_empty();
        let (index, len) = if by_year {
            (date.ordinal0(), days_in_year(date.year()))
        } else {
            (date.day0(), days_in_month(date.year(), date.month()))
        };
        let from_start = i64::from(index / 7 + 1);
        let from_end = -i64::from((len - 1 - index) / 7 + 1);
        i64::from(want.nth) == from_start || i64::from(want.nth) == from_end
    }

    /// Returns the number of the week that contains `date`, and the number of weeks in that week's year, by `WKST`.
    fn week_of(&self, date: NaiveDate) -> (i32, i32) {
        let middle = |date| self.week_start(date) + TimeDelta::days(3);
        let number = |middle: NaiveDate| i32::try_from(middle.ordinal0() / 7).unwrap_or(0) + 1;
        let this = middle(date);
        let last = NaiveDate::from_ymd_opt(this.year(), 12, 31).map_or(this, middle);
        let last = if last.year() == this.year() {
            last
        } else {
            last - TimeDelta::days(7)
        };
        (number(this), number(last))
    }

    fn week_start(&self, date: NaiveDate) -> NaiveDate {
        let back = date.weekday().days_since(self.rule.week_start);
        date.checked_sub_days(Days::new(u64::from(back)))
            .unwrap_or(date)
    }

    /// Returns the length of one period of a rule finer than a day, in seconds.
    fn unit(&self) -> i64 {
        match self.rule.frequency {
            Frequency::Hourly => 3600,
            Frequency::Minutely => 60,
            _ => 1,
        }
    }

    fn truncated_start(&self) -> NaiveDateTime {
        let seconds = i64::from(self.start.num_seconds_from_midnight());
        self.start - TimeDelta::seconds(seconds % self.unit())
    }
}

/// The last year that is examined: RFC 3339 has four digits for the year.
const LAST_YEAR: i32 = 9999;

fn first_of(year: i32, month: u32) -> Option<NaiveDateTime> {
    NaiveDate::from_ymd_opt(year, month, 1)
        .filter(|_| year <= LAST_YEAR)
        .map(|date| date.and_time(NaiveTime::MIN))
}

fn add_days(date: NaiveDate, days: i64) -> Option<NaiveDateTime> {
    let date = date.checked_add_signed(TimeDelta::try_days(days)?)?;
    (date.year() <= LAST_YEAR).then(|| date.and_time(NaiveTime::MIN))
}

fn days_in_year(year: i32) -> u32 {
    if NaiveDate::from_ymd_opt(year, 2, 29).is_some() {
        366
    } else {
        365
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        2 => days_in_year(year) - 337,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the times of day of a rule, in order. Parts finer than the frequency default to those of the start.
fn times(rule: &Rule, start: NaiveTime) -> Vec<NaiveTime> {
    let or_start = |list: &[u8], own: u32| -> Vec<u32> {
        if list.is_empty() {
            vec![own]
        } else {
            list.iter().map(|value| u32::from(*value)).collect()
        }
    };
    let hours = match rule.frequency {
        // The hour comes from the period itself.
        Frequency::Hourly | Frequency::Minutely | Frequency::Secondly => vec![0],
        _ => or_start(&rule.by_hour, start.hour()),
    };
    let minutes = match rule.frequency {
        Frequency::Minutely | Frequency::Secondly => vec![0],
        _ => or_start(&rule.by_minute, start.minute()),
    };
    let seconds = or_start(&rule.by_second, start.second());
    let mut times: Vec<NaiveTime> = hours
        .iter()
        .flat_map(|hour| minutes.iter().map(move |minute| (*hour, *minute)))
        .flat_map(|(hour, minute)| {
            seconds
                .iter()
                .filter_map(move |second| NaiveTime::from_hms_opt(hour, minute, *second))
        })
        .collect();
    times.sort_unstable();
    times.dedup();
    times
}
