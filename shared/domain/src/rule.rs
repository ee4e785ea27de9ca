//! Recurrence rules (RFC 5545 3.3.10): parsed leniently, written canonically.

use std::cmp::Ordering;
use std::fmt;
use std::sync::OnceLock;

use chrono::{NaiveDate, NaiveDateTime, Weekday};

use super::rule_parser::lookup;

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

pub(super) const FREQUENCIES: [(&str, Frequency); 7] = [
    ("SECONDLY", Frequency::Secondly),
    ("MINUTELY", Frequency::Minutely),
    ("HOURLY", Frequency::Hourly),
    ("DAILY", Frequency::Daily),
    ("WEEKLY", Frequency::Weekly),
    ("MONTHLY", Frequency::Monthly),
    ("YEARLY", Frequency::Yearly),
];

pub(super) const WEEKDAYS: [(&str, Weekday); 7] = [
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

/// Maximum length of a rule in its canonical form, in bytes.
pub const MAX_RULE: usize = 1024;

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
    /// Where `COUNT` ends the rule, as far as it is known.
    pub count_end: CountEnd,
}

/// The last start of a rule with `COUNT`, computed once for one start. It follows from the rule, so all are equal.
#[derive(Clone, Debug, Default)]
pub struct CountEnd(pub(super) OnceLock<(NaiveDateTime, NaiveDateTime)>);

impl PartialEq for CountEnd {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CountEnd {}

/// Why a text is not a valid recurrence rule.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidRule {
    /// `FREQ` is missing.
    #[error("the rule has no FREQ")]
    NoFrequency,
    /// The rule is longer than [`MAX_RULE`].
    #[error("the rule is longer than {MAX_RULE} bytes")]
    TooLong,
    /// The rule would take too long to evaluate ([`Series::is_too_costly`](super::recurrence::Series::is_too_costly)).
    #[error("the rule takes too long to evaluate")]
    TooCostly,
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
            count_end: CountEnd::default(),
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

fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> &'static str {
    table
        .iter()
        .find(|(_, known)| known == value)
        .map_or("", |(name, _)| name)
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

impl Ord for ByDay {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |day: &Self| (day.nth, day.weekday.num_days_from_monday());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for ByDay {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
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
    fn lists_are_sets() {
        let rule: Rule = "FREQ=DAILY;BYHOUR=9,0,9,,23,9;BYDAY=FR,MO,FR"
            .parse()
            .unwrap();
        assert_eq!(rule.to_string(), "FREQ=DAILY;BYDAY=MO,FR;BYHOUR=0,9,23");
        let all: Vec<String> = (0..=59).map(|second| second.to_string()).collect();
        let often = [all.join(","), all.join(","), all.join(",")].join(",");
        let rule: Rule = format!("FREQ=DAILY;BYSECOND={often}").parse().unwrap();
        assert_eq!(rule.by_second.len(), 60);
        let days: Vec<String> = (1..=366).map(|day| day.to_string()).collect();
        let long = format!("FREQ=YEARLY;BYYEARDAY={}", days.join(","));
        assert_eq!(long.parse::<Rule>(), Err(InvalidRule::TooLong));
    }

    #[test]
    fn slips_of_the_pen_cost_what_they_spoil() {
        for (written, read) in [
            ("FREQ=WEEKLY;BYDAY=MO;TU", "FREQ=WEEKLY;BYDAY=MO,TU"),
            (
                " FREQ = weekly ; ;BYDAY= MO , TU,;",
                "FREQ=WEEKLY;BYDAY=MO,TU",
            ),
            (
                "FREQ=MONTHLY;BYDAY=1 MO,+2 TU",
                "FREQ=MONTHLY;BYDAY=1MO,2TU",
            ),
            ("FREQ=WEEKLY;BYDAY=MO,XX", "FREQ=WEEKLY;BYDAY=MO"),
            (
                "FREQ=DAILY;UNTIL=2026-12-31T23:59:59Z",
                "FREQ=DAILY;UNTIL=20261231T235959Z",
            ),
            ("FREQ=DAILY;UNTIL=2026-12-31", "FREQ=DAILY;UNTIL=20261231"),
            ("FREQ=DAILY;X-PART;NONSENSE=1", "FREQ=DAILY"),
        ] {
            let (rule, _) = Rule::parse_leniently(written).unwrap();
            assert_eq!(rule.to_string(), read, "{written}");
        }
        let (_, slips) = Rule::parse_leniently("FREQ=WEEKLY;BYDAY=MO,XX").unwrap();
        assert_eq!(slips[0].to_string(), "the rule's BYDAY is not valid: XX");
        // Without any of the list, the rule would mean something else.
        for bad in ["FREQ=WEEKLY;BYDAY=XX", "FREQ=DAILY;COUNT=many", "BYDAY=MO"] {
            assert!(Rule::parse_leniently(bad).is_err(), "{bad}");
        }
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
