//! Writes a recurrence rule as a `patternedRecurrence`
//! (<https://learn.microsoft.com/graph/api/resources/patternedrecurrence>).
//!
//! Microsoft cannot express every rule of RFC 5545. A rule that it cannot express exactly is
//! refused with the reason. A pattern expresses a rule exactly if both give the same starts.

use calweave_domain::ids::OriginalStart;
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{ByDay, Frequency, Rule, Until};
use calweave_domain::time::EventTime;
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde_json::{Map, Value, json};

use super::pattern::{self, COMMON, DAYS, INDEXES};

/// The number of starts that are compared to decide whether a pattern expresses a rule.
const COMPARED: usize = 120;

/// A recurrence in the form that Graph uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Patterned {
    /// The `patternedRecurrence`: `{ pattern, range }`.
    pub recurrence: Value,
    /// The starts of the occurrences to delete after the series is written.
    pub removed: Vec<OriginalStart>,
}

fn name_of(weekday: Weekday) -> &'static str {
    DAYS.iter()
        .find(|(_, known)| *known == weekday)
        .map_or("", |(name, _)| name)
}

/// Converts the recurrence of a series that begins at `start`.
///
/// # Errors
/// Returns the reason, as text for the user, if Microsoft cannot express the recurrence.
pub fn patterned(series: &Series, start: EventTime) -> Result<Patterned, String> {
    let [rule] = series.rules.as_slice() else {
        return Err("Microsoft supports only one rule per series".to_owned());
    };
    if !series.dates.is_empty()
        || !series.except_rules.is_empty()
        || series.begins_at.is_some()
        || series.ends_before.is_some()
    {
        return Err(
            "Microsoft supports neither additional dates (RDATE) nor exception rules".to_owned(),
        );
    }
    let recurrence = json!({ "pattern": pattern(rule, start)?, "range": range(rule, start) });
    let read = pattern::series(&recurrence)?;
    if !begins_with(&read, start) {
        return Err("Microsoft would omit the start, which the rule does not include; start on a day of the rule".to_owned());
    }
    if starts(&read, start)
        != starts(
            &Series {
                rules: vec![rule.clone()],
                ..Series::default()
            },
            start,
        )
    {
        return Err("Microsoft would repeat this event on other days".to_owned());
    }
    Ok(Patterned {
        recurrence,
        removed: series.except_dates.clone(),
    })
}

/// Whether the rule itself gives the start. RFC 5545 counts the start as an occurrence in any case.
fn begins_with(series: &Series, start: EventTime) -> bool {
    let every = |rule: &Rule| Rule {
        interval: 1,
        count: None,
        until: None,
        ..rule.clone()
    };
    let every = Series {
        rules: series.rules.iter().map(every).collect(),
        ..Series::default()
    };
    let at = start.instant(Tz::UTC);
    let before = start.with_local(start.local() - TimeDelta::days(1));
    every
        .expand(before, at, at + TimeDelta::seconds(1), Tz::UTC, 1)
        .starts
        .contains(&start)
}

fn starts(series: &Series, start: EventTime) -> Vec<EventTime> {
    let from = start.instant(Tz::UTC) - TimeDelta::days(1);
    let to: DateTime<Utc> = from
        .checked_add_signed(TimeDelta::days(366 * 40))
        .unwrap_or(from);
    series.expand(start, from, to, Tz::UTC, COMPARED).starts
}

/// Refuses rule parts that no pattern supports.
fn check_parts(rule: &Rule) -> Result<(), String> {
    if !rule.by_hour.is_empty() || !rule.by_minute.is_empty() || !rule.by_second.is_empty() {
        return refuse("BYHOUR, BYMINUTE or BYSECOND");
    }
    if !rule.by_year_day.is_empty() || !rule.by_week_no.is_empty() {
        return refuse("BYYEARDAY or BYWEEKNO");
    }
    Ok(())
}

fn refuse<T>(what: &str) -> Result<T, String> {
    Err(format!("Microsoft does not support {what}"))
}

