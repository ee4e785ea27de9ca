//! The three kinds of event times, and the conversion of wall-clock times to instants.

use std::fmt;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset,
    SecondsFormat, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::ids::OriginalStart;

/// Maximum offset of any zone from UTC: how far an all-day or floating event can be from where it would be in UTC.
pub const MAX_ZONE_SHIFT: TimeDelta = TimeDelta::hours(14);

/// The start or end of an event. The kind is part of the value: an all-day date never becomes an instant by accident.
///
/// As text: `2026-03-02T09:00:00[Europe/Berlin]`, `2026-03-10`, `2026-03-02T09:00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventTime {
    /// A wall-clock time in a zone.
    Zoned(NaiveDateTime, Tz),
    /// A whole day: the same date in every zone. As an end it is exclusive (RFC 5545 3.6.1).
    Date(NaiveDate),
    /// A wall-clock time in the reader's zone (RFC 5545 3.3.5, form 1).
    Floating(NaiveDateTime),
}

impl EventTime {
    /// Creates a time in UTC from an instant.
    pub fn utc(at: DateTime<Utc>) -> Self {
        Self::Zoned(at.naive_utc(), Tz::UTC)
    }

    /// Creates a time in `zone` from an instant. A wall-clock time that occurs twice means the first of the two
    /// instants; the second one is kept in UTC.
    pub fn at(instant: DateTime<Utc>, zone: Tz) -> Self {
        let local = instant.with_timezone(&zone).naive_local();
        if to_instant(local, zone) == instant {
            Self::Zoned(local, zone)
        } else {
            Self::utc(instant)
        }
    }

    /// Returns the instant of this time for a reader in the zone `reader`.
    pub fn instant(&self, reader: Tz) -> DateTime<Utc> {
        match *self {
            Self::Zoned(local, zone) => to_instant(local, zone),
            Self::Date(date) => to_instant(date.and_time(NaiveTime::MIN), reader),
            Self::Floating(local) => to_instant(local, reader),
        }
    }

    /// Returns the wall-clock time in the event's own zone; midnight for a date.
    pub fn local(&self) -> NaiveDateTime {
        match *self {
            Self::Zoned(local, _) | Self::Floating(local) => local,
            Self::Date(date) => date.and_time(NaiveTime::MIN),
        }
    }

    /// Returns the same kind of time in the same zone, with another wall-clock time.
    #[must_use]
    pub fn with_local(&self, local: NaiveDateTime) -> Self {
        match *self {
            Self::Zoned(_, zone) => Self::Zoned(local, zone),
            Self::Date(_) => Self::Date(local.date()),
            Self::Floating(_) => Self::Floating(local),
        }
    }

    /// Returns a zoned time with the same wall-clock time in another zone, if one is given. Other times stay the same.
    #[must_use]
    pub fn with_zone(&self, zone: Option<Tz>) -> Self {
        match (*self, zone) {
            (Self::Zoned(local, _), Some(zone)) => Self::Zoned(local, zone),
            (other, _) => other,
        }
    }

    /// Returns `self` moved by `by`: zoned times by elapsed time, dates and floating times on the wall clock.
    #[must_use]
    pub fn plus(&self, by: TimeDelta) -> Self {
        match *self {
            Self::Zoned(local, zone) => {
                let end = to_instant(local, zone)
                    .checked_add_signed(by)
                    .unwrap_or(DateTime::<Utc>::MAX_UTC);
                Self::Zoned(end.with_timezone(&zone).naive_local(), zone)
            }
            Self::Date(date) => Self::Date(date.checked_add_signed(by).unwrap_or(NaiveDate::MAX)),
            Self::Floating(local) => {
                Self::Floating(local.checked_add_signed(by).unwrap_or(NaiveDateTime::MAX))
            }
        }
    }

    /// Returns whether this is a wall-clock time that the clocks of its zone never show, because they are put forward.
    pub fn is_in_gap(&self) -> bool {
        let Self::Zoned(local, zone) = *self else {
            return false;
        };
        zone.from_local_datetime(&local) == MappedLocalTime::None
    }

    /// Returns the identity of an occurrence that the rule places here. See [`Expansion::original_start`] for a time
    /// inside a gap.
    ///
    /// [`Expansion::original_start`]: super::recurrence::Expansion::original_start
    pub fn original_start(&self) -> OriginalStart {
        match *self {
            Self::Zoned(local, zone) => OriginalStart::Instant(to_instant(local, zone)),
            Self::Date(date) => OriginalStart::Date(date),
            Self::Floating(local) => OriginalStart::Floating(local),
        }
    }

    /// Returns the zone of a zoned time.
    pub fn zone(&self) -> Option<Tz> {
        match self {
            Self::Zoned(_, zone) => Some(*zone),
            _ => None,
        }
    }

    /// Formats the time for the API: RFC 3339 with the offset of the event's own zone, or of the reader's zone for a
    /// floating time; `YYYY-MM-DD` for a date.
    pub fn to_api(&self, reader: Tz) -> String {
        match *self {
            Self::Zoned(local, zone) => rfc3339(to_instant(local, zone), zone),
            Self::Date(date) => date.to_string(),
            Self::Floating(local) => rfc3339(to_instant(local, reader), reader),
        }
    }
}

