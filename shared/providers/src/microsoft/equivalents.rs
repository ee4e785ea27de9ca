//! What Microsoft has of an event is not always spelled as it was written: values that mean the same are kept as they are
//! here.

use calweave_domain::event::Event;
use calweave_domain::ids::OriginalStart;
use calweave_domain::recurrence::Series;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::zones::windows_name;
use chrono_tz::Tz;

use super::{pattern, recurrence};

/// Replaces values of `incoming` by those of `known` where Microsoft cannot tell the two apart:
/// zones, rules and exceptions. While an edit of `known` is not written yet, Microsoft has what the
/// edit began with, or what it has come to: both are compared.
pub(super) fn keep_equivalents(known: &Event, incoming: &mut Event) {
    let before = known.before_edit();
    let states = || std::iter::once(known).chain(&before);
    for state in states() {
        incoming.start = likened(state.start, incoming.start);
        incoming.end = likened(state.end, incoming.end);
    }
    let start = incoming.start;
    let Some(other) = incoming.series.as_deref_mut() else {
        return;
    };
    let series = || states().filter_map(|state| Some((state.start, state.series.as_deref()?)));
    // Rules that Microsoft expresses by the same pattern are the same rule.
    let same = series().find(|(at, known)| *at == start && says_the_same(known, *at, other));
    if let Some((_, same)) = same {
        other.rules.clone_from(&same.rules);
    }
    // Microsoft stores the exceptions as cancelled occurrences.
    let mut cancelled: Vec<OriginalStart> = Vec::new();
    for (at, known) in series() {
        for except in &known.except_dates {
            if !cancelled.contains(except) && is_cancelled(other, at, *except) {
                cancelled.push(*except);
            }
        }
    }
    other.except_dates = cancelled;
}

/// Returns `incoming` in the zone of `known` if Microsoft has one name for both zones.
fn likened(known: EventTime, incoming: EventTime) -> EventTime {
    match (known, incoming) {
        (EventTime::Zoned(_, zone), EventTime::Zoned(local, other)) if zone != other => {
            let same = windows_name(zone)
                .map_or(other == Tz::UTC, |name| Some(name) == windows_name(other));
            let at = EventTime::at(to_instant(local, other), zone);
            if same && at.zone() == Some(zone) {
                at
            } else {
                incoming
            }
        }
        _ => incoming,
    }
}

/// Whether Microsoft expresses the rule of a series that begins at `start` by the pattern that it
/// has.
fn says_the_same(series: &Series, start: EventTime, read: &Series) -> bool {
    let patterned = recurrence::patterned(&series.without_exceptions(), start);
    let said = patterned.map(|patterned| pattern::series(&patterned.recurrence));
    said.is_ok_and(|said| said.is_ok_and(|said| said == read.without_exceptions()))
}

/// Whether an exception of a series that begins at `start` is a cancelled occurrence of what was
/// read.
fn is_cancelled(read: &Series, start: EventTime, except: OriginalStart) -> bool {
    let day = |at: &OriginalStart| match at {
        OriginalStart::Date(other) => Some(*other),
        OriginalStart::Instant(at) => {
            let zone = start.zone()?;
            Some(at.with_timezone(&zone).date_naive())
        }
        OriginalStart::Floating(local) => Some(local.date()),
    };
    let mut cancelled = read.overridden.iter();
    match except {
        OriginalStart::Date(date) => cancelled.any(|at| day(at) == Some(date)),
        _ => cancelled.any(|at| *at == except),
    }
}
