//! Resolution of time zone names. Feeds use IANA names, Windows names, display names, and custom names.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use windows_timezones::WindowsTimezone;

/// Names that CLDR's table lacks, or that Microsoft uses instead of one in it (measured; see `docs/api.md`).
const BY_HAND: [(&str, Tz); 12] = [
    ("tzone://Microsoft/Utc", Tz::UTC),
    ("Mid-Atlantic Standard Time", Tz::Etc__GMTPlus2),
    ("Kamchatka Standard Time", Tz::Asia__Kamchatka),
    ("Z", Tz::UTC),
    ("Coordinated Universal Time", Tz::UTC),
    ("EST", Tz::America__New_York),
    ("EDT", Tz::America__New_York),
    ("CST", Tz::America__Chicago),
    ("CDT", Tz::America__Chicago),
    ("MDT", Tz::America__Denver),
    ("PST", Tz::America__Los_Angeles),
    ("PDT", Tz::America__Los_Angeles),
];

/// Returns the IANA zone for `name`: an IANA name, also with a prefix (`/citadel.org/20210210_1/Europe/Berlin`), a
/// Windows name, a display name (`(UTC+01:00) Amsterdam, Berlin`), or whole hours from UTC. `None` if it is unknown.
pub fn resolve(name: &str) -> Option<Tz> {
    let name = name.trim().trim_matches('"').trim();
    if name.is_empty() || name.len() > 200 {
        return None;
    }
    let by_hand = || {
        BY_HAND
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, zone)| *zone)
    };
    by_hand()
        .or_else(|| Tz::from_str(name).ok())
        .or_else(|| Tz::from_str_insensitive(name).ok())
        .or_else(|| WindowsTimezone::from_str(name).ok().map(Tz::from))
        .or_else(|| behind_prefix(name))
        .or_else(|| display_name(name))
        .or_else(|| hours_from_utc(name))
}

fn behind_prefix(name: &str) -> Option<Tz> {
    let mut rest = name;
    while let Some((_, tail)) = rest.split_once('/') {
        if let Ok(zone) = Tz::from_str(tail) {
            return Some(zone);
        }
        rest = tail;
    }
    None
}

fn display_name(name: &str) -> Option<Tz> {
    let cities = name.strip_prefix('(')?.split_once(')')?.1;
    cities.split(',').find_map(|city| {
        let city = city.trim().replace(' ', "_");
        TZ_VARIANTS.into_iter().find(|zone| {
            zone.name()
                .rsplit('/')
                .next()
                .is_some_and(|tail| tail == city)
        })
    })
}

fn hours_from_utc(name: &str) -> Option<Tz> {
    let rest = name
        .strip_prefix("UTC")
        .or_else(|| name.strip_prefix("GMT"))
        .unwrap_or(name);
    let (sign, digits) = match rest.split_at_checked(1)? {
        ("+", digits) => ('-', digits),
        ("-", digits) => ('+', digits),
        _ => return None,
    };
    let digits = digits
        .strip_suffix(":00")
        .or_else(|| digits.strip_suffix("00"))
        .unwrap_or(digits);
    let hours: u8 = digits.parse().ok()?;
    // POSIX signs: Etc/GMT-2 is two hours ahead of UTC.
    Tz::from_str(&format!("Etc/GMT{sign}{hours}")).ok()
}

/// Zones that CLDR's table lists under an older name: the current name and the older one.
const RENAMED: [(Tz, Tz); 19] = [
    (Tz::Africa__Asmara, Tz::Africa__Asmera),
    (
        Tz::America__Argentina__Buenos_Aires,
        Tz::America__Buenos_Aires,
    ),
    (Tz::America__Argentina__Catamarca, Tz::America__Catamarca),
    (Tz::America__Argentina__Cordoba, Tz::America__Cordoba),
    (Tz::America__Argentina__Jujuy, Tz::America__Jujuy),
    (Tz::America__Argentina__Mendoza, Tz::America__Mendoza),
    (Tz::America__Atikokan, Tz::America__Coral_Harbour),
    (
        Tz::America__Indiana__Indianapolis,
        Tz::America__Indianapolis,
    ),
    (Tz::America__Kentucky__Louisville, Tz::America__Louisville),
    (Tz::America__Nuuk, Tz::America__Godthab),
    (Tz::Asia__Ho_Chi_Minh, Tz::Asia__Saigon),
    (Tz::Asia__Kathmandu, Tz::Asia__Katmandu),
    (Tz::Asia__Kolkata, Tz::Asia__Calcutta),
    (Tz::Asia__Yangon, Tz::Asia__Rangoon),
    (Tz::Atlantic__Faroe, Tz::Atlantic__Faeroe),
    (Tz::Europe__Kyiv, Tz::Europe__Kiev),
    (Tz::Pacific__Chuuk, Tz::Pacific__Truk),
    (Tz::Pacific__Pohnpei, Tz::Pacific__Ponape),
    (Tz::UTC, Tz::Etc__UTC),
];

/// Returns the Windows name for a zone: that of CLDR, also by the zone's older name if it was renamed, or that of a
/// zone with the same UTC offsets from 2020 to 2031. `None` if no Windows zone has the same offsets.
pub fn windows_name(zone: Tz) -> Option<&'static str> {
    static NAMES: LazyLock<Mutex<HashMap<Tz, Option<&'static str>>>> =
        LazyLock::new(Mutex::default);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    *names.entry(zone).or_insert_with(|| find_windows_name(zone))
}

