//! Slots: times that a user reserves, once or every week. A slot that overlaps another one is refused.

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::content::EventContent;
use super::details::EventDetails;
use super::ids::{CalendarId, EventId, SlotId};
use super::recurrence::Series;
use super::rule::{ByDay, Frequency, Rule};
use super::time::{EventTime, to_instant};

/// A time that a user has reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// Slot id.
    pub id: SlotId,
    /// Title.
    pub title: String,
    /// Category, as free text from the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// When the slot takes place.
    pub when: SlotTime,
    /// The calendar that shows the slot, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar_id: Option<CalendarId>,
    /// The event that shows the slot in that calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventId>,
    /// When the slot was created.
    pub created_at: DateTime<Utc>,
    /// When the slot was last changed through Calweave.
    pub updated_at: DateTime<Utc>,
}

/// When a slot takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SlotTime {
    /// Once.
    Dated {
        /// Start, inclusive: wall-clock time in `zone`.
        start: NaiveDateTime,
        /// End, exclusive: wall-clock time in `zone`.
        end: NaiveDateTime,
        /// Time zone.
        zone: Tz,
    },
    /// Every week.
    Weekly {
        /// Day of the week.
        weekday: Weekday,
        /// Start, inclusive: time of day in `zone`.
        start: NaiveTime,
        /// End, exclusive: time of day in `zone`, on the same day.
        end: NaiveTime,
        /// Time zone.
        zone: Tz,
    },
}

/// Number of weeks from now over which weekly slots in different zones are compared. A year includes both changes of
/// the clocks in each zone.
const WEEKS: u64 = 53;

impl SlotTime {
    /// Returns the slot's time zone.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Dated { zone, .. } | Self::Weekly { zone, .. } => *zone,
        }
    }

    /// Returns the intervals in which the slot takes place, for [`WEEKS`] weeks from `now`. A dated slot has one
    /// interval, which may be at any time.
    fn stretches(&self, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        match *self {
            Self::Dated { start, end, zone } => {
                vec![(to_instant(start, zone), to_instant(end, zone))]
            }
            Self::Weekly {
                weekday,
                start,
                end,
                zone,
            } => {
                let first = first_day(weekday, zone, now);
                let day = |week: u64| first.checked_add_days(Days::new(7 * week)).unwrap_or(first);
                (0..WEEKS)
                    .map(|week| {
                        (
                            to_instant(day(week).and_time(start), zone),
                            to_instant(day(week).and_time(end), zone),
                        )
                    })
                    .collect()
            }
        }
    }

    /// Returns whether the slot takes place between two instants. A weekly slot always does.
    pub fn lies_within(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        match *self {
            Self::Dated { start, end, zone } => {
                to_instant(start, zone) < to && to_instant(end, zone) > from
            }
            Self::Weekly { .. } => true,
        }
    }

    /// Returns whether two slots overlap.
    pub fn collides(&self, other: &Self, now: DateTime<Utc>) -> bool {
        // Weekly slots in the same zone are compared on the wall clock, which gives the same result for every week.
        if let (
            Self::Weekly {
                weekday,
                start,
                end,
                zone,
            },
            Self::Weekly {
                weekday: day,
                start: from,
                end: to,
                zone: place,
            },
        ) = (self, other)
            && zone == place
        {
            return weekday == day && start < to && from < end;
        }
        // A dated slot is compared with the weeks around it, however far away it is.
        if let (Self::Dated { start, zone, .. }, Self::Weekly { .. }) = (self, other) {
            let near = to_instant(*start, *zone) - TimeDelta::days(8);
            return overlap(&self.stretches(now), &other.stretches(near));
        }
        if let (Self::Weekly { .. }, Self::Dated { .. }) = (self, other) {
            return other.collides(self, now);
        }
        overlap(&self.stretches(now), &other.stretches(now))
    }

    /// Returns the content of the event that shows the slot. A weekly slot begins on its first day at or after `now`.
    pub fn content(&self, title: &str, now: DateTime<Utc>) -> EventContent {
        let details = EventDetails {
            title: title.to_owned(),
            uses_default_reminders: true,
            ..EventDetails::default()
        };
        let (start, end, zone, series) = match *self {
            Self::Dated { start, end, zone } => (start, end, zone, None),
            Self::Weekly {
                weekday,
                start,
                end,
                zone,
            } => {
                let first = first_day(weekday, zone, now);
                let rule = Rule {
                    by_day: vec![ByDay { nth: 0, weekday }],
                    ..Rule::every(Frequency::Weekly)
                };
                (
                    first.and_time(start),
                    first.and_time(end),
                    zone,
                    Some(Series {
                        rules: vec![rule],
                        ..Series::default()
                    }),
                )
            }
        };
        let series = series.map(Box::new);
        EventContent {
            start: EventTime::Zoned(start, zone),
            end: EventTime::Zoned(end, zone),
            series,
            details: Box::new(details),
        }
    }

    /// Reads the slot's time from the event that shows it. Returns `None` if a slot cannot represent the event: it is
    /// all-day or floating, for example, or no longer repeats weekly.
    pub fn of(content: &EventContent) -> Option<Self> {
        let (EventTime::Zoned(start, zone), EventTime::Zoned(end, _)) =
            (content.start, content.end)
        else {
            return None;
        };
        match &content.series {
            None => Some(Self::Dated { start, end, zone }),
            Some(series) => {
                let plain = Rule {
                    by_day: series.rules.first()?.by_day.clone(),
                    week_start: series.rules.first()?.week_start,
                    ..Rule::every(Frequency::Weekly)
                };
                let every_week =
                    series.rules.len() == 1 && series.rules[0] == plain && plain.by_day.len() <= 1;
                (every_week && series.dates.is_empty() && start.date() == end.date()).then(|| {
                    Self::Weekly {
                        weekday: start.weekday(),
                        start: start.time(),
                        end: end.time(),
                        zone,
                    }
                })
            }
        }
    }
}

