//! What the sync of a feed writes, from what is stored and what the feed has. Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashMap, HashSet};

use calweave_domain::calendar::SyncStats;
use calweave_domain::digest::digest_of;
use calweave_domain::event::Event;
use calweave_domain::ids::EventId;

/// The events of a feed.
#[derive(Clone, Copy, Debug)]
pub struct RemoteEvents<'a> {
    /// All events.
    pub events: &'a [Event],
    /// Whether the file is complete. Events that a truncated file lacks or shortens may still exist.
    pub complete: bool,
}

/// What to write.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// Events that are new or have changed.
    pub puts: Vec<&'a Event>,
    /// Events that the feed no longer has.
    pub deletes: Vec<EventId>,
    /// How many of each there are.
    pub stats: SyncStats,
    /// The digest of removals that are too many to be believed at once. They wait until a second sync confirms them.
    pub suspect: Option<String>,
}

/// A calendar of fewer events may lose more than half of them at once.
const GUARDED: usize = 20;

/// The stored events that a feed lacks, where it also has new ones: these may be the same under other UIDs. Empty otherwise.
pub fn replaced(stored: &HashMap<EventId, String>, remote: RemoteEvents<'_>) -> Vec<EventId> {
    let sent: HashSet<&EventId> = remote.events.iter().map(|event| &event.id).collect();
    if !remote.complete || sent.iter().all(|id| stored.contains_key(id)) {
        return vec![];
    }
    let gone = stored.keys().filter(|id| !sent.contains(id));
    let mut gone: Vec<EventId> = gone.cloned().collect();
    gone.sort_unstable();
    gone
}

/// Compares `stored` (content hashes by id) with `remote`. `replaced` are the stored events that [`replaced`] names, `suspect` is
/// the digest of the removals that the last sync did not believe.
///
/// - An event that comes under another UID and is the same otherwise is the stored one: nothing is written.
/// - One with the same times and another content, such as a counter in its title, replaces the stored one.
/// - The removal of most events has to be confirmed by a second sync that would remove the same, or that brings half as many new
///   ones.
pub fn plan<'a>(
    mut stored: HashMap<EventId, String>,
    remote: RemoteEvents<'a>,
    replaced: &[Event],
    suspect: Option<&str>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    let count = stored.len();
    let mut new: Vec<&Event> = Vec::new();
    for event in remote.events {
        match stored.remove(&event.id) {
            Some(hash) if hash == event.content_hash => plan.stats.unchanged += 1,
            Some(_) if !remote.complete => plan.stats.unchanged += 1,
            Some(_) => {
                plan.stats.updated += 1;
                plan.puts.push(event);
            }
            None => new.push(event),
        }
    }
    let matches = match_families(&new, replaced);
    for event in new {
        if matches.same.contains(&event.id) {
            plan.stats.unchanged += 1;
        } else {
            plan.stats.created += 1;
            plan.puts.push(event);
        }
    }
    stored.retain(|id, _| !matches.kept.contains(id));
    let (mut believed, mut gone): (Vec<EventId>, Vec<EventId>) = stored
        .into_keys()
        .partition(|id| matches.superseded.contains(id));
    gone.sort_unstable();
    let doubtful = is_doubtful(count, gone.len(), remote.events.is_empty());
    let names: String = gone.iter().map(ToString::to_string).collect();
    let digest = digest_of(names.as_bytes());
    let created = plan.stats.created as usize;
    let brings_many = created > 0 && created * 2 >= gone.len();
    let is_confirmed = suspect.is_some_and(|suspect| suspect == digest || brings_many);
    if remote.complete {
        if !doubtful || is_confirmed {
            believed.extend(gone);
        } else {
            plan.suspect = Some(digest);
        }
        plan.stats.deleted = u32::try_from(believed.len()).unwrap_or(u32::MAX);
        plan.deletes = believed;
        plan.deletes.sort_unstable();
    }
    let kept = count - plan.deletes.len() + plan.stats.created as usize;
    plan.stats.total = u32::try_from(kept).unwrap_or(u32::MAX);
    plan
}

