//! Resolution of time zone names. Feeds use IANA names, Windows names, display names, and custom names.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use chrono::{NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use windows_timezones::WindowsTimezone;

/// Names that CLDR's table lacks, or that Microsoft uses instead of one in it (measured; see `docs/api.md`).
const BY_HAND: [(&str, Tz); 33] = [
    ("tzone://Microsoft/Utc", Tz::UTC),
    ("Mid-Atlantic Standard Time", Tz::Etc__GMTPlus2),
    ("Kamchatka Standard Time", Tz::Asia__Kamchatka),
    ("Z", Tz::UTC),
    ("Coordinated Universal Time", Tz::UTC),
    ("EST", Tz::America__New_York),
    ("EDT", Tz::America__New_York),
    ("CST", Tz::America__Chicago),
    ("CDT", Tz::America__Chicago),
    ("MST", Tz::America__Denver),
    ("MDT", Tz::America__Denver),
    ("PST", Tz::America__Los_Angeles),
    ("PDT", Tz::America__Los_Angeles),
    ("AKST", Tz::America__Anchorage),
    ("AKDT", Tz::America__Anchorage),
    ("AST", Tz::America__Halifax),
    ("ADT", Tz::America__Halifax),
    ("NST", Tz::America__St_Johns),
    ("NDT", Tz::America__St_Johns),
    ("BST", Tz::Europe__London),
    ("WEST", Tz::Europe__Lisbon),
    ("CEST", Tz::Europe__Berlin),
    ("MEZ", Tz::Europe__Berlin),
    ("MESZ", Tz::Europe__Berlin),
    ("EEST", Tz::Europe__Helsinki),
    ("MSK", Tz::Europe__Moscow),
    ("JST", Tz::Asia__Tokyo),
    ("KST", Tz::Asia__Seoul),
    ("AEST", Tz::Australia__Sydney),
    ("AEDT", Tz::Australia__Sydney),
    ("AWST", Tz::Australia__Perth),
    ("NZST", Tz::Pacific__Auckland),
    ("NZDT", Tz::Pacific__Auckland),
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
        .or_else(|| Tz::from_str_insensitive(&name.replace('-', "/")).ok())
        .or_else(|| WindowsTimezone::from_str(name).ok().map(Tz::from))
        .or_else(|| behind_prefix(name))
        .or_else(|| display_name(name))
        .or_else(|| whole_hours(name))
        .or_else(|| numbered(name))
}

/// Outlook numbers names that a file has twice: `Eastern Standard Time 1`.
fn numbered(name: &str) -> Option<Tz> {
    let (name, number) = name.rsplit_once(' ')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| resolve(name)).flatten()
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

/// Display names in English, German, French and Spanish, and names of Exchange and Domino: a name in lower case, a tab, and the
/// Windows or IANA name. A name that has had several meanings is listed with the offset in front too.
const NAMES: &str = include_str!("zone_names.tsv");

/// Resolves a name that people see: `(UTC+01:00) Amsterdam, Berlin`, also without the offset, or by one of its cities.
fn display_name(name: &str) -> Option<Tz> {
    let (offset, text) = match name.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((offset, text)) => (Some(offset), text),
        None => (None, name),
    };
    let text = text.replace("&amp;", "&").replace('\\', "").to_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let with_offset = offset.map(|offset| {
        let signed = offset.trim_start_matches(|sign: char| sign.is_ascii_alphabetic());
        format!("{} {text}", signed.trim())
    });
    let listed = |wanted: &str| {
        let mut lines = NAMES.lines().filter_map(|line| line.split_once('\t'));
        let (_, zone) = lines.find(|(known, _)| *known == wanted)?;
        let iana = Tz::from_str(zone).ok();
        iana.or_else(|| WindowsTimezone::from_str(zone).ok().map(Tz::from))
    };
    let listed = with_offset
        .and_then(|name| listed(&name))
        .or_else(|| listed(&text));
    let is_list = offset.is_some() || name.contains(',');
    listed.or_else(|| is_list.then(|| by_city(name)).flatten())
}

fn by_city(name: &str) -> Option<Tz> {
    let cities = name.split_once(')').map_or(name, |(_, cities)| cities);
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

/// Returns the offset of a zone that is named by it, in seconds: `UTC+02:00`, `GMT+0530`, `UTC-3:30`, `+02`, also in front of a
/// display name (`(UTC+01:00) …`). `None` for any other name.
pub fn named_offset(name: &str) -> Option<i32> {
    let name = name.trim().trim_matches('"');
    let (is_display, name) = match name.strip_prefix('(') {
        Some(rest) => (true, rest.split_once(')')?.0),
        None => (false, name),
    };
    let upper = name.trim().to_ascii_uppercase();
    let rest = upper
        .strip_prefix("UTC")
        .or_else(|| upper.strip_prefix("GMT"));
    if is_display && rest == Some("") {
        return Some(0);
    }
    let rest = rest.unwrap_or(&upper).trim_start().replace('\u{2212}', "-");
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' => -1,
        _ => return None,
    };
    let digits = &rest[1..];
    let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
        (Some((hours, minutes)), _) => (hours, minutes),
        (None, 3 | 4) => digits.split_at_checked(digits.len() - 2)?,
        (None, _) => (digits, "0"),
    };
    let is_number = |text: &str| {
        (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Returns the zone that is a whole number of hours from UTC.
fn whole_hours(name: &str) -> Option<Tz> {
    if name.starts_with('(') {
        return None;
    }
    match named_offset(name)? {
        0 => Some(Tz::UTC),
        // POSIX signs: Etc/GMT-2 is two hours ahead of UTC.
        offset if offset % 3600 == 0 => Tz::from_str(&format!("Etc/GMT{:+}", -offset / 3600)).ok(),
        _ => None,
    }
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
    fn every_listed_name_is_that_of_a_zone() {
        let mut names = NAMES.lines().map(|line| line.split_once('\t').unwrap());
        assert!(names.clone().count() > 500);
        let unknown = names.find(|(_, zone)| {
            let windows = WindowsTimezone::from_str(zone).ok();
            Tz::from_str(zone).is_err() && windows.is_none() && resolve(zone).is_none()
        });
        assert_eq!(unknown, None);
        for (name, zone) in [
            (
                "(UTC-08:00) Pacific Time (US & Canada)",
                Tz::America__Los_Angeles,
            ),
            (
                "(GMT-08:00) Pacific Time (US &amp; Canada)",
                Tz::America__Los_Angeles,
            ),
            (
                "(UTC+01:00) Amsterdam\\, Berlin\\, Bern\\, Rome\\, Stockholm\\, Vienna",
                Tz::Europe__Berlin,
            ),
            (
                "Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna",
                Tz::Europe__Berlin,
            ),
            (
                "(UTC+01:00) Amsterdam, Berlin, Bern, Rom, Stockholm, Wien",
                Tz::Europe__Berlin,
            ),
            (
                "(UTC+01:00) Amsterdam, Berlin, Berne, Rome, Stockholm, Vienne",
                Tz::Europe__Berlin,
            ),
            ("(UTC+09:00) Osaka, Sapporo, Tokio", Tz::Asia__Tokyo),
            (
                "(UTC) Dublin, Edinburgh, Lisbon, London",
                Tz::Europe__London,
            ),
            ("(UTC+03:00) Minsk", Tz::Europe__Minsk),
        ] {
            assert_eq!(resolve(name), Some(zone), "{name}");
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
