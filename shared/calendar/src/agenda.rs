//! The agenda: the occurrences that a user sees in a time window, page by page.
//!
//! Events of up to a month are read from the index in the order of their start. Longer events and series are read as
//! far as they have not ended. Both are merged up to a *horizon*: the start up to which the sorted events have been
//! read, less the fourteen hours by which the index and the reader's wall clock can differ. So a page reads about as
//! much as it returns, and pages neither repeat nor skip an event, even if events are added in between.

use std::collections::{HashMap, HashSet};

use calweave_domain::agenda::{
    MAX_OCCURRENCES, Occurrence, Span, Window, first_start, occurrences, occurrences_from,
    single_occurrence,
};
use calweave_domain::calendar::{CalendarState, SyncStatus};
use calweave_domain::coverage::{AskedWindow, Coverage};
use calweave_domain::event::Event;
use calweave_domain::ids::{CalendarId, UserId};
use calweave_domain::time::MAX_ZONE_SHIFT;
use calweave_domain::work::Work;
use calweave_store::agenda::SpanPages;
use calweave_store::{Store, StoreError, WriteOutcome};
use chrono::{DateTime, Utc};
use tracing::warn;

use crate::calendars::CalendarsById;
use crate::filter::EventFilter;
use crate::sync_requests::request_sync;
use crate::{Context, Result as UseCaseResult};

/// A query of the agenda.
#[derive(Clone, Debug)]
pub struct AgendaQuery<'a> {
    /// The owner of the calendars.
    pub user: UserId,
    /// The time window.
    pub window: Window,
    /// The calendars to include, with what is known of the window ([`cover_window`]).
    pub calendars: &'a [WindowCoverage<'a>],
    /// The conditions that events must meet.
    pub filter: &'a EventFilter,
    /// Whether a series is included as its occurrences. Otherwise it is included once, at its first occurrence in the window,
    /// and beside it each of its overrides in the window.
    pub expands_series: bool,
    /// Start and id of the last occurrence of the previous page; `None` for the first page.
    pub after: Option<(DateTime<Utc>, String)>,
    /// Maximum number of occurrences.
    pub limit: usize,
}

/// A page of the agenda.
#[derive(Debug, Default)]
pub struct OccurrencePage<T> {
    /// The occurrences, sorted by start and then by id.
    pub occurrences: Vec<T>,
    /// Start and id from which the next page continues; `None` on the last page. A page can have fewer occurrences than
    /// requested and yet not be the last one, if few of the events meet the conditions.
    pub next: Option<(DateTime<Utc>, String)>,
    /// The calendars of which a series is missing occurrences, because it would take too much work to find them.
    pub cut: HashSet<CalendarId>,
}

/// What of a window is known of one calendar.
#[derive(Debug)]
pub struct WindowCoverage<'a> {
    /// The calendar.
    pub state: &'a CalendarState,
    /// The stretch of it that has been read.
    pub coverage: Coverage,
    /// Whether all of the window has been read.
    pub is_complete: bool,
    /// Whether more of the window is being read.
    pub is_being_read: bool,
}

/// Returns what is known of a window, in the order of the calendars. What is beyond the window of an account's calendar
/// is requested to be read, at most once for each stretch.
pub async fn cover_window<'a>(
    context: &Context,
    user: UserId,
    calendars: &'a CalendarsById,
    window: &Window,
) -> UseCaseResult<Vec<WindowCoverage<'a>>> {
    let now = context.clock.now();
    let mut covered = Vec::with_capacity(calendars.len());
    for (id, state) in calendars {
        let coverage = Coverage::of(state);
        let wanted = coverage.to_include(window, now);
        let has_failed = state.cursor.status == SyncStatus::Failed;
        let is_being_read = !has_failed && (!coverage.is_read || wanted.is_some());
        let known = state.cursor.asked_window_at(now);
        if let Some(wanted) = wanted
            && known.is_none_or(|known| !known.includes(&wanted))
        {
            // The list is read all the same.
            if let Err(error) = ask(context, user, *id, &wanted.with(known)).await {
                warn!("could not have more of {id} read: {error}");
            }
        }
        covered.push(WindowCoverage {
            state,
            coverage,
            is_complete: coverage.includes(window),
            is_being_read,
        });
    }
    Ok(covered)
}

async fn ask(
    context: &Context,
    user: UserId,
    calendar: CalendarId,
    asked: &AskedWindow,
) -> UseCaseResult<()> {
    match context.store.ask_window(user, calendar, asked).await? {
        WriteOutcome::Written => request_sync(context, user, calendar, 0).await?,
        WriteOutcome::ConditionFailed => None,
    };
    Ok(())
}

