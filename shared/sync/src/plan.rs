//! What the sync of a feed writes, from what is stored and what the feed has. Pure: no I/O, no clock.

use std::collections::HashMap;

use calweave_domain::calendar::SyncStats;
use calweave_domain::event::Event;
use calweave_domain::ids::EventId;

/// The events of a feed.
#[derive(Clone, Copy, Debug)]
pub struct RemoteEvents<'a> {
    /// All events.
    pub events: &'a [Event],
    /// Whether the file is complete. Events that a truncated file lacks or shortens may still exist.
    pub complete: bool,
    /// Digest of all events.
    pub content_hash: &'a str,
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
    /// The digest of a file that lacks too much to be believed at once. Nothing is removed until a second sync confirms it.
    pub suspect: Option<String>,
}

/// A calendar of fewer events may lose more than half of them at once.
const GUARDED: usize = 20;

/// Compares `stored` (content hashes by id) with `remote`. `suspect` is the digest that the last sync did not believe.
pub fn plan<'a>(
    mut stored: HashMap<EventId, String>,
    remote: RemoteEvents<'a>,
    suspect: Option<&str>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    let count = stored.len();
    for event in remote.events {
        match stored.remove(&event.id) {
            Some(hash) if hash == event.content_hash => plan.stats.unchanged += 1,
            Some(_) if !remote.complete => plan.stats.unchanged += 1,
            Some(_) => {
                plan.stats.updated += 1;
                plan.puts.push(event);
            }
            None => {
                plan.stats.created += 1;
                plan.puts.push(event);
            }
        }
    }
    let gone = stored.len();
    let doubtful = is_doubtful(count, gone, remote.events.is_empty());
    if remote.complete && (!doubtful || suspect == Some(remote.content_hash)) {
        plan.stats.deleted = u32::try_from(gone).unwrap_or(u32::MAX);
        plan.deletes = stored.into_keys().collect();
        plan.deletes.sort_unstable();
    } else if remote.complete {
        plan.suspect = Some(remote.content_hash.to_owned());
    }
    let kept = count - plan.deletes.len() + plan.stats.created as usize;
    plan.stats.total = u32::try_from(kept).unwrap_or(u32::MAX);
    plan
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
            content_hash: "hash",
        }
    }

    #[test]
    fn delete_and_recreate_on_each_run() {
        let feed = events(0..30, "a");
        let plan = plan(stored(&feed), remote(&feed), None);
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
        let plan = plan(stored(&old), remote(&new), None);
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
            let first = plan(stored(&old), remote(answer), None);
            assert!(first.deletes.is_empty());
            assert_eq!(first.stats.total, 30);
            assert_eq!(first.suspect.as_deref(), Some("hash"));
            let other = plan(stored(&old), remote(answer), Some("other"));
            assert!(other.deletes.is_empty());
            let second = plan(stored(&old), remote(answer), first.suspect.as_deref());
            assert_eq!(second.deletes.len(), 30 - answer.len());
        }
        let small = events(0..3, "a");
        assert_eq!(
            plan(stored(&small), remote(&small[..1]), None)
                .deletes
                .len(),
            2
        );
        assert!(plan(stored(&small), remote(&[]), None).deletes.is_empty());
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
            None,
        );
        assert_eq!(
            (plan.puts.len(), plan.deletes.len(), plan.suspect),
            (2, 0, None)
        );
        assert_eq!(plan.stats.total, 5);
    }
}
