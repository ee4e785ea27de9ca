//! Property tests of times and recurrence rules.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;

use crate::recurrence::Series;
use crate::rule::Rule;
use crate::time::{EventTime, to_instant};
use crate::work::Work;

fn rules() -> impl Strategy<Value = String> {
    let frequency = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY", "HOURLY"]);
    let part = prop::sample::select(vec![
        "",
        ";BYDAY=MO,TH",
        ";BYDAY=-1FR",
        ";BYMONTHDAY=1,-1",
        ";BYMONTH=3,10",
        ";BYHOUR=2,14",
        ";BYSETPOS=-1;BYDAY=MO,TU,WE",
        ";WKST=SU",
    ]);
    let end = prop::sample::select(vec![
        "",
        ";COUNT=17",
        ";UNTIL=20270401T000000Z",
        ";UNTIL=20270401",
    ]);
    (frequency, 1_u32..5, part, end).prop_map(|(frequency, interval, part, end)| {
        format!("FREQ={frequency};INTERVAL={interval}{part}{end}")
    })
}

/// Rules with full lists, in any combination.
fn hostile() -> impl Strategy<Value = String> {
    let frequencies = [
        "SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY",
    ];
    let list = |name: &'static str, from: i32, to: i32| {
        let all: Vec<String> = (from..=to).map(|number| number.to_string()).collect();
        prop::sample::select(vec![String::new(), format!(";{name}={}", all.join(","))])
    };
    let lists = (
        list("BYHOUR", 0, 23),
        list("BYMINUTE", 0, 59),
        list("BYSECOND", 0, 59),
        list("BYMONTHDAY", 29, 31),
        prop::sample::select(vec![
            "",
            ";BYMONTH=2",
            ";BYDAY=MO,SU",
            ";BYYEARDAY=366,-366",
            ";BYWEEKNO=53",
        ]),
        prop::sample::select(vec!["", ";BYSETPOS=2", ";BYSETPOS=-366", ";BYSETPOS=366"]),
    );
    let end = prop::sample::select(vec!["", ";COUNT=7", ";COUNT=1000000", ";COUNT=4294967295"]);
    (prop::sample::select(frequencies.to_vec()), 1_u32..100, end, lists).prop_map(
        |(frequency, interval, end, (hour, minute, second, day, other, position))| {
            format!("FREQ={frequency};INTERVAL={interval}{end}{hour}{minute}{second}{day}{other}{position}")
        },
    )
}

fn locals() -> impl Strategy<Value = chrono::NaiveDateTime> {
    let start = NaiveDate::from_ymd_opt(2026, 1, 1)
        .unwrap()
        .and_hms_opt(0, 0, 0)
        .unwrap();
    (0_i64..525_600).prop_map(move |minutes| start + TimeDelta::minutes(minutes))
}

fn zones() -> impl Strategy<Value = Tz> {
    prop::sample::select(TZ_VARIANTS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_window_is_the_sum_of_its_parts(rule in rules(), local in locals(), zone in zones(), days in 0_i64..400, split in 1_i64..200) {
        let series = Series { rules: vec![rule.parse().unwrap()], ..Series::default() };
        let start = EventTime::Zoned(local, zone);
        let from: DateTime<Utc> = start.instant(zone) + TimeDelta::days(days);
        let (middle, to) = (from + TimeDelta::hours(split), from + TimeDelta::hours(400));
        let expand = |from, to| series.expand(start, from, to, Tz::UTC, 5_000).starts;
        let parts: Vec<_> = expand(from, middle).into_iter().chain(expand(middle, to)).collect();
        prop_assert_eq!(expand(from, to), parts);
    }

    #[test]
    fn no_occurrence_starts_behind_the_last(rule in rules(), local in locals(), zone in zones()) {
        let series = Series { rules: vec![rule.parse().unwrap()], ..Series::default() };
        let start = EventTime::Zoned(local, zone);
        if let Some(last) = series.last_start(start) {
            let end = start.with_local(last).instant(zone) + TimeDelta::seconds(1);
            prop_assert!(series.expand(start, end, end + TimeDelta::days(4_000), Tz::UTC, 10).starts.is_empty());
        }
    }

    #[test]
    fn a_rule_survives_being_written_down(rule in rules()) {
        let read: Rule = rule.parse().unwrap();
        prop_assert_eq!(read.to_string().parse::<Rule>().unwrap(), read);
    }

    #[test]
    fn a_time_survives_being_written_down_and_exists_in_its_zone(local in locals(), zone in zones()) {
        let time = EventTime::Zoned(local, zone);
        prop_assert_eq!(time.to_string().parse::<EventTime>().unwrap(), time);
        let shown = to_instant(local, zone).with_timezone(&zone).naive_local();
        // Only a gap moves a wall-clock time: forward, and by at most one day (as in Pacific/Apia in 2011).
        prop_assert!(shown >= local && shown - local <= TimeDelta::days(1));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn any_rule_costs_little(rule in hostile(), local in locals(), since in 0_i64..425, ahead in 0_i64..100_000) {
        let rule: Rule = rule.parse().unwrap();
        let series = Series { rules: vec![rule.clone()], except_rules: vec![rule], ..Series::default() };
        let start = EventTime::Floating(local - TimeDelta::days(since * 365));
        let from = local.and_utc() + TimeDelta::days(ahead);
        let mut work = Work::new(Work::REQUEST);
        let is_costly = series.is_too_costly(start, &mut work);
        let week = series.expand_within(start, from, from + TimeDelta::days(7), Tz::UTC, 1_000, &mut work);
        prop_assert!(week.starts.len() <= 1);
        prop_assert!(work.left() >= Work::REQUEST - 3 * Work::ONE_RULE, "{is_costly} {work:?}");
    }
}