/// Returns the first such weekday in `zone`, from today on.
fn first_day(weekday: Weekday, zone: Tz, now: DateTime<Utc>) -> NaiveDate {
    let today = now.with_timezone(&zone).date_naive();
    let ahead = (7 + weekday.num_days_from_monday() - today.weekday().num_days_from_monday()) % 7;
    today + Days::new(u64::from(ahead))
}

fn overlap(
    ones: &[(DateTime<Utc>, DateTime<Utc>)],
    others: &[(DateTime<Utc>, DateTime<Utc>)],
) -> bool {
    ones.iter()
        .any(|(start, end)| others.iter().any(|(from, to)| start < to && from < end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly(weekday: Weekday, start: &str, end: &str, zone: Tz) -> SlotTime {
        SlotTime::Weekly {
            weekday,
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            zone,
        }
    }

    fn dated(start: &str, end: &str) -> SlotTime {
        SlotTime::Dated {
            start: start.parse().unwrap(),
            end: end.parse().unwrap(),
            zone: Tz::Europe__Berlin,
        }
    }

    #[test]
    fn slots_meet_across_zones_and_years() {
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        let friday = weekly(Weekday::Fri, "09:00:00", "10:00:00", Tz::Europe__Berlin);
        assert!(friday.collides(
            &weekly(Weekday::Fri, "09:30:00", "11:00:00", Tz::Europe__Berlin),
            now
        ));
        assert!(
            !friday.collides(
                &weekly(Weekday::Fri, "10:00:00", "11:00:00", Tz::Europe__Berlin),
                now
            ),
            "one begins as the other ends"
        );
        assert!(!friday.collides(
            &weekly(Weekday::Thu, "09:00:00", "10:00:00", Tz::Europe__Berlin),
            now
        ));
        // 03:00 in New York is 09:00 in Berlin, except for some weeks in March.
        assert!(friday.collides(
            &weekly(Weekday::Fri, "03:00:00", "04:00:00", Tz::America__New_York),
            now
        ));
        assert!(
            friday.collides(
                &weekly(Weekday::Fri, "04:00:00", "04:30:00", Tz::America__New_York),
                now
            ),
            "in March"
        );
        assert!(
            friday.collides(&dated("2031-05-02T09:59:00", "2031-05-02T12:00:00"), now),
            "years ahead"
        );
        assert!(dated("2031-05-02T09:59:00", "2031-05-02T12:00:00").collides(&friday, now));
        assert!(!friday.collides(&dated("2031-05-02T10:00:00", "2031-05-02T12:00:00"), now));
    }
}
