//! Assembles events from `VEVENT`s: those that share a `UID` form one series with its overrides.

use std::collections::{BTreeMap, BTreeSet};

use calweave_domain::details::EventStatus;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_domain::recurrence::Series;
use calweave_domain::rule::InvalidRule;
use calweave_domain::time::EventTime;
use calweave_domain::work::Work;
use chrono::TimeDelta;

use super::overrides::{latest, shared_out};
use super::vevent::{Component, short};
use super::{FeedTarget, Warnings};

/// Maximum number of overrides that the stored item of a series can list.
const MAX_OVERRIDES: usize = 5_000;

/// Assembles components into events, sorted by id.
pub(super) fn assemble(
    components: Vec<Component>,
    target: FeedTarget,
    warnings: &mut Warnings,
) -> Vec<Event> {
    let mut by_uid: BTreeMap<String, Vec<Component>> = BTreeMap::new();
    for component in components {
        by_uid
            .entry(component.uid.clone())
            .or_default()
            .push(component);
    }
    let mut events = BTreeMap::new();
    let mut work = Work::new(Work::FEED);
    for (uid, mut components) in by_uid {
        for component in &mut components {
            drop_costly_rules(component, &mut work, warnings);
        }
        let (masters, overrides): (Vec<_>, Vec<_>) = components
            .into_iter()
            .partition(|component| component.replaces.is_none());
        let masters = masters_of(&uid, masters, target, warnings);
        for (overrides, master) in shared_out(overrides, masters, &mut work) {
            let (segments, periods) = match master {
                Some(master) => (vec![master.event], master.periods),
                None => (vec![], vec![]),
            };
            let placing = Placing {
                uid: &uid,
                target,
                segments,
                events: &mut events,
            };
            placing.place_all(overrides, &periods, &mut work, warnings);
        }
    }
    let mut events: Vec<Event> = events.into_values().collect();
    events.retain_mut(|event| fits(event, warnings));
    events
}

/// Has an event take place once if its rules take too long to evaluate.
fn drop_costly_rules(component: &mut Component, work: &mut Work, warnings: &mut Warnings) {
    let start = component.start;
    if let Some(series) = &component.series
        && series.is_too_costly(start, work)
    {
        let title = short(&component.details.title);
        let error = InvalidRule::TooCostly;
        warnings.add(format!("The event {title:?} is shown once: {error}."));
        component.series = None;
    }
}

/// Maximum size of one event as JSON, in bytes. A DynamoDB item holds 400 KB, and needs more space for each value.
const MAX_EVENT: usize = 300_000;

/// Makes an event small enough to be stored: drops the description and all but 20 attendees if it is too large. Returns
/// whether it can be stored.
fn fits(event: &mut Event, warnings: &mut Warnings) -> bool {
    if event.hash() <= MAX_EVENT {
        return true;
    }
    let title = short(&event.details.title).to_owned();
    event.details.description = None;
    event.details.attendees.truncate(20);
    let fits = event.hash() <= MAX_EVENT;
    warnings.add(if fits {
        format!(
            "The event {title:?} is too large; its description and most of its attendees are not stored."
        )
    } else {
        format!("The event {title:?} is too large to be stored.")
    });
    fits
}

/// An event of a `UID` that is no override, and the periods among its `RDATE`s.
pub(super) struct Master {
    pub event: Event,
    pub periods: Vec<(EventTime, EventTime)>,
}

/// Returns the events of one `UID` that are not overrides. Several are either versions of one event, of which the
/// latest is kept, or different events of a producer that uses one `UID` for all: then all are kept.
fn masters_of(
    uid: &str,
    mut masters: Vec<Component>,
    target: FeedTarget,
    warnings: &mut Warnings,
) -> Vec<Master> {
    if masters.len() > 1 {
        masters = versions(masters);
    }
    if masters.len() > 1 && masters.iter().any(|master| master.has_uid) {
        warnings.add("Several events share one UID; all are shown.");
    }
    let one = |(index, mut component): (usize, Component)| {
        let key = match index {
            0 => uid.to_owned(),
            _ if component.has_uid => {
                format!("{uid}\n{}\n{}", component.start, component.details.title)
            }
            _ => format!("{uid}\n{}", component.end),
        };
        Master {
            periods: std::mem::take(&mut component.periods),
            event: event(EventId::of(target.calendar, &key), component, target),
        }
    };
    masters.into_iter().enumerate().map(one).collect()
}

/// Returns each event once, in its latest version, sorted by start. Two are versions of one event if they have the same start,
/// or the same rule and title.
fn versions(mut masters: Vec<Component>) -> Vec<Component> {
    masters.sort_by_key(|component| {
        (
            component.start.to_string(),
            std::cmp::Reverse(component.version),
        )
    });
    masters.dedup_by(|later, kept| {
        later.start == kept.start
            && (later.has_uid || later.end == kept.end)
            && (later.version != kept.version || later.details == kept.details)
    });
    let rule = |component: &Component| {
        let series = component.series.as_ref()?;
        let rules = series.rules.iter().map(ToString::to_string);
        Some((rules.collect::<String>(), component.details.title.clone()))
    };
    let mut latest: BTreeMap<_, i64> = BTreeMap::new();
    for component in &masters {
        if let Some(rule) = rule(component) {
            let sequence = latest.entry(rule).or_insert(component.version.0);
            *sequence = component.version.0.max(*sequence);
        }
    }
    masters.retain(|component| {
        rule(component).is_none_or(|rule| latest.get(&rule) == Some(&component.version.0))
    });
    masters
}

