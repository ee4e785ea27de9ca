//! Recurrence rules (RFC 5545 3.3.10): parsed leniently, written canonically.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, Weekday};

/// `FREQ`: the unit in which a rule repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frequency {
    /// `SECONDLY`
    Secondly,
    /// `MINUTELY`
    Minutely,
    /// `HOURLY`
    Hourly,
    /// `DAILY`
    Daily,
    /// `WEEKLY`
    Weekly,
    /// `MONTHLY`
    Monthly,
    /// `YEARLY`
    Yearly,
}

const FREQUENCIES: [(&str, Frequency); 7] = [
    ("SECONDLY", Frequency::Secondly),
    ("MINUTELY", Frequency::Minutely),
    ("HOURLY", Frequency::Hourly),
    ("DAILY", Frequency::Daily),
    ("WEEKLY", Frequency::Weekly),
    ("MONTHLY", Frequency::Monthly),
    ("YEARLY", Frequency::Yearly),
];

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Mon),
    ("TU", Weekday::Tue),
    ("WE", Weekday::Wed),
    ("TH", Weekday::Thu),
    ("FR", Weekday::Fri),
    ("SA", Weekday::Sat),
    ("SU", Weekday::Sun),
];

const WEEKDAY_NAMES: [(&str, Weekday); 7] = [
    ("MONDAY", Weekday::Mon),
    ("TUESDAY", Weekday::Tue),
    ("WEDNESDAY", Weekday::Wed),
    ("THURSDAY", Weekday::Thu),
    ("FRIDAY", Weekday::Fri),
    ("SATURDAY", Weekday::Sat),
    ("SUNDAY", Weekday::Sun),
];

/// `UNTIL`: the inclusive end of a rule. Real feeds use all three forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// A date: the whole day, in the event's zone.
    Date(NaiveDate),
    /// A wall-clock time in the event's zone.
    Local(NaiveDateTime),
    /// An instant, in UTC.
    Utc(NaiveDateTime),
}

/// An entry of `BYDAY`: a weekday, and its position in the month or year (`-1FR`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByDay {
    /// Position counted from the start (positive) or the end (negative); 0 for every such weekday.
    pub nth: i16,
    /// The weekday.
    pub weekday: Weekday,
}

/// A recurrence rule: the value of one `RRULE` or `EXRULE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `FREQ`
    pub frequency: Frequency,
    /// `INTERVAL`, at least 1.
    pub interval: u32,
    /// `COUNT`, at least 1.
    pub count: Option<u32>,
    /// `UNTIL`, inclusive.
    pub until: Option<Until>,
    /// `WKST`, by default Monday.
    pub week_start: Weekday,
    /// `BYDAY`
    pub by_day: Vec<ByDay>,
    /// `BYMONTH`, 1 to 12.
    pub by_month: Vec<u8>,
    /// `BYMONTHDAY`, ±1 to ±31.
    pub by_month_day: Vec<i8>,
    /// `BYYEARDAY`, ±1 to ±366.
    pub by_year_day: Vec<i16>,
    /// `BYWEEKNO`, ±1 to ±53.
    pub by_week_no: Vec<i8>,
    /// `BYHOUR`, 0 to 23.
    pub by_hour: Vec<u8>,
    /// `BYMINUTE`, 0 to 59.
    pub by_minute: Vec<u8>,
    /// `BYSECOND`, 0 to 59; a leap second is read as 59.
    pub by_second: Vec<u8>,
    /// `BYSETPOS`, ±1 to ±366.
    pub by_set_pos: Vec<i32>,
}

/// Why a text is not a valid recurrence rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidRule {
    /// `FREQ` is missing.
    #[error("the rule has no FREQ")]
    NoFrequency,
    /// A part has a value that RFC 5545 does not allow.
    #[error("the rule's {part} is not valid: {value}")]
    Part {
        /// Name of the part.
        part: String,
        /// Value of the part, cut to 40 characters.
        value: String,
    },
}