/// Which new events stand for which stored ones.
#[derive(Debug, Default)]
struct Matches {
    /// New events that are stored already under other ids.
    same: HashSet<EventId>,
    /// The stored events that they are.
    kept: HashSet<EventId>,
    /// Stored events in whose place others come at the same times.
    superseded: HashSet<EventId>,
}

/// Matches events by content, a series together with its overrides.
fn match_families(new: &[&Event], replaced: &[Event]) -> Matches {
    let mut matches = Matches::default();
    if replaced.is_empty() {
        return matches;
    }
    let mut fresh = families(new.iter().copied());
    let mut old = families(replaced.iter());
    for is_exact in [true, false] {
        let mut by_content: HashMap<String, Vec<EventId>> = HashMap::new();
        let mut ids: Vec<&EventId> = old.keys().collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        for id in ids {
            let content = content_of(&old[id], is_exact);
            by_content.entry(content).or_default().push(id.clone());
        }
        let mut found = Vec::new();
        for (id, family) in &fresh {
            let stored = by_content.get_mut(&content_of(family, is_exact));
            found.extend(stored.and_then(Vec::pop).map(|stored| (id.clone(), stored)));
        }
        for (id, stored) in found {
            let ids = |family: Option<Vec<&Event>>| {
                let events = family.into_iter().flatten();
                events.map(|event| event.id.clone()).collect::<Vec<_>>()
            };
            let (fresh, stored) = (ids(fresh.remove(&id)), ids(old.remove(&stored)));
            if is_exact {
                matches.same.extend(fresh);
                matches.kept.extend(stored);
            } else {
                matches.superseded.extend(stored);
            }
        }
    }
    matches
}

/// The events by their series; an event that is no occurrence is a family of its own.
fn families<'a>(events: impl Iterator<Item = &'a Event>) -> BTreeMap<EventId, Vec<&'a Event>> {
    let mut families: BTreeMap<EventId, Vec<&Event>> = BTreeMap::new();
    for event in events {
        families.entry(event.id.series()).or_default().push(event);
    }
    families
}

/// What tells one family from another, apart from their ids: times and rules, and with `is_exact` everything else too.
fn content_of(family: &[&Event], is_exact: bool) -> String {
    let content = |event: &&Event| {
        let series = event.series.as_deref();
        let rules = series.map(|series| series.rules.as_slice());
        let rules: Vec<String> = rules
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect();
        let original = event.original_start().map(|original| original.to_string());
        let times = format!("{} {} {rules:?} {original:?}", event.start, event.end);
        if is_exact {
            format!("{times} {series:?} {:?}", event.details)
        } else {
            times
        }
    };
    let mut contents: Vec<String> = family.iter().map(content).collect();
    contents.sort_unstable();
    contents.join("\n")
}