/// The events of one master and its overrides, as they are put together.
struct Placing<'a> {
    uid: &'a str,
    target: FeedTarget,
    /// The master, and the parts into which `RANGE=THISANDFUTURE` splits it. Empty without a master.
    segments: Vec<Event>,
    events: &'a mut BTreeMap<EventId, Event>,
}

impl Placing<'_> {
    fn place_all(
        mut self,
        overrides: Vec<Component>,
        periods: &[(EventTime, EventTime)],
        work: &mut Work,
        warnings: &mut Warnings,
    ) {
        let (overrides, copies) = latest(overrides, self.segments.first(), work, warnings);
        if overrides.len() > MAX_OVERRIDES {
            warnings.add(format!(
                "A series has more than {MAX_OVERRIDES} changed occurrences; the others are not shown."
            ));
        }
        let changed: BTreeSet<OriginalStart> = overrides.keys().copied().collect();
        for (original, component) in overrides.into_iter().take(MAX_OVERRIDES) {
            self.place(original, component);
        }
        for component in copies {
            let key = format!(
                "{}\n{}\n{}",
                self.uid, component.start, component.details.title
            );
            let id = EventId::of(self.target.calendar, &key);
            let copy = Event {
                series: None,
                ..event(id.clone(), component, self.target)
            };
            self.events.insert(id, copy);
        }
        for (start, end) in periods {
            self.place_period(*start, *end, &changed);
        }
        for segment in self.segments {
            self.events.insert(segment.id.clone(), segment);
        }
    }

    fn place(&mut self, original: OriginalStart, component: Component) {
        // Overrides are placed in order, so the occurrence belongs to the last segment.
        let segment = self.segments.last_mut();
        let following = component.replaces.is_some_and(|(_, following)| following);
        let Some(segment) = segment.filter(|segment| segment.series.is_some()) else {
            // An invitation to single occurrences comes without their series.
            let id = EventId::of(self.target.calendar, self.uid).occurrence(original);
            self.insert_override(id, component);
            return;
        };
        if following {
            let later = split_following(self.uid, original, component, segment, self.target);
            self.segments.extend(later);
            return;
        }
        let id = segment.id.occurrence(original);
        if let Some(series) = &mut segment.series {
            series.overridden.push(original);
        }
        self.insert_override(id, component);
    }

    fn insert_override(&mut self, id: EventId, component: Component) {
        if component.details.status != EventStatus::Cancelled {
            let changed = Event {
                series: None,
                ..event(id.clone(), component, self.target)
            };
            self.events.insert(id, changed);
        }
    }

    /// Has the occurrence of an `RDATE` last as long as its period, like an override would.
    fn place_period(
        &mut self,
        start: EventTime,
        end: EventTime,
        changed: &BTreeSet<OriginalStart>,
    ) {
        let original = start.original_start();
        let Some(segment) = self.segments.first_mut() else {
            return;
        };
        let id = segment.id.occurrence(original);
        let Some(series) = &mut segment.series else {
            return;
        };
        if changed.contains(&original) || series.except_dates.contains(&original) {
            return;
        }
        series.overridden.push(original);
        let period = Event {
            id: id.clone(),
            start,
            end,
            series: None,
            ..segment.clone()
        };
        self.events.insert(id, period);
    }
}

/// Applies `RANGE=THISANDFUTURE` (RFC 5545 3.2.13): ends `segment` before this occurrence. Returns the segment that
/// follows, unless the override is cancelled.
fn split_following(
    uid: &str,
    original: OriginalStart,
    component: Component,
    segment: &mut Event,
    target: FeedTarget,
) -> Option<Event> {
    let (at, _) = component.replaces?;
    let zone = segment.start.zone();
    let from = match zone {
        Some(zone) => at.instant(zone).with_timezone(&zone).naive_local(),
        None => at.local(),
    };
    let series = segment.series.as_mut()?;
    series.ends_before = Some(series.ends_before.map_or(from, |end| end.min(from)));
    if component.details.status == EventStatus::Cancelled {
        return None;
    }
    let to = match zone {
        Some(zone) => component
            .start
            .instant(zone)
            .with_timezone(&zone)
            .naive_local(),
        None => component.start.local(),
    };
    let later = Series {
        begins_at: Some(from),
        ends_before: None,
        shift_seconds: (to - from).num_seconds(),
        overridden: vec![],
        ..(**series).clone()
    };
    let length = component.end.instant(chrono_tz::UTC) - component.start.instant(chrono_tz::UTC);
    let (start, rule_start) = (component.start, segment.start);
    let mut event = event(
        EventId::of(target.calendar, &format!("{uid}\n{original}")),
        component,
        target,
    );
    // The rule still counts from the start of the series. Only its occurrences from here on are shown, shifted.
    event.start = rule_start;
    event.end = if matches!(start, calweave_domain::time::EventTime::Date(_)) {
        rule_start.with_local(rule_start.local() + TimeDelta::days(length.num_days()))
    } else {
        rule_start.plus(length)
    };
    event.series = Some(Box::new(later));
    Some(event)
}

fn event(id: EventId, component: Component, target: FeedTarget) -> Event {
    Event {
        id,
        uid: component.uid,
        start: component.start,
        end: component.end,
        series: component.series,
        link: None,
        zone_guessed: component.zone_guessed,
        details: component.details,
        content_hash: String::new(),
        updated_at: target.now,
    }
}
