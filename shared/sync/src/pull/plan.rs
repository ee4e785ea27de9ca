//! What one page of changes means for the events that are stored. Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use calweave_domain::agenda::{index_position, rule_yields};
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_providers::Change;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::names::event_of;

/// A half-open interval of time.
pub(super) type Interval = (DateTime<Utc>, DateTime<Utc>);

/// The originals of changed and cancelled occurrences, by series.
pub(super) type Originals = HashMap<EventId, Vec<OriginalStart>>;

/// The changes of one page, and what has to be known about them.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// One change for each event, in the order of their ids: a series before its occurrences.
    pub changes: BTreeMap<EventId, Change>,
    /// The series that the page brings with all of their exceptions.
    pub complete: Vec<EventId>,
    /// New events outside of this interval are left out.
    pub window: Option<Interval>,
}

/// What is stored of the events that a page is about.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The events themselves, and the series of those that are occurrences.
    pub events: HashMap<EventId, Event>,
    /// The overrides of each stored series in [`Page::complete`].
    pub overrides: HashMap<EventId, Vec<Event>>,
}

/// An event that the provider has, over what is stored.
#[derive(Debug)]
pub(super) struct Upsert {
    /// The event as it is stored.
    pub before: Option<Event>,
    /// The event as the provider has it.
    pub incoming: Event,
    /// The occurrences that the stored series hides from now on, whatever comes of the merge.
    pub hidden: Option<Vec<OriginalStart>>,
}

/// What to do about a page. The parts are carried out in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct PagePlan {
    /// Stored series that hide these occurrences too, because they are events of their own now, or cancelled. First, so
    /// that an override which is removed is never replaced by what its rule says.
    pub hidden: Vec<(Event, Vec<OriginalStart>)>,
    /// Stored events that the provider no longer has.
    pub removals: Vec<Event>,
    /// Events to be reconciled with what is stored.
    pub upserts: Vec<Upsert>,
}

/// Plans one page. `orphans` are the originals whose series has not been seen: those of this page are among them, and what
/// remains waits for a later page. `is_named` says whether the provider calls a stored event by a remote id.
pub(super) fn plan_page(
    page: Page,
    mut stored: Stored,
    orphans: &mut Originals,
    is_named: impl Fn(&Event, &str) -> bool,
) -> PagePlan {
    let Page {
        mut changes,
        complete,
        window,
    } = page;
    let mut plan = PagePlan::default();
    let strays = strays(&changes, &stored.events);
    let mut hidden = HashMap::new();
    for id in complete {
        let sent = orphans.remove(&id).unwrap_or_default();
        let overrides = stored.overrides.remove(&id).unwrap_or_default();
        let originals = plan.drop_missing_exceptions(overrides, sent);
        let incoming = changes.get_mut(&id).and_then(upserted);
        if let Some(series) = incoming.and_then(|event| event.series.as_deref_mut()) {
            series.overridden.clone_from(&originals);
        }
        let Some(known) = stored.events.get_mut(&id) else {
            continue;
        };
        if known.is_edited() {
            // The merge may leave the series as it is, for an edit that waits. What it hides is certain all the same.
            hidden.insert(id, originals);
        } else if let Some(series) = known.series.as_deref_mut() {
            series.overridden = originals;
        }
    }
    plan.assign_orphans(&mut changes, &stored.events, orphans);
    for (id, change) in changes {
        let before = stored.events.remove(&id);
        match change {
            Change::Upserted(_) if strays.contains(&id) => plan.removals.extend(before),
            Change::Upserted(incoming) => {
                let is_new = before.is_none();
                let is_outside = |window| !lies_within(&incoming, window);
                if !(is_new && window.is_some_and(is_outside)) {
                    let (incoming, hidden) = (*incoming, hidden.remove(&id));
                    plan.upserts.push(Upsert {
                        before,
                        incoming,
                        hidden,
                    });
                }
            }
            // The remote id that an event had before it was recreated says nothing about the event as it is now.
            Change::Removed { remote_id, .. } => plan
                .removals
                .extend(before.filter(|event| is_named(event, &remote_id))),
            Change::OccurrenceCancelled { .. } => plan.removals.extend(before),
        }
    }
    plan
}

impl PagePlan {
    /// Of a series that comes with all of its exceptions, an override that does not come is an exception no more. One with an
    /// edit that waits stays. Returns the originals of all exceptions.
    fn drop_missing_exceptions(
        &mut self,
        overrides: Vec<Event>,
        mut originals: Vec<OriginalStart>,
    ) -> Vec<OriginalStart> {
        for event in overrides {
            match event.original_start() {
                Some(original) if !originals.contains(&original) => {
                    if event.is_edited() {
                        originals.push(original);
                    } else {
                        self.removals.push(event);
                    }
                }
                _ => {}
            }
        }
        originals.sort_unstable();
        originals.dedup();
        originals
    }