fn find_windows_name(zone: Tz) -> Option<&'static str> {
    // CLDR also groups zones whose offsets have diverged.
    let fits = |name: &&str| resolve(name).is_some_and(|other| has_same_clocks(zone, other));
    let named = |zone: Tz| {
        let older = RENAMED
            .iter()
            .find(|(modern, _)| *modern == zone)
            .map(|(_, older)| *older);
        let names = [Some(zone), older]
            .into_iter()
            .flatten()
            .filter_map(|zone| WindowsTimezone::try_from(zone).ok());
        names.map(WindowsTimezone::name).find(fits)
    };
    named(zone).or_else(|| {
        CANDIDATES
            .iter()
            .filter(|other| has_same_clocks(zone, **other))
            .find_map(|other| named(*other))
    })
}

/// Returns whether two zones have the same UTC offset at noon UTC on each day of [`COMPARED_YEARS`].
fn has_same_clocks(a: Tz, b: Tz) -> bool {
    let days = COMPARED_YEARS
        .flat_map(|year| (1..=366).filter_map(move |day| NaiveDate::from_yo_opt(year, day)));
    let offset =
        |zone: Tz, at: &NaiveDateTime| zone.offset_from_utc_datetime(at).fix().local_minus_utc();
    days.filter_map(|date| date.and_hms_opt(12, 0, 0))
        .all(|at| offset(a, &at) == offset(b, &at))
}

/// Zones that are preferred if several have the same offsets: the best known of each offset.
const PREFERRED: [Tz; 16] = [
    Tz::Europe__Berlin,
    Tz::Europe__London,
    Tz::Europe__Helsinki,
    Tz::America__New_York,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__Los_Angeles,
    Tz::America__Phoenix,
    Tz::America__Sao_Paulo,
    Tz::Asia__Tokyo,
    Tz::Asia__Shanghai,
    Tz::Asia__Kolkata,
    Tz::Asia__Dubai,
    Tz::Australia__Sydney,
    Tz::Pacific__Auckland,
    Tz::UTC,
];

pub(super) static CANDIDATES: LazyLock<Vec<Tz>> =
    LazyLock::new(|| PREFERRED.into_iter().chain(TZ_VARIANTS).collect());

/// The years over which the offsets of zones are compared.
pub(super) const COMPARED_YEARS: std::ops::Range<i32> = 2020..2032;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_or_unknown_tzids_missing_vtimezone() {
        for (name, zone) in [
            ("Europe/Berlin", Tz::Europe__Berlin),
            ("europe/berlin", Tz::Europe__Berlin),
            ("\"W. Europe Standard Time\"", Tz::Europe__Berlin),
            ("India Standard Time", Tz::Asia__Calcutta),
            (
                "/freeassociation.sourceforge.net/America/New_York",
                Tz::America__New_York,
            ),
            (
                "/citadel.org/20210210_1/America/Argentina/Buenos_Aires",
                Tz::America__Argentina__Buenos_Aires,
            ),
            (
                "(UTC+01:00) Amsterdam, Berlin, Bern, Rome",
                Tz::Europe__Amsterdam,
            ),
            ("tzone://Microsoft/Utc", Tz::UTC),
            ("UTC+02:00", Tz::Etc__GMTMinus2),
        ] {
            assert_eq!(resolve(name), Some(zone), "{name}");
        }
        for unknown in [
            "Customized Time Zone",
            "Middle-earth/Shire",
            "",
            "../../etc/passwd",
            "+",
        ] {
            assert_eq!(resolve(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_zone_has_a_windows_name_of_the_same_clocks_or_is_listed() {
        let nameless: Vec<&str> = TZ_VARIANTS
            .into_iter()
            .filter(|zone| windows_name(*zone).is_none())
            .map(Tz::name)
            .collect();
        for zone in TZ_VARIANTS {
            if let Some(name) = windows_name(zone) {
                let back = resolve(name).unwrap_or_else(|| panic!("{name} of {zone}"));
                assert!(has_same_clocks(zone, back), "{zone} is {name} is {back}");
            }
        }
        let changed = "its offset has changed since 2020, and that of the Windows zone has not, or the other way round";
        let listed = [
            ("America/Chihuahua", changed),
            ("America/Ciudad_Juarez", changed),
            ("America/Coyhaique", changed),
            ("America/Ojinaga", changed),
            ("America/Scoresbysund", changed),
            ("Antarctica/Casey", changed),
            (
                "Antarctica/Troll",
                "no Windows zone moves its clocks by two hours",
            ),
            ("Antarctica/Vostok", changed),
            ("Asia/Almaty", changed),
            ("Asia/Qostanay", changed),
        ];
        assert_eq!(nameless, listed.map(|(name, _)| name));
        for (zone, name) in [
            (Tz::Europe__Oslo, "W. Europe Standard Time"),
            (Tz::Asia__Kolkata, "India Standard Time"),
            (Tz::Europe__Kyiv, "FLE Standard Time"),
            (Tz::America__Toronto, "Eastern Standard Time"),
            (Tz::UTC, "UTC"),
        ] {
            assert_eq!(windows_name(zone), Some(name));
        }
    }
}