/// Number of events read for one page, after which the page ends even if it is not full.
const MAX_SCANNED: usize = 5_000;
/// Minimum number of events read at once when some of them do not meet the conditions.
const FILTERED_STEP: usize = 500;
/// Sorts after the id of every event.
const AFTER_ALL_IDS: &str = "~";

/// Reads one page of the agenda. `view` converts each occurrence to the result type.
pub async fn list_occurrences<T>(
    store: &Store,
    query: AgendaQuery<'_>,
    view: impl Fn(&Occurrence<'_>) -> T,
) -> Result<OccurrencePage<T>, StoreError> {
    let calendars = query.calendars.iter();
    let coverage = calendars.map(|one| (one.state.calendar.id, one.coverage));
    let coverage: HashMap<CalendarId, Coverage> = coverage.collect();
    let step = step(&query);
    let [mut day, mut month, mut lasting] = Span::ALL.map(|span| Stream::new(store, &query, span));
    tokio::try_join!(
        Box::pin(day.read(step)),
        Box::pin(month.read(step)),
        Box::pin(lasting.read_all())
    )?;
    let lasting = lasting.events;
    let expanded = expand(&lasting, &query, &coverage);
    let mut streams = [day, month];
    loop {
        let all_read = streams.iter().all(|stream| stream.pages.is_done());
        let horizon = if all_read {
            query.window.end
        } else {
            horizon(&streams)
        };
        let events = streams.iter().flat_map(|stream| &stream.events);
        let mut seen = occurrences_until(events, &expanded, &query, &coverage, horizon);
        if seen.len() <= query.limit && !all_read && !is_enough(&streams, &query, horizon) {
            let unread = streams.iter_mut().filter(|one| !one.pages.is_done());
            if let Some(lagging) = unread.min_by_key(|one| one.read_to) {
                lagging.read(step).await?;
            }
            continue;
        }
        let next = if seen.len() > query.limit {
            let last = seen.get(query.limit - 1);
            last.map(|one| (one.starts_at, one.id.to_string()))
        } else {
            (!all_read).then(|| (horizon, AFTER_ALL_IDS.to_owned()))
        };
        seen.truncate(query.limit);
        return Ok(OccurrencePage {
            occurrences: seen.iter().map(view).collect(),
            next,
            cut: expanded.cut,
        });
    }
}

/// Returns how many events are read at once.
fn step(query: &AgendaQuery<'_>) -> i32 {
    let shown = query.limit + 1;
    let step = if query.filter.is_empty() {
        shown
    } else {
        shown.max(FILTERED_STEP)
    };
    i32::try_from(step).unwrap_or(i32::MAX)
}

/// Returns whether a page ends here although it is not full: much has been read for it, and the next page begins later.
fn is_enough(streams: &[Stream<'_>], query: &AgendaQuery<'_>, horizon: DateTime<Utc>) -> bool {
    let scanned: usize = streams.iter().map(|stream| stream.scanned).sum();
    let after = query.after.as_ref();
    let begins_at = after.map_or(query.window.start, |(start, _)| *start);
    scanned >= MAX_SCANNED && horizon > begins_at
}

struct Stream<'a> {
    pages: SpanPages<'a>,
    filter: &'a EventFilter,
    /// The events that meet the conditions.
    events: Vec<Event>,
    /// Number of all events that were read.
    scanned: usize,
    /// Position in the index of the last event that was read.
    read_to: Option<DateTime<Utc>>,
}

impl<'a> Stream<'a> {
    fn new(store: &'a Store, query: &AgendaQuery<'a>, span: Span) -> Self {
        let (low, high) = bounds(query, span);
        Self {
            pages: store.span(query.user, span, low, high),
            filter: query.filter,
            events: vec![],
            scanned: 0,
            read_to: None,
        }
    }

    async fn read(&mut self, step: i32) -> Result<(), StoreError> {
        let events = self.pages.next(Some(step)).await?;
        self.read_to = events
            .last()
            .map(|event| event.start.instant(chrono_tz::UTC))
            .or(self.read_to);
        self.add(events);
        Ok(())
    }

    fn add(&mut self, events: Vec<Event>) {
        self.scanned += events.len();
        let matching = events
            .into_iter()
            .filter(|event| self.filter.matches(event));
        self.events.extend(matching);
    }

    async fn read_all(&mut self) -> Result<(), StoreError> {
        while !self.pages.is_done() {
            let events = self.pages.next(None).await?;
            self.add(events);
        }
        Ok(())
    }
}

/// Returns the range of the index that can contain the events of this page.
fn bounds(query: &AgendaQuery<'_>, span: Span) -> (DateTime<Utc>, DateTime<Utc>) {
    let window = &query.window;
    let low = match (&query.after, span.reach()) {
        // Occurrences that start before the last item are on earlier pages.
        (Some((start, _)), Some(reach)) => {
            (*start - MAX_ZONE_SHIFT).max(window.index_start() - reach)
        }
        (None, Some(reach)) => window.index_start() - reach,
        (Some((start, _)), None) => (*start - MAX_ZONE_SHIFT).max(window.index_start()),
        (None, None) => window.index_start(),
    };
    (low, window.index_end())
}

/// Returns the start up to which all streams have been read.
fn horizon(streams: &[Stream<'_>]) -> DateTime<Utc> {
    let unread = streams.iter().filter(|stream| !stream.pages.is_done());
    // Of a stream that gave nothing yet, nothing is known.
    let read = unread.map(|stream| stream.read_to.unwrap_or(DateTime::<Utc>::MIN_UTC));
    let read = read.min().unwrap_or(DateTime::<Utc>::MIN_UTC);
    read.checked_sub_signed(MAX_ZONE_SHIFT).unwrap_or(read)
}

/// The occurrences of the series, and of the events that last longer than a month.
struct Expanded<'e> {
    occurrences: Vec<Occurrence<'e>>,
    /// The calendars of series that took too much work.
    cut: HashSet<CalendarId>,
}

/// Expands the series, once for the whole page. Each gives one more than the page can show, so that it is known whether there
/// are more.
fn expand<'e>(
    events: &'e [Event],
    query: &AgendaQuery<'_>,
    coverage: &HashMap<CalendarId, Coverage>,
) -> Expanded<'e> {
    // Two occurrences of a series can begin at the same time, and of those with the last one of the previous page.
    let limit = MAX_OCCURRENCES.min(query.limit + 4);
    let mut work = Work::new(Work::REQUEST);
    let mut expanded = Expanded {
        occurrences: vec![],
        cut: HashSet::new(),
    };
    for event in events {
        let Some(coverage) = coverage.get(&event.calendar()) else {
            continue;
        };
        // Of a series, only what has been read is known.
        let window = match event.series {
            Some(_) => coverage.part_of(&query.window),
            None => query.window,
        };
        if event.series.is_some() && !query.expands_series {
            expanded
                .occurrences
                .extend(whole_series(event, &window, &mut work));
            continue;
        }
        // Occurrences that start before the last item are on earlier pages.
        let from = match &query.after {
            Some((start, _)) => window.start.max(*start),
            None => first_start(event, &window),
        };
        let (found, is_cut) = occurrences_from(event, &window, from, limit, &mut work);
        expanded.occurrences.extend(found);
        if is_cut {
            warn!(event.id = %event.id, "a series took too much work to be shown whole");
            expanded.cut.insert(event.calendar());
        }
    }
    expanded
}

