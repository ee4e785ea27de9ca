//! The periods of a recurrence rule, and the days and times in them, on the wall clock.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::rule::{ByDay, Frequency, Rule};
use super::starts::{Starts, positions};
use super::work::Work;

/// The periods of one rule that begins at one start. A *period* is one year, month, week, day, hour, minute or second,
/// counted in intervals from the one that contains the start.
pub(super) struct Periods<'a> {
    pub(super) rule: &'a Rule,
    pub(super) start: NaiveDateTime,
    by_month: Vec<u8>,
    by_month_day: Vec<i8>,
    by_day: Vec<ByDay>,
    /// Times of day of each matching day or, for rules finer than a day, of each period. Sorted.
    pub(super) times: Vec<NaiveTime>,
}

/// The last moment that is examined: RFC 3339 has four digits for the year.
pub(super) const END: NaiveDateTime = NaiveDate::from_ymd_opt(9999, 12, 31)
    .unwrap()
    .and_hms_opt(23, 59, 59)
    .unwrap();

impl<'a> Periods<'a> {
    pub(super) fn new(rule: &'a Rule, start: NaiveDateTime) -> Self {
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
        Self {
            rule,
            start,
            by_month,
            by_month_day,
            by_day,
            times: times(rule, start.time()),
        }
    }

    /// Returns the starts of the period that begins here, of a rule of whole days. `None` when the work is used up.
    pub(super) fn starts_of(&self, begin: NaiveDateTime, work: &mut Work) -> Option<Starts<'_>> {
        let days = match self.rule.frequency {
            Frequency::Yearly => days_in_year(begin.year()),
            Frequency::Monthly => days_in_month(begin.year(), begin.month()),
            Frequency::Weekly => 7,
            _ => 1,
        };
        let dates =
            (0..days).filter_map(|day| begin.date().checked_add_days(Days::new(day.into())));
        work.spend(days as usize)?;
        let mut starts = Starts {
            days: dates.filter(|date| self.allows(*date)).collect(),
            times: &self.times,
            positions: None,
        };
        if !self.rule.by_set_pos.is_empty() {
            starts.positions = Some(positions(&self.rule.by_set_pos, starts.len()));
        }
        Some(starts)
    }

    /// Returns the beginning of the next month if the rule excludes this one; `None` if it does not.
    pub(super) fn after_month(&self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        let is_allowed = self.by_month.is_empty()
            || self
                .by_month
                .iter()
                .any(|month| u32::from(*month) == at.month());
        if is_allowed {
            return None;
        }
        let (year, month) = (at.year(), at.month());
        let next = if month == 12 {
            first_of(year + 1, 1)
        } else {
            first_of(year, month + 1)
        };
        Some(next.unwrap_or(NaiveDateTime::MAX))
    }

    /// Returns the next time that is worth looking at if the rule, which is finer than a day, excludes the month, day, hour or
    /// minute of this one; `None` if it does not.
    pub(super) fn after_mismatch(&self, at: NaiveDateTime) -> Option<NaiveDateTime> {
        if let Some(next) = self.after_month(at) {
            return Some(next);
        }
        if !self.allows(at.date()) {
            return Some(add_days(at.date(), 1).unwrap_or(NaiveDateTime::MAX));
        }
        let lacks = |list: &[u8], value: u32| {
            !list.is_empty() && !list.iter().any(|one| u32::from(*one) == value)
        };
        let whole =
            |unit: i64| at - TimeDelta::seconds(i64::from(at.num_seconds_from_midnight()) % unit);
        if lacks(&self.rule.by_hour, at.hour()) {
            return Some(whole(3600) + TimeDelta::hours(1));
        }
        let is_hourly = self.rule.frequency == Frequency::Hourly;
        (!is_hourly && lacks(&self.rule.by_minute, at.minute()))
            .then(|| whole(60) + TimeDelta::minutes(1))
    }

    /// Returns whether one of the months has one of the days of the month. If not, the rule yields nothing.
    pub(super) fn is_possible(&self) -> bool {
        let has = |month: &u8| {
            let days = match month {
                2 => 29,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            self.by_month_day
                .iter()
                .any(|day| day.unsigned_abs() <= days)
        };
        let mut months = self.by_month.iter();
        self.by_month_day.is_empty() || self.by_month.is_empty() || months.any(has)
    }

    /// Returns whether the rule is finer than a day.
    pub(super) fn is_fine(&self) -> bool {
        matches!(
            self.rule.frequency,
            Frequency::Hourly | Frequency::Minutely | Frequency::Secondly
        )
    }

    pub(super) fn interval(&self) -> i64 {
        i64::from(self.rule.interval)
    }

    /// Returns the number of the period that contains `at`, rounded down to a whole interval.
    pub(super) fn period_of(&self, at: NaiveDateTime) -> i64 {
        self.elapsed(at).div_euclid(self.interval())
    }

    /// Returns whether a period of the rule contains `at`, and not one that its interval skips.
    pub(super) fn is_in_period(&self, at: NaiveDateTime) -> bool {
        self.elapsed(at).rem_euclid(self.interval()) == 0
    }

    /// Returns the number of the first period that begins at or after `at`.
    pub(super) fn period_at_or_after(&self, at: NaiveDateTime) -> i64 {
        at.checked_sub_signed(TimeDelta::seconds(1))
            .map_or(0, |before| self.period_of(before) + 1)
    }

    /// Returns the number of years, months, weeks, days, hours, minutes or seconds between the period of the start and that of
    /// `at`.
    fn elapsed(&self, at: NaiveDateTime) -> i64 {
        let start = self.start;
        let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
        match self.rule.frequency {
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
        }
    }

    /// Returns the beginning of a period; `None` after [`END`].
    pub(super) fn period_start(&self, period: i64) -> Option<NaiveDateTime> {
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
                    .filter(|at| *at <= END)
            }
        }
    }

    /// Adds the starts of one period of a rule finer than a day, in order.
    pub(super) fn fill(&self, begin: NaiveDateTime, out: &mut Vec<NaiveDateTime>) {
        let rule = self.rule;
        if rule.frequency == Frequency::Secondly {
            let second = begin.second();
            let is_allowed = rule.by_second.is_empty()
                || rule.by_second.iter().any(|one| u32::from(*one) == second);
            out.extend(is_allowed.then_some(begin));
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
        if !rule.by_set_pos.is_empty() {
            let chosen = positions(&rule.by_set_pos, out.len());
            *out = chosen.into_iter().map(|index| out[index]).collect();
        }
    }

    /// Returns whether the rule's BY parts allow this day.
    pub(super) fn allows(&self, date: NaiveDate) -> bool {
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
    pub(super) fn unit(&self) -> i64 {
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

fn first_of(year: i32, month: u32) -> Option<NaiveDateTime> {
    NaiveDate::from_ymd_opt(year, month, 1)
        .filter(|_| year <= END.year())
        .map(|date| date.and_time(NaiveTime::MIN))
}

pub(super) fn add_days(date: NaiveDate, days: i64) -> Option<NaiveDateTime> {
    let date = date.checked_add_signed(TimeDelta::try_days(days)?)?;
    (date.year() <= END.year()).then(|| date.and_time(NaiveTime::MIN))
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