fn pattern(rule: &Rule, start: EventTime) -> Result<Value, String> {
    check_parts(rule)?;
    let date = start.local().date();
    let mut pattern = Map::from_iter([("interval".to_owned(), Value::from(rule.interval))]);
    let mut set = |name: &str, value: Value| pattern.insert(name.to_owned(), value);
    let has_no_month = rule.by_month.is_empty();
    let is_plain = rule.by_month_day.is_empty() && rule.by_set_pos.is_empty();
    match rule.frequency {
        Frequency::Daily if is_plain && has_no_month && rule.by_day.is_empty() => {
            set("type", "daily".into());
        }
        // A daily rule that is limited to some weekdays is a weekly rule on these weekdays.
        Frequency::Daily if is_plain && has_no_month && rule.interval == 1 => {
            weekly(rule, date, &mut set);
        }
        Frequency::Weekly if is_plain && has_no_month => weekly(rule, date, &mut set),
        Frequency::Monthly if has_no_month => {
            let is_each_week =
                is_plain && !rule.by_day.is_empty() && rule.by_day.iter().all(|day| day.nth == 0);
            if is_each_week && rule.interval == 1 {
                weekly(rule, date, &mut set);
            } else {
                within_month(rule, date, "Monthly", &mut set)?;
            }
        }
        Frequency::Yearly => {
            let month = match rule.by_month.as_slice() {
                [month] => u32::from(*month),
                [] if rule.by_day.is_empty() && rule.by_month_day.is_empty() => date.month(),
                _ => return refuse("yearly rules with several months, or with days of the year"),
            };
            set("month", month.into());
            within_month(rule, date, "Yearly", &mut set)?;
        }
        Frequency::Secondly | Frequency::Minutely | Frequency::Hourly => {
            return refuse("rules that repeat within a day");
        }
        _ => return refuse("this combination of rule parts"),
    }
    Ok(pattern.into())
}

fn weekly(rule: &Rule, start: NaiveDate, set: &mut dyn FnMut(&str, Value) -> Option<Value>) {
    set("type", "weekly".into());
    let days = rule.by_day.iter().map(|day| name_of(day.weekday));
    let days = if rule.by_day.is_empty() {
        json!([name_of(start.weekday())])
    } else {
        days.collect::<Value>()
    };
    set("daysOfWeek", days);
    set("firstDayOfWeek", name_of(rule.week_start).into());
}

/// Sets the day of the month: by its number, or by weekday and position. `each` is `Monthly` or
/// `Yearly`.
fn within_month(
    rule: &Rule,
    start: NaiveDate,
    each: &str,
    set: &mut dyn FnMut(&str, Value) -> Option<Value>,
) -> Result<(), String> {
    let absolute = match (
        rule.by_month_day.as_slice(),
        rule.by_day.is_empty(),
        rule.by_set_pos.as_slice(),
    ) {
        ([], true, []) => i8::try_from(start.day()).ok().filter(|day| *day <= COMMON),
        ([day @ 1..=COMMON], true, []) => Some(*day),
        // Day 31 is the last day of every month: Microsoft uses the last day of a shorter month.
        ([-1], true, []) => Some(31),
        // All days from 28 to some last one. The last of them that the month has is the occurrence.
        (days, true, [-1]) => days
            .iter()
            .copied()
            .max()
            .filter(|last| *last >= COMMON && (COMMON..=*last).eq(days.iter().copied())),
        (_, true, _) => None,
        _ => return relative(rule, each, set),
    };
    let skipping = || {
        "Microsoft does not support rules that skip months without that day; use day 28 or earlier, or the last day".to_owned()
    };
    set("type", format!("absolute{each}").into());
    set("dayOfMonth", absolute.ok_or_else(skipping)?.into());
    Ok(())
}

fn relative(
    rule: &Rule,
    each: &str,
    set: &mut dyn FnMut(&str, Value) -> Option<Value>,
) -> Result<(), String> {
    let place = match (rule.by_day.as_slice(), rule.by_set_pos.as_slice()) {
        ([ByDay { nth, .. }], []) if *nth != 0 => *nth,
        (days, [place]) if days.iter().all(|day| day.nth == 0) => {
            i16::try_from(*place).unwrap_or(0)
        }
        _ => 0,
    };
    let index = INDEXES
        .iter()
        .find(|(_, index)| *index == place)
        .filter(|_| rule.by_month_day.is_empty());
    let (index, _) = index.ok_or("Microsoft supports only the first, second, third, fourth and last of some weekdays in a month")?;
    set("type", format!("relative{each}").into());
    set(
        "daysOfWeek",
        rule.by_day.iter().map(|day| name_of(day.weekday)).collect(),
    );
    set("index", (*index).into());
    Ok(())
}