/// Returns a series as one entry, at its first occurrence in the window, whether or not that is overridden; `None` if it has
/// none.
fn whole_series<'e>(event: &'e Event, window: &Window, work: &mut Work) -> Option<Occurrence<'e>> {
    let series = event.series.as_ref()?;
    let bare = Event {
        series: Some(Box::new(series.without_overrides())),
        ..event.clone()
    };
    let (first, _) = occurrences_from(&bare, window, first_start(event, window), 4, work);
    let starts_at = first.first()?.starts_at;
    Some(Occurrence {
        starts_at,
        ..single_occurrence(event, window.zone)
    })
}

/// Returns the occurrences that start up to the horizon, in order, without those of earlier pages.
fn occurrences_until<'e>(
    events: impl Iterator<Item = &'e Event>,
    expanded: &Expanded<'e>,
    query: &AgendaQuery<'_>,
    coverage: &HashMap<CalendarId, Coverage>,
    horizon: DateTime<Utc>,
) -> Vec<Occurrence<'e>> {
    let known = events.filter(|event| coverage.contains_key(&event.calendar()));
    let mut seen: Vec<Occurrence<'e>> = known
        .flat_map(|event| occurrences(event, &query.window).0)
        .collect();
    seen.extend(expanded.occurrences.iter().cloned());
    seen.retain(|one| one.starts_at <= horizon);
    if let Some((start, id)) = &query.after {
        seen.retain(|one| {
            one.starts_at > *start || (one.starts_at == *start && one.id.to_string() > *id)
        });
    }
    seen.sort_by_cached_key(|one| (one.starts_at, one.id.to_string()));
    seen
}
