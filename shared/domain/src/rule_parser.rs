//! Reads recurrence rules: as RFC 5545 has them, and as feeds write them.

use std::str::FromStr;

use chrono::{Datelike, NaiveDate, NaiveDateTime};

use super::rule::{ByDay, FREQUENCIES, Frequency, InvalidRule, MAX_RULE, Rule, Until, WEEKDAYS};

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        read(text, None)
    }
}

impl Rule {
    /// Parses a rule as feeds write them: list items that are not valid are left out, as long as one of their list is.
    /// Returns what was left out.
    ///
    /// # Errors
    /// As [`FromStr`]: a part that is not valid as a whole, because the rule would mean something else without it.
    pub fn parse_leniently(text: &str) -> Result<(Self, Vec<InvalidRule>), InvalidRule> {
        let mut slips = Vec::new();
        let rule = read(text, Some(&mut slips))?;
        Ok((rule, slips))
    }
}

/// Reads a rule. List items that are not valid are added to `slips`; without `slips`, they are an error.
fn read(text: &str, mut slips: Option<&mut Vec<InvalidRule>>) -> Result<Rule, InvalidRule> {
    let upper = text.trim().to_ascii_uppercase();
    let mut frequency = None;
    let mut rule = Rule::every(Frequency::Daily);
    for (name, value) in parts(upper.trim_start_matches("RRULE:")) {
        let value = value.trim().trim_matches('"').trim();
        let invalid = |value: &str| InvalidRule::Part {
            part: name.to_owned(),
            value: value.chars().take(40).collect::<String>(),
        };
        let positive = || value.parse().ok().filter(|number: &u32| *number > 0);
        let mut list = List {
            value,
            invalid: &invalid,
            slips: slips.as_deref_mut(),
        };
        match name {
            "FREQ" => frequency = Some(lookup(&FREQUENCIES, value).ok_or_else(|| invalid(value))?),
            "INTERVAL" => rule.interval = positive().ok_or_else(|| invalid(value))?,
            "COUNT" => rule.count = Some(positive().ok_or_else(|| invalid(value))?),
            "UNTIL" => rule.until = Some(until(value).ok_or_else(|| invalid(value))?),
            "WKST" => rule.week_start = lookup(&WEEKDAYS, value).ok_or_else(|| invalid(value))?,
            "BYDAY" | "BYWEEKDAY" => rule.by_day = list.read(by_day)?,
            "BYMONTH" => rule.by_month = list.read(|text| number(text, 1, 12))?,
            "BYMONTHDAY" => rule.by_month_day = list.read(|text| signed(text, 31))?,
            "BYYEARDAY" => rule.by_year_day = list.read(|text| signed(text, 366))?,
            "BYWEEKNO" => rule.by_week_no = list.read(|text| signed(text, 53))?,
            "BYHOUR" => rule.by_hour = list.read(|text| number(text, 0, 23))?,
            "BYMINUTE" => rule.by_minute = list.read(|text| number(text, 0, 59))?,
            "BYSECOND" => {
                rule.by_second =
                    list.read(|text| number(text, 0, 60).map(|one: u8| one.min(59)))?;
            }
            "BYSETPOS" => rule.by_set_pos = list.read(|text| signed(text, 366))?,
            _ => {}
        }
    }
    // Microsoft's way to say that there is no end.
    let is_year_one = |until: &Until| match until {
        Until::Date(date) => date.year() == 1,
        Until::Local(at) | Until::Utc(at) => at.year() == 1,
    };
    rule.until = rule.until.filter(|until| !is_year_one(until));
    rule.frequency = frequency.ok_or(InvalidRule::NoFrequency)?;
    if !matches!(rule.frequency, Frequency::Monthly | Frequency::Yearly)
        || !rule.by_week_no.is_empty()
    {
        // A number before a weekday has no meaning here (RFC 5545 3.3.10), so it is ignored.
        rule.by_day.iter_mut().for_each(|day| day.nth = 0);
        rule.by_day.dedup();
    }
    if rule.to_string().len() > MAX_RULE {
        return Err(InvalidRule::TooLong);
    }
    Ok(rule)
}

/// Returns the names and values of a rule's parts. A value without a name belongs to the list before it: some producers
/// write `BYDAY=MO;TU`.
fn parts(text: &str) -> Vec<(&str, String)> {
    let mut parts: Vec<(&str, String)> = Vec::new();
    for part in text.split(';') {
        match (part.split_once('='), parts.last_mut()) {
            (Some((name, value)), _) => parts.push((name.trim(), value.to_owned())),
            (None, Some((name, list))) if name.starts_with("BY") => {
                list.push(',');
                list.push_str(part);
            }
            (None, _) => {}
        }
    }
    parts
}

/// The value of a `BY…` part: a list, in which neither order nor repetition has a meaning.
struct List<'a> {
    value: &'a str,
    invalid: &'a dyn Fn(&str) -> InvalidRule,
    slips: Option<&'a mut Vec<InvalidRule>>,
}

impl List<'_> {
    /// Reads the items: sorted, each once. Empty ones are skipped.
    fn read<T: Ord>(&mut self, one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, InvalidRule> {
        let items = self.value.split(',').map(str::trim);
        let mut read = Vec::new();
        let mut left_out = Vec::new();
        for item in items.filter(|item| !item.is_empty()) {
            match one(item) {
                Some(value) => read.push(value),
                None => left_out.push(item),
            }
        }
        match (&mut self.slips, left_out.first()) {
            (Some(slips), Some(item)) if !read.is_empty() => slips.push((self.invalid)(item)),
            (_, Some(_)) => return Err((self.invalid)(self.value)),
            _ => {}
        }
        read.sort_unstable();
        read.dedup();
        Ok(read)
    }
}

pub(super) fn lookup<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

fn number<T: TryFrom<i32>>(text: &str, min: i32, max: i32) -> Option<T> {
    let number: i32 = text.parse().ok()?;
    T::try_from(number)
        .ok()
        .filter(|_| (min..=max).contains(&number))
}

fn signed<T: TryFrom<i32> + PartialEq + Default>(text: &str, max: i32) -> Option<T> {
    number(text, -max, max).filter(|number| *number != T::default())
}

fn by_day(text: &str) -> Option<ByDay> {
    let at = text
        .len()
        .checked_sub(2)
        .filter(|at| text.is_char_boundary(*at))?;
    let (nth, name) = text.split_at(at);
    let nth = nth.trim();
    let nth = if nth.is_empty() {
        0
    } else {
        nth.parse().ok().filter(|n| (-53..=53).contains(n))?
    };
    Some(ByDay {
        nth,
        weekday: lookup(&WEEKDAYS, name)?,
    })
}

/// Reads a date or time, also in the extended form of ISO 8601 (`2026-12-31T23:59:59Z`), and without seconds.
fn until(text: &str) -> Option<Until> {
    let text: String = text.chars().filter(|c| !"-: ".contains(*c)).collect();
    let local = |text: &str| {
        let with_seconds = NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M%S").ok();
        with_seconds.or_else(|| NaiveDateTime::parse_from_str(text, "%Y%m%dT%H%M").ok())
    };
    match text.strip_suffix('Z') {
        Some(utc) => local(utc).map(Until::Utc),
        None if text.contains('T') => local(&text).map(Until::Local),
        None => NaiveDate::parse_from_str(&text, "%Y%m%d")
            .ok()
            .map(Until::Date),
    }
}