/// Whether the absence of `gone` of `count` events has to be confirmed by a second sync.
pub(super) fn is_doubtful(count: usize, gone: usize, is_empty: bool) -> bool {
    gone > 0 && (is_empty || (count >= GUARDED && gone * 2 > count))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use calweave_domain::details::EventDetails;
    use calweave_domain::ids::CalendarId;
    use calweave_domain::time::EventTime;

    fn events(range: std::ops::Range<u32>, title: &str) -> Vec<Event> {
        let start: EventTime = "2026-03-10".parse().unwrap();
        let one = |number| Event {
            id: EventId::of(CalendarId::from_bytes([1; 16]), &format!("{number}")),
            uid: format!("{number}"),
            start,
            end: "2026-03-11".parse().unwrap(),
            series: None,
            link: None,
            zone_guessed: false,
            details: Box::new(EventDetails {
                title: title.to_owned(),
                ..EventDetails::default()
            }),
            content_hash: String::new(),
            updated_at: DateTime::UNIX_EPOCH,
        };
        let mut events: Vec<Event> = range.map(one).collect();
        for event in &mut events {
            event.hash();
        }
        events
    }

    fn stored(events: &[Event]) -> HashMap<EventId, String> {
        events
            .iter()
            .map(|event| (event.id.clone(), event.content_hash.clone()))
            .collect()
    }

    fn remote(events: &[Event]) -> RemoteEvents<'_> {
        RemoteEvents {
            events,
            complete: true,
        }
    }

    #[test]
    fn delete_and_recreate_on_each_run() {
        let feed = events(0..30, "a");
        let plan = plan(stored(&feed), remote(&feed), &[], None);
        assert!(plan.puts.is_empty() && plan.deletes.is_empty());
        assert_eq!(
            plan.stats,
            SyncStats {
                total: 30,
                unchanged: 30,
                ..SyncStats::default()
            }
        );
    }

    #[test]
    fn only_what_changed_is_written() {
        let (old, mut new) = (events(0..30, "a"), events(1..31, "a"));
        new[5] = events(6..7, "b").remove(0);
        let plan = plan(stored(&old), remote(&new), &[], None);
        assert_eq!((plan.puts.len(), plan.deletes.len()), (2, 1));
        assert_eq!(
            plan.stats,
            SyncStats {
                total: 30,
                created: 1,
                updated: 1,
                deleted: 1,
                unchanged: 28
            }
        );
    }

    #[test]
    fn empty_or_failed_fetch_wipes_the_calendar() {
        let old = events(0..30, "a");
        let few = events(0..3, "a");
        for answer in [&[][..], &few] {
            let first = plan(stored(&old), remote(answer), &[], None);
            assert!(first.deletes.is_empty());
            assert_eq!(first.stats.total, 30);
            assert!(first.suspect.is_some());
            let other = plan(stored(&old), remote(answer), &[], Some("other"));
            assert!(other.deletes.is_empty());
            let second = plan(stored(&old), remote(answer), &[], first.suspect.as_deref());
            assert_eq!(second.deletes.len(), 30 - answer.len());
        }
        let small = events(0..3, "a");
        assert_eq!(
            plan(stored(&small), remote(&small[..1]), &[], None)
                .deletes
                .len(),
            2
        );
        assert!(
            plan(stored(&small), remote(&[]), &[], None)
                .deletes
                .is_empty()
        );
    }

    #[test]
    fn an_answer_that_breaks_off_only_adds() {
        let old = events(0..3, "a");
        let new = events(1..5, "b");
        let plan = plan(
            stored(&old),
            RemoteEvents {
                complete: false,
                ..remote(&new)
            },
            &[],
            None,
        );
        assert_eq!(
            (plan.puts.len(), plan.deletes.len(), plan.suspect),
            (2, 0, None)
        );
        assert_eq!(plan.stats.total, 5);
    }

    /// Carries out plans one after the other, and returns the stored events after each.
    fn fetched(feeds: &[Vec<Event>]) -> Vec<usize> {
        let mut known: HashMap<EventId, Event> = HashMap::new();
        let mut suspect = None;
        let mut counts = Vec::new();
        for feed in feeds {
            let hashes: HashMap<_, _> = stored(&known.values().cloned().collect::<Vec<_>>());
            let gone = replaced(&hashes, remote(feed));
            let gone: Vec<Event> = gone.iter().map(|id| known[id].clone()).collect();
            let done = plan(hashes, remote(feed), &gone, suspect.as_deref());
            for id in &done.deletes {
                known.remove(id);
            }
            for event in &done.puts {
                known.insert(event.id.clone(), (*event).clone());
            }
            assert_eq!(done.stats.total as usize, known.len());
            suspect = done.suspect;
            counts.push(known.len());
        }
        counts
    }

    /// Thirty events of different days, under UIDs and with titles of this fetch.
    fn fetch(uids: u32, titles: &str, first_day: i64) -> Vec<Event> {
        let mut feed = events(uids * 100..uids * 100 + 30, titles);
        for (day, event) in feed.iter_mut().enumerate() {
            let shift = chrono::TimeDelta::days(first_day + i64::try_from(day).unwrap());
            event.start = event.start.plus(shift);
            event.end = event.end.plus(shift);
            event.hash();
        }
        feed
    }

    #[test]
    fn uids_that_are_new_at_each_fetch_double_nothing() {
        let feeds: Vec<_> = (1..6).map(|number| fetch(number, "a", 0)).collect();
        assert_eq!(fetched(&feeds), [30; 5]);
        let first = stored(&feeds[0]);
        let gone = replaced(&first, remote(&feeds[1]));
        assert_eq!(gone.len(), 30);
        let plan = plan(first, remote(&feeds[1]), &feeds[0], None);
        assert!(plan.puts.is_empty() && plan.deletes.is_empty(), "no write");
    }

    #[test]
    fn counters_in_titles_double_nothing() {
        let feeds: Vec<_> = (1..6)
            .map(|number| fetch(number, &format!("{number}"), 0))
            .collect();
        assert_eq!(fetched(&feeds), [30; 5]);
    }

    #[test]
    fn a_feed_that_is_another_each_time_does_not_grow_without_end() {
        let feeds: Vec<_> = (1..7)
            .map(|number| fetch(number, "a", i64::from(number) * 40))
            .collect();
        assert_eq!(fetched(&feeds), [30, 60, 30, 60, 30, 60]);
    }

    #[test]
    fn two_contents_that_alternate_and_a_real_loss_are_told_apart() {
        let (one, other) = (fetch(1, "a", 0), fetch(2, "b", 100));
        let both = [one.clone(), other.clone(), other.clone()];
        assert_eq!(fetched(&both), [30, 60, 30], "the second fetch confirms it");
        let few = one[..3].to_vec();
        assert_eq!(fetched(&[one.clone(), few.clone(), few]), [30, 30, 3]);
        let hiccup = [one.clone(), one[..3].to_vec(), one];
        assert_eq!(fetched(&hiccup), [30, 30, 30]);
    }

    #[test]
    fn a_series_is_matched_with_its_overrides() {
        let mut old = fetch(1, "a", 0);
        let mut new = fetch(2, "a", 0);
        for feed in [&mut old, &mut new] {
            let original = feed[1].start.original_start();
            feed[1].id = feed[0].id.occurrence(original);
        }
        // The override has another title: the family is another one.
        "b".clone_into(&mut new[1].details.title);
        let matches = match_families(&new.iter().collect::<Vec<_>>(), &old);
        assert_eq!((matches.same.len(), matches.superseded.len()), (28, 2));
    }

    #[test]
    fn a_new_event_alone_confirms_no_loss_of_most() {
        let one = fetch(1, "a", 0);
        let mut other = one[5..8].to_vec();
        other.push(fetch(2, "b", 100).remove(0));
        assert_eq!(
            fetched(&[one.clone(), one[..3].to_vec(), other]),
            [30, 30, 31]
        );
    }

    #[test]
    fn half_of_twenty_may_go_at_once() {
        for (count, gone, is_empty, expected) in [
            (19, 18, false, false),
            (20, 10, false, false),
            (20, 11, false, true),
            (3, 3, true, true),
            (0, 0, true, false),
        ] {
            assert_eq!(
                is_doubtful(count, gone, is_empty),
                expected,
                "{gone} of {count}"
            );
        }
    }

    #[test]
    fn what_a_truncated_answer_shortens_counts_as_unchanged() {
        let (old, new) = (events(0..3, "a"), events(0..3, "b"));
        let remote = RemoteEvents {
            complete: false,
            ..remote(&new)
        };
        let plan = plan(stored(&old), remote, &[], None);
        assert_eq!((plan.stats.unchanged, plan.stats.updated), (3, 0));
    }
}