fn range(rule: &Rule, start: EventTime) -> Value {
    let from = start.local().date().to_string();
    let zone = start.zone().unwrap_or(Tz::UTC);
    let last_day = |local: chrono::NaiveDateTime| {
        // On the day of `local`, the occurrence would begin after `local`.
        let is_before = !matches!(start, EventTime::Date(_))
            && local.time() < start.local().time()
            && local.time() != NaiveTime::MIN;
        let is_before = is_before
            || (local.time() == NaiveTime::MIN
                && start.local().time() != NaiveTime::MIN
                && !matches!(start, EventTime::Date(_)));
        local.date() - TimeDelta::days(i64::from(is_before))
    };
    match (rule.count, rule.until) {
        (Some(count), _) => {
            json!({ "type": "numbered", "startDate": from, "numberOfOccurrences": count })
        }
        (None, Some(until)) => {
            let end = match until {
                Until::Date(date) => date,
                Until::Local(local) => last_day(local),
                Until::Utc(utc) => last_day(utc.and_utc().with_timezone(&zone).naive_local()),
            };
            json!({ "type": "endDate", "startDate": from, "endDate": end.to_string() })
        }
        (None, None) => json!({ "type": "noEnd", "startDate": from }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> EventTime {
        "2026-03-02T09:00:00[Europe/Berlin]".parse().unwrap()
    }

    fn of(rule: &str) -> Series {
        Series {
            rules: vec![rule.parse().unwrap()],
            ..Series::default()
        }
    }

    #[test]
    fn rules_that_both_can_express_give_the_same_occurrences() {
        for (rule, kind) in [
            ("FREQ=DAILY", "daily"),
            ("FREQ=DAILY;INTERVAL=3;COUNT=7", "daily"),
            ("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "weekly"),
            ("FREQ=WEEKLY", "weekly"),
            (
                "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=SU;UNTIL=20261224T080000Z",
                "weekly",
            ),
            ("FREQ=MONTHLY", "absoluteMonthly"),
            ("FREQ=MONTHLY;BYMONTHDAY=2;INTERVAL=2", "absoluteMonthly"),
            ("FREQ=MONTHLY;BYDAY=1MO", "relativeMonthly"),
            (
                "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1",
                "relativeMonthly",
            ),
            ("FREQ=MONTHLY;BYDAY=MO", "weekly"),
            ("FREQ=YEARLY", "absoluteYearly"),
            (
                "FREQ=YEARLY;BYMONTH=3;BYDAY=1MO;UNTIL=20300101",
                "relativeYearly",
            ),
        ] {
            let made =
                patterned(&of(rule), start()).unwrap_or_else(|reason| panic!("{rule}: {reason}"));
            assert_eq!(made.recurrence["pattern"]["type"], kind, "{rule}");
            assert_eq!(
                starts(&pattern::series(&made.recurrence).unwrap(), start()),
                starts(&of(rule), start()),
                "{rule}"
            );
        }
        let last: EventTime = "2026-01-31".parse().unwrap();
        for rule in [
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1",
        ] {
            assert_eq!(
                patterned(&of(rule), last).unwrap().recurrence["pattern"]["dayOfMonth"],
                31,
                "{rule}"
            );
        }
    }

    #[test]
    fn what_microsoft_would_do_otherwise_is_refused_with_the_reason() {
        for rule in [
            "FREQ=HOURLY",
            "FREQ=DAILY;BYMONTH=3",
            "FREQ=MONTHLY;BYMONTHDAY=2,16",
            "FREQ=MONTHLY;BYMONTHDAY=31",
            "FREQ=MONTHLY;BYDAY=5MO",
            "FREQ=MONTHLY;BYDAY=-2MO",
            "FREQ=YEARLY;BYWEEKNO=10",
            "FREQ=YEARLY;BYMONTH=3,9",
            "FREQ=YEARLY;BYDAY=20MO",
            // The rule does not include the start.
            "FREQ=WEEKLY;BYDAY=FR",
            "FREQ=DAILY;BYHOUR=9,17",
        ] {
            assert!(patterned(&of(rule), start()).is_err(), "{rule}");
        }
        let more = Series {
            dates: vec![start().plus(TimeDelta::days(3))],
            ..of("FREQ=WEEKLY")
        };
        assert!(patterned(&more, start()).unwrap_err().contains("RDATE"));
    }

    #[test]
    fn exceptions_are_removed_one_by_one() {
        let skipped = start().plus(TimeDelta::days(7)).original_start();
        let made = patterned(
            &Series {
                except_dates: vec![skipped],
                ..of("FREQ=WEEKLY")
            },
            start(),
        )
        .unwrap();
        assert_eq!(made.removed, [skipped]);
    }

    #[test]
    fn a_pattern_that_nobody_knows_is_an_error() {
        assert!(
            pattern::series(
                &json!({ "pattern": { "type": "lunar" }, "range": { "type": "noEnd" } })
            )
            .is_err()
        );
        assert!(
            pattern::series(
                &json!({ "pattern": { "type": "absoluteMonthly", "interval": 1 }, "range": {} })
            )
            .is_err()
        );
    }
}
