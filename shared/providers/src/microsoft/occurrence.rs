//! Determines which occurrence of a series an exception or a cancellation belongs to.

use calweave_domain::ids::OriginalStart;
use calweave_domain::recurrence::Series;
use calweave_domain::time::{EventTime, to_instant};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use super::read::local;

/// Returns the start that the rule of a series gives an exception. Graph returns it as an instant
/// in UTC (`originalStart`) and as a date (in `occurrenceId`). Either may be missing. `start` is
/// the start of the series or of any of its occurrences. `zone` is the mailbox's zone.
///
/// For an all-day series the date is reliable, while `originalStart` may be midnight of any zone
/// (microsoft-graph-docs#2804).
pub(super) fn original_start(
    item: &Value,
    start: EventTime,
    rule: Option<&Series>,
    zone: Tz,
) -> Option<OriginalStart> {
    let named = item["occurrenceId"].as_str().and_then(date_of);
    let named = named.map(|date| on_date(start, date));
    let instant = item["originalStart"].as_str().and_then(instant);
    match start {
        EventTime::Date(_) => named.or_else(|| {
            let date = nearest_date(start, rule, instant?, zone);
            Some(OriginalStart::Date(date))
        }),
        EventTime::Zoned(_, own) => {
            let at = instant.map(|at| EventTime::at(at, own).original_start());
            at.or(named)
        }
        EventTime::Floating(_) => named,
    }
}

/// The cancelled occurrences of a series that begins at `start`. The id of each ends in its date.
pub(super) fn cancelled(item: &Value, start: EventTime) -> Vec<OriginalStart> {
    let names = item["cancelledOccurrences"]
        .as_array()
        .into_iter()
        .flatten();
    let dates = names.filter_map(|name| date_of(name.as_str()?));
    dates.map(|date| on_date(start, date)).collect()
}

/// An instant, with an offset or in UTC (davmail#481).
fn instant(text: &str) -> Option<DateTime<Utc>> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(at) => Some(at.to_utc()),
        Err(_) => local(text).map(|at| at.and_utc()),
    }
}

/// The date in an occurrence id, `OID.{series}.{date}`.
fn date_of(name: &str) -> Option<NaiveDate> {
    name.rsplit('.').next()?.parse().ok()
}

/// The occurrence on `date` of a series that begins at `start`.
fn on_date(start: EventTime, date: NaiveDate) -> OriginalStart {
    let local = date.and_time(start.local().time());
    start.with_local(local).original_start()
}

/// The date of an all-day series whose midnight, in some zone, is `at`. UTC and the mailbox's zone
/// are tried first. If `at` is not midnight in either, it is the nearest date of the rule.
fn nearest_date(start: EventTime, rule: Option<&Series>, at: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let there = at.with_timezone(&zone).naive_local();
    for local in [at.naive_utc(), there] {
        if local.time() == NaiveTime::MIN {
            return local.date();
        }
    }
    let midnight = |date: NaiveDate| to_instant(date.and_time(NaiveTime::MIN), Tz::UTC);
    let (from, to) = (at - TimeDelta::days(2), at + TimeDelta::days(2));
    let starts = rule.map(|rule| rule.expand(start, from, to, Tz::UTC, 8).starts);
    let dates = starts
        .into_iter()
        .flatten()
        .map(|start| start.local().date());
    dates
        .min_by_key(|date| (midnight(*date) - at).abs())
        .unwrap_or_else(|| (at + TimeDelta::hours(12)).date_naive())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placed(item: &Value, start: &str, rule: &str) -> Option<String> {
        let rule = Series {
            rules: vec![rule.parse().unwrap()],
            ..Series::default()
        };
        let zone = Tz::Europe__Oslo;
        let original = original_start(item, start.parse().unwrap(), Some(&rule), zone);
        original.map(|original| original.to_string())
    }

    #[test]
    fn an_exception_is_placed_by_its_instant_or_by_its_name() {
        let weekly = |item: &Value| placed(item, "2026-07-01T09:00:00[Europe/Oslo]", "FREQ=WEEKLY");
        for item in [
            json!({ "originalStart": "2026-07-08T07:00:00Z" }),
            json!({ "occurrenceId": "OID.AAMk=.2026-07-08" }),
        ] {
            assert_eq!(weekly(&item).unwrap(), "20260708T070000Z", "{item}");
        }
        assert_eq!(weekly(&json!({})), None);
    }

    #[test]
    fn an_exception_of_days_is_placed_in_every_zone() {
        for zone in chrono_tz::TZ_VARIANTS {
            let date = NaiveDate::from_ymd_opt(2026, 7, 8).unwrap();
            let at = to_instant(date.and_time(NaiveTime::MIN), zone);
            let item = json!({ "originalStart": at.format("%Y-%m-%dT%H:%M:%SZ").to_string() });
            assert_eq!(
                placed(&item, "2026-07-01", "FREQ=WEEKLY").unwrap(),
                "20260708",
                "{zone}"
            );
        }
        let item =
            json!({ "originalStart": "2026-07-07T10:00:00Z", "occurrenceId": "OID.s.2026-07-08" });
        assert_eq!(
            placed(&item, "2026-07-01", "FREQ=DAILY").unwrap(),
            "20260708"
        );
    }

    #[test]
    fn cancelled_occurrences_are_named_by_their_date() {
        let item = json!({ "cancelledOccurrences": ["OID.AAMk=.2026-07-08", "nonsense"] });
        let start: EventTime = "2026-07-01T09:00:00[Europe/Oslo]".parse().unwrap();
        let cancelled: Vec<String> = cancelled(&item, start)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(cancelled, ["20260708T070000Z"]);
    }
}
