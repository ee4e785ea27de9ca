//! Three-way merge of local and remote changes of one event.

use std::collections::HashSet;

use super::content::EventContent;
use super::details::{Attendee, EventDetails, RsvpStatus};
use super::ids::OriginalStart;
use super::recurrence::Series;
use super::time::EventTime;

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The merged content, which both sides should have.
    pub content: EventContent,
    /// Whether the merged content differs from what the provider has.
    pub has_local_changes: bool,
    /// The fields that both sides have changed. The merged content has the provider's values.
    pub conflicts: Vec<&'static str>,
}

/// Merges `local`, the stored content, with `remote`, the provider's current content. Both descend from `base`.
///
/// A field that only one side has changed takes that side's value. If both have changed it, it takes the provider's
/// value and is a conflict. A remote value that equals the one in a state of `earlier` was written by Calweave, so it
/// counts as unchanged at the provider. Without a base, every field that differs is a conflict.
pub fn merge(
    base: Option<&EventContent>,
    earlier: &[EventContent],
    local: &EventContent,
    remote: &EventContent,
) -> Merged {
    let mut merger = Merger {
        base,
        earlier,
        local,
        remote,
        has_local_changes: false,
        conflicts: vec![],
    };
    let mut content = remote.clone();
    merger.merge_times(&mut content);
    merger.merge_overridden(&mut content);
    merger.merge_details(&mut content.details);
    merger.merge_attendees(&mut content.details.attendees);
    merger.merge_reminders(&mut content.details);
    Merged {
        has_local_changes: merger.has_local_changes,
        conflicts: merger.conflicts,
        content,
    }
}

struct Merger<'a> {
    base: Option<&'a EventContent>,
    earlier: &'a [EventContent],
    local: &'a EventContent,
    remote: &'a EventContent,
    has_local_changes: bool,
    conflicts: Vec<&'static str>,
}

type Times = (EventTime, EventTime, Option<Series>);

/// Returns the start, the end and the recurrence without overrides.
fn times(content: &EventContent) -> Times {
    let series = content.series.as_deref().map(Series::without_overrides);
    (content.start, content.end, series)
}

/// Returns the start, the end and the recurrence without exceptions.
fn rule(content: &EventContent) -> Times {
    let series = content.series.as_deref().map(Series::without_exceptions);
    (content.start, content.end, series)
}

