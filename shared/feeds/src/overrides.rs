//! Finds the series and the occurrence that each override belongs to (RFC 5545 3.8.4.4), also when it is named loosely.

use std::collections::{BTreeMap, BTreeSet};

use calweave_domain::details::EventStatus;
use calweave_domain::event::Event;
use calweave_domain::ids::OriginalStart;
use calweave_domain::time::{EventTime, to_instant};
use calweave_domain::work::Work;
use chrono::{NaiveTime, TimeDelta};
use chrono_tz::Tz;

use super::Warnings;
use super::recurrence::original_start;
use super::series::Master;
use super::vevent::{Component, short};

/// Maximum number of occurrences of one day among which an override's is searched.
const MAX_A_DAY: usize = 100;

/// Gives each master the overrides of its occurrences. An override that belongs to none goes to the first.
pub(super) fn shared_out(
    overrides: Vec<Component>,
    masters: Vec<Master>,
    work: &mut Work,
) -> Vec<(Vec<Component>, Option<Master>)> {
    let mut shares: Vec<(Vec<Component>, Option<Master>)> = masters
        .into_iter()
        .map(|master| (vec![], Some(master)))
        .collect();
    if shares.is_empty() {
        shares.push((vec![], None));
    }
    for component in overrides {
        let mut owner = None;
        if shares.len() > 1
            && let Some((at, _)) = component.replaces
        {
            let mut has = |test: &mut dyn FnMut(&Event, &mut Work) -> bool| {
                let masters = shares.iter().map(|(_, master)| master.as_ref());
                let mut masters =
                    masters.map(|master| master.is_some_and(|master| test(&master.event, work)));
                masters.position(|is_owner| is_owner)
            };
            let exact =
                has(&mut |master, work| is_exact(master, original_start(master.start, at), work));
            owner = exact.or_else(|| has(&mut |master, work| meant(master, at, work).is_some()));
        }
        shares[owner.unwrap_or(0)].0.push(component);
    }
    shares
}

/// Selects one override for each occurrence: of several, the latest version. One that names an occurrence exactly takes
/// precedence over one that only means it. Others of the same version at other times are copies, and returned beside them.
pub(super) fn latest(
    overrides: Vec<Component>,
    master: Option<&Event>,
    work: &mut Work,
    warnings: &mut Warnings,
) -> (BTreeMap<OriginalStart, Component>, Vec<Component>) {
    let mut chosen: BTreeMap<OriginalStart, Component> = BTreeMap::new();
    let mut copies = Vec::new();
    let mut inexact = Vec::new();
    for component in overrides {
        let Some((at, following)) = component.replaces else {
            continue;
        };
        let named = original_start(master.map_or(at, |master| master.start), at);
        match master {
            Some(master) if !following && !is_exact(master, named, work) => {
                inexact.push((named, at, component));
            }
            _ => copies.extend(choose(&mut chosen, named, component)),
        }
    }
    let exact: BTreeSet<OriginalStart> = chosen.keys().copied().collect();
    let mut names: BTreeMap<OriginalStart, BTreeSet<OriginalStart>> = BTreeMap::new();
    let inexact: Vec<_> = inexact
        .into_iter()
        .map(|(named, at, component)| {
            let meant = master.and_then(|master| meant(master, at, work));
            let meant = meant.filter(|meant| !exact.contains(meant));
            if let Some(meant) = meant {
                names.entry(meant).or_default().insert(named);
            }
            (named, meant, component)
        })
        .collect();
    for (named, meant, component) in inexact {
        // Two that are named differently cannot both mean the same.
        let meant = meant.filter(|meant| names.get(meant).is_some_and(|names| names.len() == 1));
        let original = meant.unwrap_or_else(|| {
            let title = short(&component.details.title);
            warnings.add(format!(
                "A change of {title:?} names no occurrence of its series; it is shown beside them."
            ));
            named
        });
        copies.extend(choose(&mut chosen, original, component));
    }
    (chosen, copies)
}

/// Chooses an override unless a later version is chosen. Returns it if it is a copy of the chosen one at another time.
fn choose(
    chosen: &mut BTreeMap<OriginalStart, Component>,
    original: OriginalStart,
    component: Component,
) -> Option<Component> {
    match chosen.get(&original) {
        Some(other) if other.version > component.version => None,
        Some(other)
            if other.version == component.version
                && other.start != component.start
                && component.details.status != EventStatus::Cancelled =>
        {
            Some(component)
        }
        _ => {
            chosen.insert(original, component);
            None
        }
    }
}

/// Returns whether the series has the occurrence that is named. A date does not name an occurrence of a timed series.
fn is_exact(master: &Event, named: OriginalStart, work: &mut Work) -> bool {
    let Some(series) = master.series.as_deref() else {
        return false;
    };
    let zone = master.start.zone().unwrap_or(Tz::UTC);
    let at = match (named, master.start) {
        (OriginalStart::Instant(at), _) => at,
        (OriginalStart::Floating(local), _) => to_instant(local, zone),
        (OriginalStart::Date(date), EventTime::Date(_)) => date.and_time(NaiveTime::MIN).and_utc(),
        (OriginalStart::Date(_), _) => return false,
    };
    let next = at + TimeDelta::seconds(1);
    let bare = series.without_exceptions();
    let found = bare.expand_within(master.start, at, next, zone, MAX_A_DAY, work);
    found.find(named).is_some()
}

/// Returns the original start of the occurrence that a `RECURRENCE-ID` means though it does not name it: the one at the same
/// wall-clock time, or else the only one on the same day; of a date, the first on that day.
fn meant(master: &Event, at: EventTime, work: &mut Work) -> Option<OriginalStart> {
    let series = master.series.as_deref()?;
    let zone = master.start.zone().unwrap_or(Tz::UTC);
    let date = match (at, master.start) {
        (EventTime::Zoned(..), EventTime::Zoned(..)) => {
            at.instant(zone).with_timezone(&zone).date_naive()
        }
        _ => at.local().date(),
    };
    let from = to_instant(date.and_time(NaiveTime::MIN), zone);
    let to = from + TimeDelta::hours(26);
    let bare = series.without_exceptions();
    let found = bare.expand_within(master.start, from, to, zone, MAX_A_DAY, work);
    let mut same_day = found
        .starts
        .iter()
        .filter(|start| start.local().date() == date);
    let is_date = matches!(at, EventTime::Date(_));
    let same_time = |start: &&EventTime| !is_date && start.local() == at.local();
    let start = match found.starts.iter().find(same_time) {
        Some(start) => start,
        None => {
            let first = same_day.next()?;
            let is_only = same_day.next().is_none();
            Some(first).filter(|_| is_date || is_only)?
        }
    };
    Some(found.original_start(*start))
}
