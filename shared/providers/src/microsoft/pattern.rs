//! Parses a `patternedRecurrence`
//! (<https://learn.microsoft.com/graph/api/resources/patternedrecurrence>) into a recurrence rule.

use calweave_domain::recurrence::Series;
use calweave_domain::rule::{ByDay, Frequency, Rule, Until};
use chrono::{NaiveDate, Weekday};
use serde_json::Value;

pub(super) const DAYS: [(&str, Weekday); 7] = [
    ("sunday", Weekday::Sun),
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
];

pub(super) const INDEXES: [(&str, i16); 5] = [
    ("first", 1),
    ("second", 2),
    ("third", 3),
    ("fourth", 4),
    ("last", -1),
];

/// The last day of the month that exists in every month.
pub(super) const COMMON: i8 = 28;

/// Parses a `patternedRecurrence`, `{ pattern, range }`, into a series with one rule.
///
/// # Errors
/// Returns a description of the part that is missing or unknown.
pub fn series(value: &Value) -> Result<Series, String> {
    let (pattern, range) = (&value["pattern"], &value["range"]);
    let mut rule = rule(pattern)?;
    let missing = |what: &str| format!("a range without {what}");
    match range["type"].as_str() {
        Some("endDate") => {
            let date = range["endDate"].as_str();
            let date = date.and_then(|text| text.parse::<NaiveDate>().ok());
            rule.until = Some(Until::Date(date.ok_or_else(|| missing("endDate"))?));
        }
        Some("numbered") => {
            let count = number(range, "numberOfOccurrences");
            rule.count = Some(count.ok_or_else(|| missing("numberOfOccurrences"))?);
        }
        _ => {}
    }
    Ok(Series {
        rules: vec![rule],
        ..Series::default()
    })
}

fn rule(pattern: &Value) -> Result<Rule, String> {
    let kind = pattern["type"].as_str().unwrap_or_default();
    let missing = |what: &str| format!("a {kind} pattern without {what}");
    let mut rule = Rule::every(match kind {
        "daily" => Frequency::Daily,
        "weekly" => Frequency::Weekly,
        "absoluteMonthly" | "relativeMonthly" => Frequency::Monthly,
        "absoluteYearly" | "relativeYearly" => Frequency::Yearly,
        other => return Err(format!("the pattern {other:?}")),
    });
    rule.interval = number(pattern, "interval").unwrap_or(1);
    match kind {
        "weekly" => {
            let first = pattern["firstDayOfWeek"].as_str();
            rule.week_start = first.and_then(weekday).unwrap_or(Weekday::Sun);
            rule.by_day = days(pattern, 0);
        }
        "absoluteMonthly" | "absoluteYearly" => {
            let day = number(pattern, "dayOfMonth").filter(|day| (1..=31).contains(day));
            let day = day.ok_or_else(|| missing("dayOfMonth"))?;
            // In a month that is too short, Microsoft uses the last day of the month.
            (rule.by_month_day, rule.by_set_pos) = if day > COMMON {
                ((COMMON..=day).collect(), vec![-1])
            } else {
                (vec![day], vec![])
            };
        }
        "relativeMonthly" | "relativeYearly" => {
            let index = INDEXES.iter().find(|(name, _)| pattern["index"] == *name);
            let index = index.map_or(1, |(_, index)| *index);
            rule.by_day = match days(pattern, index) {
                none if none.is_empty() => return Err(missing("daysOfWeek")),
                one if one.len() == 1 => one,
                _ => {
                    rule.by_set_pos = vec![i32::from(index)];
                    days(pattern, 0)
                }
            };
        }
        _ => {}
    }
    if rule.frequency == Frequency::Yearly {
        let month = number(pattern, "month").filter(|month| (1..=12).contains(month));
        rule.by_month = vec![month.ok_or_else(|| missing("month"))?];
    }
    Ok(rule)
}

/// The named property, if it is a positive number that fits into `T`.
fn number<T: TryFrom<i64>>(value: &Value, name: &str) -> Option<T> {
    let number = value[name].as_i64().filter(|number| *number > 0);
    number.and_then(|number| T::try_from(number).ok())
}

fn days(pattern: &Value, nth: i16) -> Vec<ByDay> {
    let names = pattern["daysOfWeek"].as_array().into_iter().flatten();
    let weekdays = names.filter_map(|name| weekday(name.as_str()?));
    weekdays.map(|weekday| ByDay { nth, weekday }).collect()
}

fn weekday(name: &str) -> Option<Weekday> {
    DAYS.iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, weekday)| *weekday)
}
