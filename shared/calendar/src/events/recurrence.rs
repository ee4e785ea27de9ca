//! The `recurrence` object of the API, and its conversion to a recurrence rule (RFC 5545 3.3.10).

use calweave_domain::ids::OriginalStart;
use calweave_domain::recurrence::Series;
use calweave_domain::rule::{ByDay, Frequency, Rule, Until};
use calweave_domain::time::EventTime;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use chrono_tz::Tz;
use serde::Deserialize;
use utoipa::ToSchema;

/// The recurrence of an event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Recurrence {
    /// Frequency.
    frequency: Every,
    /// Interval between recurrences, in units of `frequency`; 1 to 999.
    #[serde(default = "one")]
    interval: u32,
    /// Weekdays, such as `MONDAY` or `MO`. Required for `WEEKLY`.
    #[serde(default, alias = "by_day")]
    by_day: Vec<String>,
    /// Whether the day of the month is given by its number or by a weekday.
    #[serde(default, alias = "month_day_type")]
    month_day_type: Option<MonthDay>,
    /// Day of the month, 1 to 31, or -1 for the last day. Required for `DAY_OF_MONTH`.
    #[serde(default, alias = "by_month_day")]
    by_month_day: Option<i8>,
    /// Position of the weekday in the month: 1 to 4, or -1 to -4 counted from the end. Required for `RELATIVE_DAY`.
    #[serde(default, alias = "by_set_pos")]
    by_set_pos: Option<i16>,
    /// Weekday, such as `MONDAY` or `MO`. Required for `RELATIVE_DAY`.
    #[serde(default, alias = "by_day_of_week")]
    by_day_of_week: Option<String>,
    /// Months, 1 to 12.
    #[serde(default, alias = "by_month")]
    by_month: Vec<u8>,
    /// How the recurrence ends. Derived from `endDate` or `count` if omitted.
    #[serde(default, alias = "end_type")]
    end_type: Option<End>,
    /// Last day, or last instant (RFC 3339). Required for `DATE`.
    #[serde(default, alias = "end_date")]
    end_date: Option<String>,
    /// Number of occurrences, 1 to 999. Required for `COUNT`.
    #[serde(default)]
    count: Option<u32>,
    /// Exception dates: starts of excluded occurrences, as dates or RFC 3339.
    #[serde(default, alias = "exception_dates")]
    exception_dates: Vec<String>,
}