    /// Has each series hide its changed and cancelled occurrences: in the change that brings the series, or in the series as
    /// it is stored.
    fn assign_orphans(
        &mut self,
        changes: &mut BTreeMap<EventId, Change>,
        stored: &HashMap<EventId, Event>,
        orphans: &mut Originals,
    ) {
        let mut ids: Vec<EventId> = orphans.keys().cloned().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(incoming) = changes.get_mut(&id).and_then(upserted) {
                if let Some(series) = &mut incoming.series {
                    series
                        .overridden
                        .extend(orphans.remove(&id).unwrap_or_default());
                }
            } else if let Some(event) = stored.get(&id) {
                let originals = orphans.remove(&id).unwrap_or_default();
                self.hidden.push((event.clone(), originals));
            }
        }
    }
}

fn upserted(change: &mut Change) -> Option<&mut Event> {
    match change {
        Change::Upserted(event) => Some(event),
        _ => None,
    }
}

/// The changed occurrences that the rule of their series no longer yields, as the series has moved away from them. Nobody
/// sees such an occurrence at the provider.
fn strays(
    changes: &BTreeMap<EventId, Change>,
    stored: &HashMap<EventId, Event>,
) -> HashSet<EventId> {
    let series_of = |id: &EventId| match changes.get(&id.series()) {
        Some(Change::Upserted(event)) => Some(&**event),
        _ => stored.get(&id.series()),
    };
    let is_stray = |id: &EventId| {
        let series = series_of(id).filter(|event| event.series.is_some());
        let placed = id.original_start().zip(series);
        placed.is_some_and(|(original, series)| !rule_yields(series, original))
    };
    changes.keys().filter(|id| is_stray(id)).cloned().collect()
}

/// One change for each event: the last that the provider has sent.
pub(super) fn last_changes(changes: Vec<Change>) -> BTreeMap<EventId, Change> {
    let mut last = BTreeMap::new();
    for change in changes {
        let id = event_of(&change);
        // A recreated event has the id of the one that was deleted before it, whichever of the two is sent first.
        let is_older = match (&change, last.get(&id)) {
            (Change::Removed { remote_id, .. }, Some(Change::Upserted(event))) => event
                .link
                .as_ref()
                .and_then(|link| link.remote_id.as_ref())
                .is_some_and(|other| other != remote_id),
            _ => false,
        };
        if !is_older {
            last.insert(id, change);
        }
    }
    last
}

/// Whether any part of an event lies in an interval.
pub(super) fn lies_within(event: &Event, (from, to): Interval) -> bool {
    let start = event.start.instant(Tz::UTC);
    let end = match &event.series {
        Some(_) => index_position(event).1,
        None => event.end.instant(Tz::UTC),
    };
    start < to && end > from
}

#[cfg(test)]
mod tests {
    use super::*;
    use calweave_domain::details::EventDetails;
    use calweave_domain::ids::CalendarId;
    use calweave_domain::link::EventLink;
    use calweave_domain::time::EventTime;

    fn event(remote_id: &str) -> Event {
        let start: EventTime = "2026-03-02T09:00:00[UTC]".parse().unwrap();
        Event {
            id: EventId::of(CalendarId::from_bytes([1; 16]), "a"),
            uid: "a".into(),
            start,
            end: start.plus(chrono::TimeDelta::hours(1)),
            series: None,
            zone_guessed: false,
            details: Box::new(EventDetails::default()),
            link: Some(Box::new(EventLink {
                remote_id: Some(remote_id.into()),
                ..EventLink::default()
            })),
            content_hash: String::new(),
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_removal_of_what_was_recreated_is_the_older_change() {
        let upserted = |remote_id: &str| Change::Upserted(Box::new(event(remote_id)));
        let removed = |remote_id: &str| Change::Removed {
            id: event("a").id,
            remote_id: remote_id.into(),
        };
        let is_there = |changes: Vec<Change>| {
            let last = last_changes(changes);
            assert_eq!(last.len(), 1);
            matches!(last.values().next(), Some(Change::Upserted(_)))
        };
        assert!(is_there(vec![upserted("new"), removed("old")]));
        assert!(is_there(vec![removed("old"), upserted("new")]));
        assert!(!is_there(vec![upserted("same"), removed("same")]));
        assert!(is_there(vec![removed("same"), upserted("same")]));
    }

    #[test]
    fn the_edges_of_a_window_are_outside() {
        let at = |hour: u32| format!("2026-03-02T{hour:02}:00:00Z").parse().unwrap();
        for (from, to, expected) in [(8, 9, false), (8, 10, true), (9, 10, true), (10, 11, false)] {
            let found = lies_within(&event("a"), (at(from), at(to)));
            assert_eq!(found, expected, "{from} to {to}");
        }
    }
}