impl Merger<'_> {
    /// Merges start, end and rule as one field, because a rule has another meaning with another start. Exception dates
    /// of the same rule are merged one by one.
    fn merge_times(&mut self, content: &mut EventContent) {
        let (local, remote) = (self.local, self.remote);
        if rule(local) == rule(remote) {
            if let (Some(series), Some(ours), Some(theirs)) =
                (&mut content.series, &local.series, &remote.series)
            {
                series.except_dates = self.merge_exceptions(ours, theirs);
                self.has_local_changes |= series.except_dates != theirs.except_dates;
            }
        } else if self.pick("startTime", times) != times(remote) {
            content.start = local.start;
            content.end = local.end;
            content.series.clone_from(&local.series);
        }
    }

    /// Returns the merged exception dates: the provider's, except those that were removed locally, and those that were
    /// added locally.
    fn merge_exceptions(&self, ours: &Series, theirs: &Series) -> Vec<OriginalStart> {
        // Exception dates belong to a rule: a state with another rule says nothing about them.
        let is_same_rule = |state: &EventContent| rule(state) == rule(self.local);
        let exceptions = |state: &EventContent| -> Vec<OriginalStart> {
            let series = state.series.as_deref().filter(|_| is_same_rule(state));
            series.map_or_else(Vec::new, |series| series.except_dates.clone())
        };
        let agreed: HashSet<_> = self.base.into_iter().flat_map(exceptions).collect();
        let earlier = self.earlier.iter().flat_map(exceptions);
        let written: HashSet<_> = earlier.chain(agreed.iter().copied()).collect();
        let here: HashSet<_> = ours.except_dates.iter().collect();
        let there: HashSet<_> = theirs.except_dates.iter().collect();
        // A side that lacks an exception date that it once had has removed it.
        let is_kept = |one: &&OriginalStart| here.contains(one) || !written.contains(one);
        let was_taken_out = |one: &OriginalStart| {
            let mut earlier = self.earlier.iter();
            earlier.any(|state| is_same_rule(state) && !exceptions(state).contains(one))
        };
        let is_new = |one: &&OriginalStart| {
            !there.contains(one) && (!agreed.contains(one) || was_taken_out(one))
        };
        let kept = theirs.except_dates.iter().filter(is_kept);
        let new = ours.except_dates.iter().filter(is_new);
        kept.chain(new).copied().collect()
    }

    /// Joins the overridden occurrences: each side may know some that the other does not know yet.
    fn merge_overridden(&self, content: &mut EventContent) {
        if let (Some(series), Some(ours), Some(theirs)) =
            (&mut content.series, &self.local.series, &self.remote.series)
        {
            let all = ours.overridden.iter().chain(&theirs.overridden);
            series.overridden = all.copied().collect();
            series.overridden.sort_unstable();
            series.overridden.dedup();
        }
    }

    fn merge_details(&mut self, details: &mut EventDetails) {
        macro_rules! each {
            ($($field:ident $name:literal),+ $(,)?) => {
                $(details.$field = self.pick($name, |content| content.details.$field.clone());)+
            };
        }
        each!(
            title "title",
            description "description",
            location "location",
            status "status",
            transparency "transparency",
            visibility "visibility",
            url "url",
            categories "categories",
            color_id "colorId",
        );
    }

    /// Merges the list of attendees as one field, and the response of each attendee as another.
    fn merge_attendees(&mut self, attendees: &mut Vec<Attendee>) {
        let without_response = |attendee: &Attendee| Attendee {
            rsvp_status: RsvpStatus::NeedsAction,
            ..attendee.clone()
        };
        *attendees = self.pick("attendees", |content| {
            let attendees = content.details.attendees.iter();
            attendees.map(without_response).collect::<Vec<_>>()
        });
        for attendee in attendees {
            let response = |content: &EventContent| content.response_of(&attendee.email);
            let agreed = self.base.and_then(response);
            let (ours, theirs) = (response(self.local), response(self.remote));
            let is_ours = theirs.is_none() || (agreed == theirs && ours.is_some());
            attendee.rsvp_status = (if is_ours { ours } else { theirs }).unwrap_or_default();
            self.has_local_changes |= Some(attendee.rsvp_status) != theirs;
        }
    }

    fn merge_reminders(&mut self, details: &mut EventDetails) {
        (details.reminders, details.uses_default_reminders) = self.pick("reminders", |content| {
            let details = &content.details;
            (details.reminders.clone(), details.uses_default_reminders)
        });
    }

    /// Returns the merged value of one field, and records local changes and conflicts.
    fn pick<T: PartialEq>(&mut self, name: &'static str, field: impl Fn(&EventContent) -> T) -> T {
        let base = self.base.map(&field);
        let (local, remote) = (field(self.local), field(self.remote));
        if local == remote {
            return remote;
        }
        let is_written_from_here = self.earlier.iter().any(|state| field(state) == remote);
        if base.as_ref() == Some(&remote) || is_written_from_here {
            self.has_local_changes = true;
            return local;
        }
        if base.as_ref() != Some(&local) {
            self.conflicts.push(name);
        }
        remote
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn content(title: &str, location: &str, start: &str) -> EventContent {
        let details = EventDetails {
            title: title.into(),
            location: Some(location.into()),
            ..EventDetails::default()
        };
        let start: EventTime = start.parse().unwrap();
        EventContent {
            start,
            end: start.plus(TimeDelta::hours(1)),
            series: None,
            details: Box::new(details),
        }
    }

    #[test]
    fn changes_of_different_fields_both_stand() {
        let base = content("a", "x", "2026-03-02T09:00:00[UTC]");
        let local = content("b", "x", "2026-03-02T09:00:00[UTC]");
        let remote = content("a", "x", "2026-03-02T10:00:00[UTC]");
        let merged = merge(Some(&base), &[], &local, &remote);
        assert_eq!(
            merged.content,
            content("b", "x", "2026-03-02T10:00:00[UTC]")
        );
        assert!(merged.has_local_changes && merged.conflicts.is_empty());
    }

    #[test]
    fn where_both_changed_the_same_the_provider_wins_and_it_is_said() {
        let base = content("a", "x", "2026-03-02T09:00:00[UTC]");
        let local = content("b", "y", "2026-03-02T09:00:00[UTC]");
        let remote = content("c", "x", "2026-03-02T09:00:00[UTC]");
        let merged = merge(Some(&base), &[], &local, &remote);
        assert_eq!(
            merged.content,
            content("c", "y", "2026-03-02T09:00:00[UTC]")
        );
        assert_eq!(merged.conflicts, ["title"]);
        assert!(merged.has_local_changes);
        let same = merge(Some(&base), &[], &local, &local);
        assert!(!same.has_local_changes && same.conflicts.is_empty());
    }

    #[test]
    fn exceptions_of_both_sides_stand() {
        let repeating = |rule: &str, days: &[u32]| {
            let except_dates = days
                .iter()
                .map(|day| format!("2026030{day}T090000Z").parse().unwrap())
                .collect();
            let series = Series {
                rules: vec![rule.parse().unwrap()],
                except_dates,
                ..Series::default()
            };
            EventContent {
                series: Some(Box::new(series)),
                ..content("a", "x", "2026-03-02T09:00:00[UTC]")
            }
        };
        let (base, local, remote) = (
            repeating("FREQ=DAILY", &[3]),
            repeating("FREQ=DAILY", &[3, 4]),
            repeating("FREQ=DAILY", &[5]),
        );
        let merged = merge(Some(&base), &[], &local, &remote);
        assert_eq!(
            merged.content,
            repeating("FREQ=DAILY", &[5, 4]),
            "the third takes place again"
        );
        assert!(merged.has_local_changes && merged.conflicts.is_empty());
        assert!(!merge(Some(&base), &[], &base, &remote).has_local_changes);
        // The rule has been written, its exception dates have not: the provider has not removed any of them.
        let (local, half) = (
            repeating("FREQ=DAILY;INTERVAL=2", &[4]),
            repeating("FREQ=DAILY;INTERVAL=2", &[]),
        );
        let merged = merge(Some(&repeating("FREQ=DAILY", &[4])), &[], &local, &half);
        assert_eq!(
            (merged.content, merged.has_local_changes),
            (local.clone(), true)
        );
        // A different rule is taken together with its own exception dates, or not at all.
        let merged = merge(Some(&base), &[], &local, &remote);
        assert_eq!(
            (merged.content, merged.conflicts),
            (remote, vec!["startTime"])
        );
    }
}
