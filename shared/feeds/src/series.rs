//! Assembles events from `VEVENT`s: those that share a `UID` form one series with its overrides.

use std::collections::BTreeMap;

use calweave_domain::details::EventStatus;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, OriginalStart};
use calweave_domain::recurrence::Series;
use calweave_domain::rule::InvalidRule;
use calweave_domain::work::Work;
use chrono::TimeDelta;

use super::vevent::{Component, original_start, short};
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
        let mut segments = masters_of(&uid, masters, target, warnings);
        let overrides = latest(overrides, segments.first());
        if overrides.len() > MAX_OVERRIDES {
            warnings.add(format!(
                "A series has more than {MAX_OVERRIDES} changed occurrences; the others are not shown."
            ));
        }
        for (original, component) in overrides.into_iter().take(MAX_OVERRIDES) {
            place_override(
                &uid,
                original,
                component,
                &mut segments,
                &mut events,
                target,
            );
        }
        events.extend(segments.into_iter().map(|event| (event.id.clone(), event)));
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

/// Returns the events of one `UID` that are not overrides. Several are either versions of one event, of which the
/// latest is kept, or different events of a producer that uses one `UID` for all: then all are kept.
fn masters_of(
    uid: &str,
    mut masters: Vec<Component>,
    target: FeedTarget,
    warnings: &mut Warnings,
) -> Vec<Event> {
    if masters.len() > 1 {
        masters = versions(masters);
    }
    if masters.len() > 1 {
        warnings.add("Several events share one UID; all are shown.");
    }
    let one = |(index, component): (usize, Component)| {
        let key = if index == 0 {
            uid.to_owned()
        } else {
            format!("{uid}\n{}\n{}", component.start, component.details.title)
        };
        event(EventId::of(target.calendar, &key), component, target)
    };
    masters.into_iter().enumerate().map(one).collect()
}

/// Returns each event once, in its latest version, sorted by start.
fn versions(mut masters: Vec<Component>) -> Vec<Component> {
    masters.sort_by_key(|component| {
        (
            component.start.to_string(),
            std::cmp::Reverse(component.version),
        )
    });
    masters.dedup_by(|later, kept| {
        later.start == kept.start
            && (later.version != kept.version || later.details == kept.details)
    });
    if let Some(latest) = masters.iter().map(|component| component.version.0).max() {
        masters.retain(|component| component.version.0 == latest);
    }
    masters
}

/// Selects one override for each occurrence: of several, the latest version.
fn latest(overrides: Vec<Component>, master: Option<&Event>) -> BTreeMap<OriginalStart, Component> {
    let mut chosen: BTreeMap<OriginalStart, Component> = BTreeMap::new();
    for component in overrides {
        let Some((at, _)) = component.replaces else {
            continue;
        };
        let original = original_start(master.map_or(at, |master| master.start), at);
        match chosen.get(&original) {
            Some(other) if other.version > component.version => {}
            _ => {
                chosen.insert(original, component);
            }
        }
    }
    chosen
}

fn place_override(
    uid: &str,
    original: OriginalStart,
    component: Component,
    segments: &mut Vec<Event>,
    events: &mut BTreeMap<EventId, Event>,
    target: FeedTarget,
) {
    // Overrides are placed in order, so the occurrence belongs to the last segment.
    let segment = segments
        .last_mut()
        .filter(|segment| segment.series.is_some());
    let following = component.replaces.is_some_and(|(_, following)| following);
    let Some(segment) = segment else {
        // An invitation to single occurrences comes without their series.
        if component.details.status != EventStatus::Cancelled {
            let id = EventId::of(target.calendar, uid).occurrence(original);
            events.insert(
                id.clone(),
                Event {
                    series: None,
                    ..event(id, component, target)
                },
            );
        }
        return;
    };
    if following {
        if let Some(later) = split_following(uid, original, component, segment, target) {
            segments.push(later);
        }
        return;
    }
    let id = segment.id.occurrence(original);
    if let Some(series) = &mut segment.series {
        series.overridden.push(original);
    }
    if component.details.status != EventStatus::Cancelled {
        events.insert(
            id.clone(),
            Event {
                series: None,
                ..event(id, component, target)
            },
        );
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
