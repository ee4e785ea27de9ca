//! Where events lie in time: the spans of the agenda index, and the occurrences that a window shows.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::event::Event;
use super::ids::{EventId, OriginalStart};
use super::time::{EventTime, MAX_ZONE_SHIFT};

/// How long an event takes, as far as finding it is concerned. Each span is a partition of its own, so that a window
/// query reads what it returns: an event that began before the window can only reach into it by its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Up to a day; sorted by start.
    Day,
    /// Up to 31 days; sorted by start.
    Month,
    /// Longer; sorted by end.
    Long,
    /// A series; sorted by the end of its last occurrence.
    Series,
}

impl Span {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Day, Self::Month, Self::Long, Self::Series];

    /// How far before a window an event of this span can start; `None` where the index is sorted by end.
    pub fn reach(self) -> Option<TimeDelta> {
        match self {
            // Summer time makes a whole day up to an hour longer; leave room for odder zones.
            Self::Day => Some(TimeDelta::hours(27)),
            Self::Month => Some(TimeDelta::days(32)),
            Self::Long | Self::Series => None,
        }
    }

    /// The name of its partitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Month => "MONTH",
            Self::Long => "LONG",
            Self::Series => "SERIES",
        }
    }
}

/// Where the agenda index holds an event: its span, and the instant it is sorted by.
pub fn index_position(event: &Event) -> (Span, DateTime<Utc>) {
    let start = event.start.instant(Tz::UTC);
    let end = event.end.instant(Tz::UTC);
    match &event.series {
        Some(series) => {
            let last = series
                .last_start(event.start)
                .map(|last| event.start.with_local(last).instant(Tz::UTC));
            let end = last
                .and_then(|last| last.checked_add_signed(event.duration()))
                .unwrap_or(END_OF_TIME);
            (Span::Series, end.min(END_OF_TIME))
        }
        None if end - start <= TimeDelta::hours(25) => (Span::Day, start),
        None if end - start <= TimeDelta::days(31) => (Span::Month, start),
        None => (Span::Long, end.min(END_OF_TIME)),
    }
}

/// Sorts behind every event that ends: `9999-12-31T23:59:59Z`.
pub const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp(253_402_300_799, 0).unwrap();

/// A stretch of time that somebody looks at, in the zone of who looks.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First instant.
    pub start: DateTime<Utc>,
    /// First instant that no longer belongs to it.
    pub end: DateTime<Utc>,
    /// The reader's zone.
    pub zone: Tz,
}

impl Window {
    /// The part of the index that can hold what the window shows: all-day and floating events are indexed as if they
    /// were in UTC, up to fourteen hours away from where the reader sees them.
    pub fn index_start(&self) -> DateTime<Utc> {
        self.start
            .checked_sub_signed(MAX_ZONE_SHIFT)
            .unwrap_or(self.start)
    }

    /// See [`Window::index_start`].
    pub fn index_end(&self) -> DateTime<Utc> {
        self.end
            .checked_add_signed(MAX_ZONE_SHIFT)
            .unwrap_or(self.end)
    }

    /// Whether something from `start` to `end` is seen. What takes no time is seen where it is.
    fn shows(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> bool {
        start < self.end && (end > self.start || (start == end && start >= self.start))
    }
}

/// One thing to show in a calendar: a single event, or one occurrence of a series.
#[derive(Clone, Debug)]
pub struct Occurrence<'a> {
    /// What it is called.
    pub id: EventId,
    /// What it says.
    pub event: &'a Event,
    /// When it starts.
    pub start: EventTime,
    /// When it ends, exclusively.
    pub end: EventTime,
    /// Where the rule of its series places it, when it has one.
    pub original_start: Option<EventTime>,
    /// The instant of its start for the reader: what it is sorted by, together with its id.
    pub starts_at: DateTime<Utc>,
}

/// The most occurrences of one series in one window.
pub const MAX_OCCURRENCES: usize = 5_000;

/// What `event` shows in a window: itself, or its occurrences. The flag says that there was more than can be shown.
pub fn occurrences<'a>(event: &'a Event, window: &Window) -> (Vec<Occurrence<'a>>, bool) {
    let Some(series) = &event.series else {
        return (single(event, window).into_iter().collect(), false);
    };
    let duration = event.duration();
    let from = window
        .start
        .checked_sub_signed(duration)
        .unwrap_or(window.start);
    let expansion = series.expand(event.start, from, window.end, window.zone, MAX_OCCURRENCES);
    let shown = expansion
        .starts
        .into_iter()
        .map(|at| occurrence(event, at, window.zone));
    (
        shown
            .filter(|one| window.shows(one.starts_at, one.end.instant(window.zone)))
            .collect(),
        expansion.truncated,
    )
}

fn single<'a>(event: &'a Event, window: &Window) -> Option<Occurrence<'a>> {
    let one = single_occurrence(event, window.zone);
    window
        .shows(one.starts_at, one.end.instant(window.zone))
        .then_some(one)
}

/// An event that is no series, as somebody in `zone` sees it.
pub fn single_occurrence(event: &Event, zone: Tz) -> Occurrence<'_> {
    Occurrence {
        id: event.id.clone(),
        event,
        start: event.start,
        end: event.end,
        original_start: event
            .original_start()
            .map(|at| original_time(at, event.start)),
        starts_at: event.start.instant(zone),
    }
}

fn occurrence(event: &Event, at: EventTime, zone: Tz) -> Occurrence<'_> {
    let start = event
        .series
        .as_ref()
        .map_or(at, |series| series.shifted(at));
    Occurrence {
        id: event.id.occurrence(at.original_start()),
        event,
        start,
        end: start.plus(event.duration()),
        original_start: Some(at),
        starts_at: start.instant(zone),
    }
}

/// The occurrence of a series that its rule places at `original`, if it has one there.
pub fn find_occurrence(event: &Event, original: OriginalStart, zone: Tz) -> Option<Occurrence<'_>> {
    let series = event.series.as_ref()?;
    let at = series.shifted(original_time(original, event.start));
    let instant = at.instant(zone);
    let found = series.expand(
        event.start,
        instant,
        instant + TimeDelta::seconds(1),
        zone,
        10,
    );
    let at = found
        .starts
        .into_iter()
        .find(|at| at.original_start() == original)?;
    Some(occurrence(event, at, zone))
}

/// Whether the rule of a series places an occurrence there, whatever became of it. What it does not place is no occurrence
/// of the series any more, even if there is an event that says so.
pub fn rule_yields(event: &Event, original: OriginalStart) -> bool {
    let Some(series) = &event.series else {
        return false;
    };
    let bare = series.without_overrides();
    let at = series
        .shifted(original_time(original, event.start))
        .instant(Tz::UTC);
    let found = bare.expand(event.start, at, at + TimeDelta::seconds(1), Tz::UTC, 10);
    found
        .starts
        .iter()
        .any(|at| at.original_start() == original)
}

/// An original start as a time of the kind that its series has.
fn original_time(original: OriginalStart, like: EventTime) -> EventTime {
    match original {
        OriginalStart::Date(date) => EventTime::Date(date),
        OriginalStart::Floating(local) => like.with_local(local),
        OriginalStart::Instant(at) => match like.zone() {
            Some(zone) => EventTime::Zoned(at.with_timezone(&zone).naive_local(), zone),
            None => EventTime::utc(at),
        },
    }
}