fn one() -> u32 {
    1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Every {
    Daily,
    Weekly,
    Monthly,
    Yearly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum MonthDay {
    DayOfMonth,
    RelativeDay,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum End {
    Never,
    Date,
    Count,
}

/// The name of an invalid field, and the message.
type Wrong = (String, String);

fn wrong(field: &str, message: &str) -> Wrong {
    (format!("recurrence.{field}"), message.to_owned())
}

impl Recurrence {
    /// Returns the series that begins at `start`.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn series(self, start: EventTime) -> Result<Series, Wrong> {
        if !(1..=999).contains(&self.interval) {
            return Err(wrong("interval", "must be 1 to 999"));
        }
        let frequency = match self.frequency {
            Every::Daily => Frequency::Daily,
            Every::Weekly => Frequency::Weekly,
            Every::Monthly => Frequency::Monthly,
            Every::Yearly => Frequency::Yearly,
        };
        let (by_day, by_month_day) = self.days()?;
        if self.by_month.iter().any(|month| !(1..=12).contains(month)) {
            return Err(wrong("byMonth", "must contain months from 1 to 12"));
        }
        let (until, count) = self.end()?;
        let except_dates = self.exception_dates.iter();
        let except_dates: Option<_> = except_dates.map(|text| exception(text, start)).collect();
        let except_dates = except_dates
            .ok_or_else(|| wrong("exceptionDates", "must contain dates or RFC 3339 times"))?;
        let rule = Rule {
            interval: self.interval,
            count,
            until,
            by_day,
            by_month: self.by_month,
            by_month_day,
            ..Rule::every(frequency)
        };
        Ok(Series {
            rules: vec![rule],
            except_dates,
            ..Series::default()
        })
    }

    /// Returns `BYDAY` and `BYMONTHDAY`.
    fn days(&self) -> Result<(Vec<ByDay>, Vec<i8>), Wrong> {
        if self.frequency == Every::Weekly && self.by_day.is_empty() {
            return Err(wrong(
                "byDay",
                "must contain at least one weekday for WEEKLY",
            ));
        }
        let weekdays: Option<Vec<ByDay>> =
            self.by_day.iter().map(|name| weekday(name, 0)).collect();
        let weekdays =
            weekdays.ok_or_else(|| wrong("byDay", "must contain weekdays such as MONDAY or MO"))?;
        match self.month_day_type {
            Some(MonthDay::DayOfMonth) => {
                let is_day = |day: &i8| (1..=31).contains(day) || *day == -1;
                let day = self.by_month_day.filter(is_day);
                let missing = || wrong("byMonthDay", "must be 1 to 31, or -1 for the last day");
                Ok((weekdays, vec![day.ok_or_else(missing)?]))
            }
            Some(MonthDay::RelativeDay) => {
                let is_position = |nth: &i16| (-4..=4).contains(nth) && *nth != 0;
                let nth = self.by_set_pos.filter(is_position);
                let nth = nth.ok_or_else(|| wrong("bySetPos", "must be -4 to 4 and not 0"))?;
                let name = self.by_day_of_week.as_deref().unwrap_or_default();
                let unknown = || wrong("byDayOfWeek", "must be a weekday such as MONDAY or MO");
                Ok((vec![weekday(name, nth).ok_or_else(unknown)?], vec![]))
            }
            None => Ok((weekdays, vec![])),
        }
    }

    /// Returns `UNTIL` and `COUNT`.
    fn end(&self) -> Result<(Option<Until>, Option<u32>), Wrong> {
        let end_type = self.end_type.unwrap_or(match (&self.end_date, self.count) {
            (Some(_), _) => End::Date,
            (None, Some(_)) => End::Count,
            (None, None) => End::Never,
        });
        match end_type {
            End::Never => Ok((None, None)),
            End::Date => {
                let until = until(self.end_date.as_deref().unwrap_or_default());
                let until = until.ok_or_else(|| wrong("endDate", "must be a date or RFC 3339"))?;
                Ok((Some(until), None))
            }
            End::Count => {
                let count = self.count.filter(|count| (1..=999).contains(count));
                let count = count.ok_or_else(|| wrong("count", "must be 1 to 999"))?;
                Ok((None, Some(count)))
            }
        }
    }
}

fn weekday(name: &str, nth: i16) -> Option<ByDay> {
    Some(ByDay {
        nth,
        weekday: Rule::weekday(name)?,
    })
}

fn until(text: &str) -> Option<Until> {
    let date = || text.parse::<NaiveDate>().ok().map(Until::Date);
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|at| Until::Utc(at.naive_utc()))
        .or_else(date)
}

fn exception(text: &str, start: EventTime) -> Option<OriginalStart> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(OriginalStart::Date(date));
    }
    let zone = start.zone().unwrap_or(Tz::UTC);
    let at = match DateTime::parse_from_rfc3339(text) {
        Ok(at) => at.with_timezone(&zone).naive_local(),
        Err(_) => NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").ok()?,
    };
    Some(start.with_local(at).original_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(body: &str) -> Result<String, Wrong> {
        let recurrence: Recurrence = serde_json::from_str(body).unwrap();
        recurrence
            .series("2026-03-02T09:00:00[Europe/Berlin]".parse().unwrap())
            .map(|series| series.rules[0].to_string())
    }

    #[test]
    fn weekdays_are_read_in_both_spellings() {
        assert_eq!(
            rule(r#"{"frequency":"WEEKLY","byDay":["MONDAY","fr"]}"#),
            Ok("FREQ=WEEKLY;BYDAY=MO,FR".into())
        );
        let last = r#"{"frequency":"MONTHLY","monthDayType":"RELATIVE_DAY","bySetPos":-1,"byDayOfWeek":"Friday","endType":"COUNT","count":3}"#;
        assert_eq!(rule(last), Ok("FREQ=MONTHLY;COUNT=3;BYDAY=-1FR".into()));
        let date = r#"{"frequency":"DAILY","interval":2,"endType":"DATE","endDate":"2026-05-01"}"#;
        assert_eq!(
            rule(date),
            Ok("FREQ=DAILY;INTERVAL=2;UNTIL=20260501".into())
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let field = |body: &str| rule(body).unwrap_err().0;
        assert_eq!(field(r#"{"frequency":"WEEKLY"}"#), "recurrence.byDay");
        assert_eq!(
            field(r#"{"frequency":"WEEKLY","byDay":["MOON"]}"#),
            "recurrence.byDay"
        );
        assert_eq!(
            field(r#"{"frequency":"DAILY","interval":0}"#),
            "recurrence.interval"
        );
        assert_eq!(
            field(r#"{"frequency":"MONTHLY","monthDayType":"DAY_OF_MONTH","byMonthDay":32}"#),
            "recurrence.byMonthDay"
        );
        assert_eq!(
            field(r#"{"frequency":"DAILY","endType":"DATE"}"#),
            "recurrence.endDate"
        );
    }
}