/// Formats an instant as RFC 3339 in this zone: `2026-03-02T09:00:00+01:00`, with `Z` for UTC.
pub fn rfc3339(at: DateTime<Utc>, zone: Tz) -> String {
    match zone {
        Tz::UTC | Tz::Etc__UTC => at.to_rfc3339_opts(SecondsFormat::Secs, true),
        _ => at
            .with_timezone(&zone)
            .to_rfc3339_opts(SecondsFormat::Secs, false),
    }
}

/// Returns the instant at which the clocks of `zone` show `local`. A time inside a gap moves forward by the gap's
/// length (02:30 becomes 03:30); a time that occurs twice means the first of the two instants (RFC 5545 3.3.5).
pub fn to_instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(at) | MappedLocalTime::Ambiguous(at, _) => at.to_utc(),
        MappedLocalTime::None => {
            // Use the offset in force before the gap, at the last wall-clock hour that exists. Pacific/Apia once
            // skipped a whole day, so look back up to 25 hours.
            let before = (1..=25).find_map(|hours| {
                let earlier = local.checked_sub_signed(TimeDelta::hours(hours))?;
                zone.offset_from_local_datetime(&earlier).latest()
            });
            let offset = before.map_or(TimeDelta::zero(), |offset| {
                TimeDelta::seconds(i64::from(offset.fix().local_minus_utc()))
            });
            local.checked_sub_signed(offset).unwrap_or(local).and_utc()
        }
    }
}

/// Returns the next day.
pub fn next_day(date: NaiveDate) -> NaiveDate {
    date.checked_add_days(Days::new(1)).unwrap_or(date)
}

const LOCAL: &str = "%Y-%m-%dT%H:%M:%S";

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zoned(local, zone) => {
                write_local(f, local)?;
                ["[", zone.name(), "]"]
                    .into_iter()
                    .try_for_each(|part| f.write_str(part))
            }
            Self::Date(date) => write!(
                f,
                "{:04}-{:02}-{:02}",
                date.year(),
                date.month(),
                date.day()
            ),
            Self::Floating(local) => write_local(f, local),
        }
    }
}

/// Writes the format of [`LOCAL`], several times faster: every event is serialised to be compared.
fn write_local(f: &mut fmt::Formatter<'_>, local: &NaiveDateTime) -> fmt::Result {
    let Ok(year @ 0..10_000) = u32::try_from(local.year()) else {
        return write!(f, "{}", local.format(LOCAL));
    };
    let mut text = *b"0000-00-00T00:00:00";
    let pairs = [
        (0, year / 100),
        (2, year % 100),
        (5, local.month()),
        (8, local.day()),
    ];
    let clock = [
        (11, local.hour()),
        (14, local.minute()),
        (17, local.second()),
    ];
    for (at, number) in pairs.into_iter().chain(clock) {
        let [.., number] = number.to_be_bytes();
        text[at] += number / 10;
        text[at + 1] += number % 10;
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

/// The text has none of the three forms of an event time.
#[derive(Debug, thiserror::Error)]
#[error("not an event time: {0:?}")]
pub struct InvalidTime(String);

impl FromStr for EventTime {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let invalid = || InvalidTime(text.to_owned());
        let local = |text| NaiveDateTime::parse_from_str(text, LOCAL).map_err(|_| invalid());
        if let Some((time, zone)) = text.split_once('[') {
            let zone = zone
                .strip_suffix(']')
                .and_then(|name| name.parse().ok())
                .ok_or_else(invalid)?;
            Ok(Self::Zoned(local(time)?, zone))
        } else if text.contains('T') {
            Ok(Self::Floating(local(text)?))
        } else {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .map(Self::Date)
                .map_err(|_| invalid())
        }
    }
}

impl Serialize for EventTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> EventTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_gap_shifts_forward_and_an_overlap_takes_the_first_offset() {
        assert_eq!(
            at("2026-03-29T02:30:00[Europe/Berlin]").to_api(Tz::UTC),
            "2026-03-29T03:30:00+02:00"
        );
        assert_eq!(
            at("2026-10-25T02:30:00[Europe/Berlin]").to_api(Tz::UTC),
            "2026-10-25T02:30:00+02:00"
        );
        assert_eq!(
            at("2011-12-30T09:00:00[Pacific/Apia]").to_api(Tz::UTC),
            "2011-12-31T09:00:00+14:00"
        );
    }

    #[test]
    fn an_hour_that_occurs_twice_is_not_lost() {
        for text in [
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:30:00Z",
        ] {
            let instant: DateTime<Utc> = text.parse().unwrap();
            assert_eq!(
                EventTime::at(instant, Tz::Europe__Berlin).instant(Tz::UTC),
                instant
            );
        }
        assert_eq!(
            EventTime::at("2026-10-25T00:30:00Z".parse().unwrap(), Tz::Europe__Berlin),
            at("2026-10-25T02:30:00[Europe/Berlin]")
        );
    }

    #[test]
    fn all_day_event_shifts_by_a_day() {
        for zone in chrono_tz::TZ_VARIANTS {
            let day = at("2026-03-29");
            assert_eq!(day.to_api(zone), "2026-03-29");
            assert_eq!(day.to_string().parse::<EventTime>().unwrap(), day);
            let seen = day.instant(zone).with_timezone(&zone).date_naive();
            assert_eq!(seen.to_string(), "2026-03-29", "in {zone}");
        }
    }

    #[test]
    fn a_floating_time_carries_the_offset_of_its_reader() {
        assert_eq!(
            at("2026-03-02T09:00:00").to_api(Tz::Asia__Tokyo),
            "2026-03-02T09:00:00+09:00"
        );
    }
}
