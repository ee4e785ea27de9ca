//! Property tests: every rule that Microsoft can express keeps its occurrences when it is converted
//! to a `patternedRecurrence` and back.

use calweave_domain::recurrence::Series;
use calweave_domain::time::EventTime;
use chrono::{NaiveDate, TimeDelta};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::prelude::*;

use super::{pattern, recurrence};

fn rules() -> impl Strategy<Value = String> {
    let frequency = prop::sample::select(vec!["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]);
    let part = prop::sample::select(vec![
        "",
        ";BYDAY=MO,TH",
        ";BYDAY=-1FR",
        ";BYMONTHDAY=-1",
        ";BYMONTH=3",
        ";BYSETPOS=-1;BYDAY=MO,TU,WE",
        ";WKST=SU",
    ]);
    let end = prop::sample::select(vec!["", ";COUNT=17", ";UNTIL=20270401"]);
    (frequency, 1_u32..5, part, end).prop_map(|(frequency, interval, part, end)| {
        format!("FREQ={frequency};INTERVAL={interval}{part}{end}")
    })
}

fn starts() -> impl Strategy<Value = (EventTime, Tz)> {
    let day = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let zones = prop::sample::select(TZ_VARIANTS.to_vec());
    (0_i64..525_600, zones, any::<bool>()).prop_map(move |(minutes, zone, is_all_day)| {
        let local = day.and_hms_opt(0, 0, 0).unwrap() + TimeDelta::minutes(minutes);
        let start = if is_all_day {
            EventTime::Date(local.date())
        } else {
            EventTime::Zoned(local, zone)
        };
        (start, zone)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_rule_that_microsoft_can_express_gives_the_same_occurrences_there(rule in rules(), (start, zone) in starts()) {
        let series = Series { rules: vec![rule.parse().unwrap()], ..Series::default() };
        if let Ok(patterned) = recurrence::patterned(&series, start) {
            let back = pattern::series(&patterned.recurrence).unwrap();
            let from = start.instant(zone) - TimeDelta::days(2);
            let expand = |series: &Series| series.expand(start, from, from + TimeDelta::days(8 * 366), zone, 5_000).starts;
            prop_assert_eq!(expand(&back), expand(&series), "{}", patterned.recurrence);
            // Writing the parsed rule again gives the same recurrence.
            prop_assert_eq!(recurrence::patterned(&back, start).unwrap().recurrence, patterned.recurrence);
        }
    }
}
