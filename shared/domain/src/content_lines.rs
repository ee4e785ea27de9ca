//! A recurrence as the content lines of iCalendar (RFC 5545 3.8.5).

use chrono::{NaiveDateTime, TimeDelta};

use super::generator::Generator;
use super::ids::OriginalStart;
use super::recurrence::Series;
use super::rule::{Rule, Until};
use super::time::EventTime;
use super::work::Work;

const DATE: &str = "%Y%m%d";
const LOCAL: &str = "%Y%m%dT%H%M%S";
const UTC: &str = "%Y%m%dT%H%M%SZ";

impl Series {
    /// Returns the `RRULE`, `EXRULE`, `RDATE` and `EXDATE` lines of a series that begins at `start`. Overridden occurrences
    /// are not among them. Returns `None` for the later part of a split series, and for a series in a zone that only its feed
    /// defines: their occurrences are not those of any such lines.
    pub fn content_lines(&self, start: EventTime) -> Option<Vec<String>> {
        if self.begins_at.is_some() || self.shift_seconds != 0 || self.own_zone.is_some() {
            return None;
        }
        let last = |rule: &Rule| {
            let before = self.ends_before? - TimeDelta::seconds(1);
            let is_endless = rule.until.is_none() && rule.count.is_none();
            let last = Generator::new(rule, start).last(&mut Work::one_rule());
            let last = last.filter(|_| !is_endless);
            Some(last.map_or(before, |last| last.min(before)))
        };
        let rules = self.rules.iter().map(|rule| match last(rule) {
            Some(last) => format!("RRULE:{}", ended_at(rule, last, start)),
            None => format!("RRULE:{rule}"),
        });
        let except = self
            .except_rules
            .iter()
            .map(|rule| format!("EXRULE:{rule}"));
        let dates = self.dates.iter().map(|date| match date {
            EventTime::Date(date) => format!("RDATE;VALUE=DATE:{}", date.format(DATE)),
            EventTime::Floating(local) => format!("RDATE:{}", local.format(LOCAL)),
            EventTime::Zoned(..) => format!("RDATE:{}", date.instant(chrono_tz::UTC).format(UTC)),
        });
        let except_dates = self.except_dates.iter().map(|date| match date {
            OriginalStart::Date(date) => format!("EXDATE;VALUE=DATE:{}", date.format(DATE)),
            OriginalStart::Instant(at) => format!("EXDATE:{}", at.format(UTC)),
            OriginalStart::Floating(local) => match start.zone() {
                Some(zone) => format!("EXDATE;TZID={}:{}", zone.name(), local.format(LOCAL)),
                None => format!("EXDATE:{}", local.format(LOCAL)),
            },
        });
        Some(
            rules
                .chain(except)
                .chain(dates)
                .chain(except_dates)
                .collect(),
        )
    }
}

/// Returns the rule with an end at this wall-clock time, inclusive.
fn ended_at(rule: &Rule, last: NaiveDateTime, start: EventTime) -> Rule {
    let until = match start {
        EventTime::Date(_) => Until::Date(last.date()),
        EventTime::Floating(_) => Until::Local(last),
        EventTime::Zoned(..) => {
            Until::Utc(start.with_local(last).instant(chrono_tz::UTC).naive_utc())
        }
    };
    Rule {
        until: Some(until),
        count: None,
        ..rule.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_says_where_the_part_before_a_split_ends() {
        let start = EventTime::Zoned(
            "2026-03-02T09:00:00".parse().unwrap(),
            chrono_tz::Europe::Berlin,
        );
        let mut series = Series {
            rules: vec!["FREQ=WEEKLY;COUNT=10".parse().unwrap()],
            except_dates: vec![OriginalStart::Date("2026-03-09".parse().unwrap())],
            ..Series::default()
        };
        let exception = "EXDATE;VALUE=DATE:20260309";
        let lines = |series: &Series| series.content_lines(start).unwrap();
        assert_eq!(lines(&series), ["RRULE:FREQ=WEEKLY;COUNT=10", exception]);
        series.ends_before = Some("2026-03-30T00:00:00".parse().unwrap());
        assert_eq!(
            lines(&series),
            ["RRULE:FREQ=WEEKLY;UNTIL=20260329T215959Z", exception]
        );
        series.begins_at = Some("2026-03-16T00:00:00".parse().unwrap());
        assert_eq!(series.content_lines(start), None);
    }
}