impl Rule {
    /// Creates a rule that repeats with this frequency, at an interval of 1 and without an end.
    pub fn every(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            count: None,
            until: None,
            week_start: Weekday::Mon,
            by_day: vec![],
            by_month: vec![],
            by_month_day: vec![],
            by_year_day: vec![],
            by_week_no: vec![],
            by_hour: vec![],
            by_minute: vec![],
            by_second: vec![],
            by_set_pos: vec![],
        }
    }

    /// Parses a weekday, in any case: `MO`, as in `BYDAY`, or `MONDAY`.
    pub fn weekday(name: &str) -> Option<Weekday> {
        let name = name.trim().to_ascii_uppercase();
        lookup(&WEEKDAYS, &name).or_else(|| lookup(&WEEKDAY_NAMES, &name))
    }

    /// Returns the full name of a weekday: `MONDAY`.
    pub fn weekday_name(weekday: Weekday) -> &'static str {
        name_of(&WEEKDAY_NAMES, &weekday)
    }
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        let upper = text.trim().to_ascii_uppercase();
        let mut frequency = None;
        let mut rule = Self::every(Frequency::Daily);
        for part in upper.trim_start_matches("RRULE:").split(';') {
            let Some((name, value)) = part.split_once('=') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            let invalid = || InvalidRule::Part {
                part: name.to_owned(),
                value: value.chars().take(40).collect::<String>(),
            };
            match name {
                "FREQ" => frequency = Some(lookup(&FREQUENCIES, value).ok_or_else(invalid)?),
                "INTERVAL" => {
                    rule.interval = value.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?;
                }
                "COUNT" => {
                    rule.count = Some(value.parse().ok().filter(|n| *n > 0).ok_or_else(invalid)?);
                }
                "UNTIL" => rule.until = Some(until(value).ok_or_else(invalid)?),
                "WKST" => rule.week_start = lookup(&WEEKDAYS, value).ok_or_else(invalid)?,
                "BYDAY" => {
                    rule.by_day = value
                        .split(',')
                        .map(by_day)
                        .collect::<Option<_>>()
                        .ok_or_else(invalid)?;
                }
                "BYMONTH" => rule.by_month = numbers(value, 1, 12).ok_or_else(invalid)?,
                "BYMONTHDAY" => rule.by_month_day = signed(value, 31).ok_or_else(invalid)?,
                "BYYEARDAY" => rule.by_year_day = signed(value, 366).ok_or_else(invalid)?,
                "BYWEEKNO" => rule.by_week_no = signed(value, 53).ok_or_else(invalid)?,
                "BYHOUR" => rule.by_hour = numbers(value, 0, 23).ok_or_else(invalid)?,
                "BYMINUTE" => rule.by_minute = numbers(value, 0, 59).ok_or_else(invalid)?,
                "BYSECOND" => {
                    rule.by_second = numbers::<u8>(value, 0, 60).ok_or_else(invalid)?;
                    rule.by_second
                        .iter_mut()
                        .for_each(|second| *second = (*second).min(59));
                }
                "BYSETPOS" => rule.by_set_pos = signed(value, 366).ok_or_else(invalid)?,
                _ => {}
            }
        }
        rule.frequency = frequency.ok_or(InvalidRule::NoFrequency)?;
        if !matches!(rule.frequency, Frequency::Monthly | Frequency::Yearly)
            || !rule.by_week_no.is_empty()
        {
            // A number before a weekday has no meaning here (RFC 5545 3.3.10), so it is ignored.
            rule.by_day.iter_mut().for_each(|day| day.nth = 0);
        }
        Ok(rule)
    }
}

fn lookup<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table
        .iter()
        .find(|(_, known)| known == value)
        .map_or("", |(name, _)| name)
}

fn numbers<T: TryFrom<i32>>(value: &str, min: i32, max: i32) -> Option<Vec<T>> {
    let one = |text: &str| {
        let number: i32 = text.trim().parse().ok()?;
        (min..=max)
            .contains(&number)
            .then(|| T::try_from(number).ok())
            .flatten()
    };
    value
        .split(',')
        .filter(|text| !text.is_empty())
        .map(one)
        .collect()
}

