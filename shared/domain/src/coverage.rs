//! Coverage: the stretch of time of a calendar that has been read from its provider.
//!
//! Nothing is known of an account's calendar outside of the window of its syncs: an event there is not listed, and an
//! occurrence of a series may have been moved or cancelled. The end of what is known is never shown as free time.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::agenda::Window;
use super::calendar::{CalendarSource, CalendarState};
use super::sync_state::SyncState;

/// How far back and ahead of the current time readers can have a calendar read: together less than [`LONGEST`].
const FARTHEST: (TimeDelta, TimeDelta) = (TimeDelta::days(700), TimeDelta::days(1_100));
/// The longest window that is read for a reader who looks far ahead or back. Graph lists no longer one
/// (`ErrorCalendarViewRangeTooBig`).
const LONGEST: TimeDelta = TimeDelta::days(1_825);
/// For how long a stretch that a reader has asked for is part of the window.
const ASKED_FOR: TimeDelta = TimeDelta::days(1);
/// What is read beyond what a reader has asked for, so that the next page of a calendar needs no sync of its own.
const SPARE: TimeDelta = TimeDelta::days(93);
/// The least that is worth a full sync.
const LEAST: TimeDelta = TimeDelta::days(1);

/// The stretch of a calendar that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Start, inclusive; `None` if there is no limit.
    pub from: Option<DateTime<Utc>>,
    /// End, exclusive; `None` if there is no limit.
    pub to: Option<DateTime<Utc>>,
    /// Whether the calendar has been read at all. Until then the limits are `None`.
    pub is_read: bool,
}

/// A stretch that a reader has asked for, to be read in addition to the regular window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedWindow {
    /// Start; `None` if it is that of the regular window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// End; `None` if it is that of the regular window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
    /// Until when a full sync reads it.
    pub until: DateTime<Utc>,
}

impl AskedWindow {
    /// Returns whether another stretch lies within this one.
    pub fn includes(&self, other: &Self) -> bool {
        let includes_from = other
            .from
            .is_none_or(|from| self.from.is_some_and(|own| own <= from));
        includes_from
            && other
                .to
                .is_none_or(|to| self.to.is_some_and(|own| own >= to))
    }

    /// Returns the stretch that includes this one and another one.
    #[must_use]
    pub fn with(self, other: Option<&Self>) -> Self {
        let known = |end: fn(&Self) -> Option<DateTime<Utc>>| other.and_then(end);
        let from = [self.from, known(|other| other.from)];
        let to = [self.to, known(|other| other.to)];
        Self {
            from: from.into_iter().flatten().min(),
            to: to.into_iter().flatten().max(),
            ..self
        }
    }

    /// Returns the window that includes this stretch and the regular window, as far as it is not too long.
    pub fn widen(
        &self,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
    ) -> (DateTime<Utc>, DateTime<Utc>) {
        let from = self.from.map_or(from, |asked| asked.min(from));
        (
            from,
            self.end_in_window(from).map_or(to, |asked| asked.max(to)),
        )
    }

    /// Returns whether a full sync has read this stretch, as far as it can be read.
    pub fn is_read_by(&self, state: &SyncState) -> bool {
        let end = self.end_in_window(state.from);
        self.from.is_none_or(|from| state.from <= from) && end.is_none_or(|to| state.to >= to)
    }

    /// Returns the end of this stretch in a window that begins at `from`.
    fn end_in_window(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.to.map(|to| to.min(from + LONGEST))
    }
}

impl Coverage {
    /// Returns what has been read of a calendar: all of a feed, and of an account's calendar the window of its syncs.
    pub fn of(state: &CalendarState) -> Self {
        let unlimited = |is_read| Self {
            from: None,
            to: None,
            is_read,
        };
        match (&state.calendar.source, &state.cursor.sync_state) {
            (CalendarSource::Feed(_), _) => unlimited(state.cursor.last_synced_at.is_some()),
            (CalendarSource::Account(_), None) => unlimited(false),
            (CalendarSource::Account(_), Some(read)) => Self {
                from: Some(read.read_from()),
                to: Some(read.to),
                is_read: true,
            },
        }
    }

    /// Returns whether all of a window has been read.
    pub fn includes(&self, window: &Window) -> bool {
        self.is_read
            && self.from.is_none_or(|from| from <= window.start)
            && self.to.is_none_or(|to| to >= window.end)
    }

    /// Returns the part of a window that has been read. It may be empty.
    pub fn part_of(&self, window: &Window) -> Window {
        Window {
            start: self
                .from
                .map_or(window.start, |from| from.max(window.start)),
            end: self.to.map_or(window.end, |to| to.min(window.end)),
            ..*window
        }
    }

