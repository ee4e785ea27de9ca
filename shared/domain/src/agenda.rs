//! Positions of events in the agenda index, and the occurrences in a window.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::event::Event;
use super::ids::{EventId, OriginalStart};
use super::recurrence::Expansion;
use super::time::{EventTime, MAX_ZONE_SHIFT};
use super::work::Work;

/// A class of event durations. Each span has its own partitions in the agenda index, so that a window query reads
/// little more than it returns: the span limits how long before the window an event can start and still overlap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Up to 25 hours; sorted by start.
    Day,
    /// Up to 31 days; sorted by start.
    Month,
    /// A series, or longer than 31 days; sorted by the end of what is last of it.
    Lasting,
}

impl Span {
    /// All spans.
    pub const ALL: [Self; 3] = [Self::Day, Self::Month, Self::Lasting];

    /// Returns how long before a window an event of this span can start; `None` if the span is sorted by end.
    pub fn reach(self) -> Option<TimeDelta> {
        match self {
            // The end of summer time makes a day an hour longer. The rest is a margin for unusual zones.
            Self::Day => Some(TimeDelta::hours(27)),
            Self::Month => Some(TimeDelta::days(32)),
            Self::Lasting => None,
        }
    }

    /// Returns the name of the span in partition keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Month => "MONTH",
            Self::Lasting => "LASTING",
        }
    }
}

/// Returns the position of an event in the agenda index: its span, and the instant by which it is sorted.
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
            (Span::Lasting, end.min(END_OF_TIME))
        }
        None if end - start <= TimeDelta::hours(25) => (Span::Day, start),
        None if end - start <= TimeDelta::days(31) => (Span::Month, start),
        None => (Span::Lasting, end.min(END_OF_TIME)),
    }
}

/// The sort position of series without an end, after all other events: `9999-12-31T23:59:59Z`.
pub const END_OF_TIME: DateTime<Utc> = DateTime::from_timestamp(253_402_300_799, 0).unwrap();

/// A time window, as seen by a reader in a zone.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Start, inclusive.
    pub start: DateTime<Utc>,
    /// End, exclusive.
    pub end: DateTime<Utc>,
    /// The reader's zone.
    pub zone: Tz,
}

impl Window {
    /// Returns the start of the range to query in the index. All-day and floating events are indexed as if they were in
    /// UTC, up to fourteen hours away from where the reader sees them.
    pub fn index_start(&self) -> DateTime<Utc> {
        self.start
            .checked_sub_signed(MAX_ZONE_SHIFT)
            .unwrap_or(self.start)
    }

    /// Returns the end of the range to query in the index. See [`Window::index_start`].
    pub fn index_end(&self) -> DateTime<Utc> {
        self.end
            .checked_add_signed(MAX_ZONE_SHIFT)
            .unwrap_or(self.end)
    }

    /// Returns whether the interval from `start` to `end` overlaps the window. An empty one must start inside it.
    fn shows(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> bool {
        start < self.end && (end > self.start || (start == end && start >= self.start))
    }
}

/// An entry of the agenda: a single event, or one occurrence of a series.
#[derive(Clone, Debug)]
pub struct Occurrence<'a> {
    /// Id of the event or occurrence.
    pub id: EventId,
    /// The event or series, which has all other properties.
    pub event: &'a Event,
    /// Start.
    pub start: EventTime,
    /// End, exclusive.
    pub end: EventTime,
    /// Where the rule of its series places it; `None` if it does not belong to a series.
    pub original_start: Option<EventTime>,
    /// Instant of the start for the reader. Occurrences are sorted by this and then by id.
    pub starts_at: DateTime<Utc>,
}

/// Maximum number of occurrences of one series in one window.
pub const MAX_OCCURRENCES: usize = 5_000;

/// Returns the event or, for a series, its first occurrences in a window, at most [`MAX_OCCURRENCES`]. The flag is true if
/// some of these had to be left out because they would take too much work to find.
pub fn occurrences<'a>(event: &'a Event, window: &Window) -> (Vec<Occurrence<'a>>, bool) {
    let work = &mut Work::one_rule();
    occurrences_from(
        event,
        window,
        first_start(event, window),
        MAX_OCCURRENCES,
        work,
    )
}

/// Returns the earliest start of an occurrence that can overlap the window.
pub fn first_start(event: &Event, window: &Window) -> DateTime<Utc> {
    let start = window.start.checked_sub_signed(event.duration());
    start.unwrap_or(window.start)
}

/// As [`occurrences`], but of a series only the first `limit` that start at or after `from`, with a budget that several
/// series share. The flag is true if some had to be left out before the limit was reached.
pub fn occurrences_from<'a>(
    event: &'a Event,
    window: &Window,
    from: DateTime<Utc>,
    limit: usize,
    work: &mut Work,
) -> (Vec<Occurrence<'a>>, bool) {
    let Some(series) = &event.series else {
        return (single(event, window).into_iter().collect(), false);
    };
    let expansion = series.expand_within(event.start, from, window.end, window.zone, limit, work);
    let is_cut = expansion.truncated && expansion.starts.len() < limit;
    let starts = expansion.starts.iter();
    let shown = starts.map(|at| occurrence(event, &expansion, *at, window.zone));
    let shown = shown.filter(|one| window.shows(one.starts_at, one.end.instant(window.zone)));
    (shown.collect(), is_cut)
}

fn single<'a>(event: &'a Event, window: &Window) -> Option<Occurrence<'a>> {
    let one = single_occurrence(event, window.zone);
    window
        .shows(one.starts_at, one.end.instant(window.zone))
        .then_some(one)
}

/// Returns a non-recurring event or an override as an occurrence, for a reader in `zone`.
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

fn occurrence<'a>(
    event: &'a Event,
    expansion: &Expansion,
    at: EventTime,
    zone: Tz,
) -> Occurrence<'a> {
    let start = event
        .series
        .as_ref()
        .map_or(at, |series| series.shifted(at));
    Occurrence {
        id: event.id.occurrence(expansion.original_start(at)),
        event,
        start,
        end: start.plus(event.duration()),
        original_start: Some(at),
        starts_at: start.instant(zone),
    }
}

/// Returns the occurrence of a series with this original start; `None` if the series has none or it is overridden.
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
    let at = found.find(original)?;
    Some(occurrence(event, &found, at, zone))
}

/// Returns whether a series yields an occurrence with this original start, whether or not it is overridden. If it does
/// not, a stored override with this original start no longer belongs to the series.
pub fn rule_yields(event: &Event, original: OriginalStart) -> bool {
    let Some(series) = &event.series else {
        return false;
    };
    let bare = series.without_overrides();
    let at = series
        .shifted(original_time(original, event.start))
        .instant(Tz::UTC);
    let found = bare.expand(event.start, at, at + TimeDelta::seconds(1), Tz::UTC, 10);
    found.find(original).is_some()
}

/// Converts an original start to the same kind of time as the start of its series.
pub fn original_time(original: OriginalStart, like: EventTime) -> EventTime {
    match original {
        OriginalStart::Date(date) => EventTime::Date(date),
        OriginalStart::Floating(local) => like.with_local(local),
        OriginalStart::Instant(at) => match like.zone() {
            Some(zone) => EventTime::Zoned(at.with_timezone(&zone).naive_local(), zone),
            None => EventTime::utc(at),
        },
    }
}