fn signed<T: TryFrom<i32> + PartialEq + Default>(value: &str, max: i32) -> Option<Vec<T>> {
    let list = numbers(value, -max, max)?;
    (!list.contains(&T::default())).then_some(list)
}

fn by_day(text: &str) -> Option<ByDay> {
    let text = text.trim();
    let at = text
        .len()
        .checked_sub(2)
        .filter(|at| text.is_char_boundary(*at))?;
    let (nth, name) = text.split_at(at);
    let nth = if nth.is_empty() {
        0
    } else {
        nth.parse()
            .ok()
            .filter(|n| (-53..=53).contains(n) && *n != 0)?
    };
    Some(ByDay {
        nth,
        weekday: lookup(&WEEKDAYS, name)?,
    })
}

fn until(text: &str) -> Option<Until> {
    let local = |text: &str| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok();
    match text.strip_suffix('Z') {
        Some(utc) => local(utc).map(Until::Utc),
        None if text.contains('T') => local(text).map(Until::Local),
        None => NaiveDate::parse_from_str(text, "%Y%m%d")
            .ok()
            .map(Until::Date),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FREQ={}", name_of(&FREQUENCIES, &self.frequency))?;
        if self.interval != 1 {
            write!(f, ";INTERVAL={}", self.interval)?;
        }
        match self.until {
            Some(Until::Date(date)) => write!(f, ";UNTIL={}", date.format("%Y%m%d"))?,
            Some(Until::Local(at)) => write!(f, ";UNTIL={}", at.format("%Y%m%dT%H%M%S"))?,
            Some(Until::Utc(at)) => write!(f, ";UNTIL={}Z", at.format("%Y%m%dT%H%M%S"))?,
            None => {}
        }
        if let Some(count) = self.count {
            write!(f, ";COUNT={count}")?;
        }
        list(f, "BYMONTH", &self.by_month)?;
        list(f, "BYWEEKNO", &self.by_week_no)?;
        list(f, "BYYEARDAY", &self.by_year_day)?;
        list(f, "BYMONTHDAY", &self.by_month_day)?;
        list(f, "BYDAY", &self.by_day)?;
        list(f, "BYHOUR", &self.by_hour)?;
        list(f, "BYMINUTE", &self.by_minute)?;
        list(f, "BYSECOND", &self.by_second)?;
        list(f, "BYSETPOS", &self.by_set_pos)?;
        if self.week_start != Weekday::Mon {
            write!(f, ";WKST={}", name_of(&WEEKDAYS, &self.week_start))?;
        }
        Ok(())
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, values: &[T]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        match index {
            0 => write!(f, ";{name}={value}")?,
            _ => write!(f, ",{value}")?,
        }
    }
    Ok(())
}

impl fmt::Display for ByDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nth != 0 {
            write!(f, "{}", self.nth)?;
        }
        f.write_str(name_of(&WEEKDAYS, &self.weekday))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_leniently_and_written_canonically() {
        let rule: Rule = "freq=monthly;wkst=SU;byday=-1fr;interval=02;X-ODD=1;count=5;"
            .parse()
            .unwrap();
        assert_eq!(
            rule.to_string(),
            "FREQ=MONTHLY;INTERVAL=2;COUNT=5;BYDAY=-1FR;WKST=SU"
        );
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }

    #[test]
    fn a_rule_that_means_nothing_says_which_part() {
        assert_eq!("COUNT=3".parse::<Rule>(), Err(InvalidRule::NoFrequency));
        for bad in [
            "INTERVAL=0",
            "COUNT=0",
            "BYMONTHDAY=0",
            "BYDAY=é",
            "BYDAY=99MO",
            "UNTIL=never",
            "BYMONTH=13",
        ] {
            let error = format!("FREQ=DAILY;{bad}").parse::<Rule>().unwrap_err();
            assert!(
                error.to_string().contains(bad.split('=').next().unwrap()),
                "{error}"
            );
        }
    }
}