    /// Returns the stretch to read in addition to the regular window, so that a window is covered as far as that is
    /// possible; `None` if nothing of the window would be gained.
    pub fn to_include(&self, window: &Window, now: DateTime<Utc>) -> Option<AskedWindow> {
        // Whole days: the limits move with time, and a stretch is asked for once a day at most.
        let midnight = |at: DateTime<Utc>| at.date_naive().and_time(NaiveTime::MIN).and_utc();
        let first = midnight(now - FARTHEST.0 + LEAST);
        let last = midnight(now + FARTHEST.1);
        let earlier = Some((window.start - SPARE).max(first))
            .filter(|start| {
                self.from
                    .is_some_and(|from| window.start < from && *start < from - LEAST)
            })
            .filter(|start| window.end > *start);
        let later = Some((window.end + SPARE).min(last))
            .filter(|end| {
                self.to
                    .is_some_and(|to| window.end > to && *end > to + LEAST)
            })
            .filter(|end| window.start < *end);
        (earlier.is_some() || later.is_some()).then(|| AskedWindow {
            from: earlier,
            to: later,
            until: now + ASKED_FOR,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("{text}T00:00:00Z").parse().unwrap()
    }

    fn window(start: &str, end: &str) -> Window {
        Window {
            start: at(start),
            end: at(end),
            zone: chrono_tz::UTC,
        }
    }

    const NOW: &str = "2027-01-01";

    fn coverage() -> Coverage {
        Coverage {
            from: Some(at("2026-12-02")),
            to: Some(at("2028-01-01")),
            is_read: true,
        }
    }

    #[test]
    fn a_window_outside_is_asked_for_with_a_spare() {
        let asked = |start, end| {
            let asked = coverage().to_include(&window(start, end), at(NOW))?;
            let day = |end: Option<DateTime<Utc>>| {
                end.map_or("-".to_owned(), |end| end.date_naive().to_string())
            };
            Some(format!("{} {}", day(asked.from), day(asked.to)))
        };
        assert_eq!(asked("2027-01-01", "2028-01-01"), None);
        assert_eq!(asked("2027-12-01", "2028-02-01").unwrap(), "- 2028-05-04");
        assert_eq!(asked("2026-08-01", "2026-09-01").unwrap(), "2026-04-30 -");
        // As far as it can be read: a part of it is better than nothing.
        assert_eq!(asked("2029-12-01", "2030-02-01").unwrap(), "- 2030-01-05");
        assert_eq!(asked("2031-01-01", "2031-02-01"), None);
        assert_eq!(asked("2020-01-01", "2020-02-01"), None);
    }

    #[test]
    fn stretches_are_joined() {
        let stretch = |from: Option<&str>, to: Option<&str>| AskedWindow {
            from: from.map(at),
            to: to.map(at),
            until: at(NOW),
        };
        let past = stretch(Some("2026-04-30"), None);
        let future = stretch(None, Some("2028-05-04"));
        let both = stretch(Some("2026-04-30"), Some("2028-05-04"));
        assert_eq!(past.clone().with(Some(&future)), both);
        assert_eq!(past.clone().with(None), past);
        assert!(both.includes(&past) && both.includes(&future) && !past.includes(&future));
    }

    #[test]
    fn a_window_is_widened_as_far_as_it_can_be_read() {
        let regular = (at("2026-12-02"), at("2028-01-01"));
        let widened = |from: Option<&str>, to: Option<&str>| {
            let asked = AskedWindow {
                from: from.map(at),
                to: to.map(at),
                until: at(NOW),
            };
            let (from, to) = asked.widen(regular);
            format!("{} {}", from.date_naive(), to.date_naive())
        };
        assert_eq!(widened(None, None), "2026-12-02 2028-01-01");
        assert_eq!(widened(Some("2026-04-30"), None), "2026-04-30 2028-01-01");
        assert_eq!(widened(None, Some("2028-05-04")), "2026-12-02 2028-05-04");
        assert_eq!(
            widened(Some("2027-04-30"), Some("2027-05-04")),
            "2026-12-02 2028-01-01"
        );
        let too_long = widened(Some("2024-01-01"), Some("2030-01-01"));
        assert_eq!(too_long, "2024-01-01 2028-12-30");
    }

    #[test]
    fn what_has_been_read_is_a_part_of_the_window() {
        let part = coverage().part_of(&window("2027-12-01", "2028-02-01"));
        assert_eq!((part.start, part.end), (at("2027-12-01"), at("2028-01-01")));
        assert!(coverage().includes(&window("2027-12-01", "2028-01-01")));
        assert!(!coverage().includes(&window("2027-12-01", "2028-01-02")));
        assert!(!coverage().includes(&window("2026-12-01", "2026-12-03")));
    }
}
