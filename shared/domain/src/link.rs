//! How an event stands with the account that it belongs to: what is still to be written there, and what was decided
//! where both sides had changed it.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::event::{Attendee, Event, EventDetails, RsvpStatus};
use super::ids::OriginalStart;
use super::recurrence::Series;
use super::time::EventTime;

/// An event's tie to its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventLink {
    /// Counts the writes of the stored event: whoever has an older one in hand must look again.
    pub revision: u64,
    /// What the provider calls it; none before the provider has seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_id: Option<String>,
    /// The provider's version of what is stored, such as an entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How often the event had to be created anew at the provider, where ids of deleted events stay taken.
    pub generation: u32,
    /// What is to be written to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<Box<Edit>>,
    /// Why writing it failed, in words for the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// A local edit that lost against one at the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<KeptEdit>>,
    /// Whether nobody sees this changed occurrence for now: its series is to go, or has moved away from it, and the provider
    /// has not agreed yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_hidden: bool,
}

/// Whether an event is the same here and at its provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LinkStatus {
    /// As far as anybody knows.
    Synced,
    /// A change made here is on its way.
    Pending,
    /// A change made here could not be written; it is kept.
    Failed,
    /// Written over and over again within minutes: nothing more is written until somebody looks.
    Paused,
}

impl EventLink {
    /// How it stands.
    pub fn status(&self) -> LinkStatus {
        match &self.edit {
            None if self.failure.is_some() => LinkStatus::Failed,
            None => LinkStatus::Synced,
            Some(edit) if edit.is_paused => LinkStatus::Paused,
            Some(_) if self.failure.is_some() => LinkStatus::Failed,
            Some(_) => LinkStatus::Pending,
        }
    }

    /// Whether the event is to go.
    pub fn is_leaving(&self) -> bool {
        self.edit
            .as_ref()
            .is_some_and(|edit| edit.operation == Operation::Delete)
    }
}

/// What is to be done at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Bring it into being.
    Create,
    /// Change it.
    Update,
    /// Remove it.
    Delete,
}

/// Who is told by mail about a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SendUpdates {
    /// Everybody who is invited.
    All,
    /// Those who do not use the same provider.
    ExternalOnly,
    /// Nobody.
    #[default]
    None,
}

impl SendUpdates {
    /// Whoever is told by either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::ExternalOnly, _) | (_, Self::ExternalOnly) => Self::ExternalOnly,
            (Self::None, Self::None) => Self::None,
        }
    }
}

/// An answer to an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RsvpResponse {
    /// Whether the account's owner comes.
    pub status: RsvpStatus,
    /// A word to the organizer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the organizer is told by mail.
    pub notify: bool,
}

/// A change that was made here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// What to do.
    pub operation: Operation,
    /// What both sides last agreed on; none for an event that the provider has never seen, or an occurrence of a series that
    /// is made anew there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Box<EventContent>>,
    /// What the event was to be before it was to be this: it may have been written, and the answer been lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<EventContent>,
    /// Who is told.
    #[serde(default)]
    pub send_updates: SendUpdates,
    /// Whether the provider should make a meeting to go with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_conference: bool,
    /// What the account's owner has answered to an invitation: it is written by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<RsvpResponse>>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// When it was written again because the other side had changed too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rewrites: Vec<DateTime<Utc>>,
    /// Whether there were too many of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paused: bool,
}

/// More rewrites of one event than this …
const MAX_REWRITES: usize = 5;
/// … in this time are a loop.
const REWRITES_WITHIN: TimeDelta = TimeDelta::minutes(10);

impl Edit {
    /// A change made now.
    pub fn new(
        operation: Operation,
        base: Option<Box<EventContent>>,
        made_at: DateTime<Utc>,
    ) -> Self {
        let (send_updates, wants_conference, response) = (SendUpdates::None, false, None);
        let (earlier, rewrites) = (vec![], vec![]);
        Self {
            operation,
            base,
            earlier,
            send_updates,
            wants_conference,
            response,
            made_at,
            rewrites,
            is_paused: false,
        }
    }

    /// Notes that the change has to be written again, because the other side has changed meanwhile.
    pub fn rewritten(&mut self, now: DateTime<Utc>) {
        self.rewrites.retain(|at| now - *at < REWRITES_WITHIN);
        self.rewrites.push(now);
        self.is_paused = self.rewrites.len() > MAX_REWRITES;
    }
}

/// What both sides can change of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventContent {
    /// When it starts.
    pub start: EventTime,
    /// When it ends, exclusively.
    pub end: EventTime,
    /// How it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<Box<Series>>,
    /// What it says.
    #[serde(flatten)]
    pub details: Box<EventDetails>,
}

impl EventContent {
    /// That of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            start: event.start,
            end: event.end,
            series: event.series.clone(),
            details: event.details.clone(),
        }
    }

    /// What somebody who is invited has answered.
    fn answer_of(&self, email: &str) -> Option<RsvpStatus> {
        let found = self
            .details
            .attendees
            .iter()
            .find(|one| one.email.eq_ignore_ascii_case(email));
        found.map(|one| one.rsvp_status)
    }

    /// Takes over what those who are invited have answered elsewhere.
    pub fn take_answers(&mut self, other: &Self) {
        for one in &mut self.details.attendees {
            one.rsvp_status = other.answer_of(&one.email).unwrap_or(one.rsvp_status);
        }
    }

    /// What the account's owner has answered.
    pub fn own_answer(&self) -> Option<RsvpStatus> {
        self.details
            .attendees
            .iter()
            .find(|one| one.is_self)
            .map(|one| one.rsvp_status)
    }

    /// Puts it in place of an event's.
    pub fn write_to(self, event: &mut Event) {
        (event.start, event.end, event.series, event.details) =
            (self.start, self.end, self.series, self.details);
    }
}

/// A local edit that lost, kept to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptEdit {
    /// When that was decided.
    pub at: DateTime<Utc>,
    /// The fields in which the provider's value stands now, by the names that the API gives them.
    pub fields: Vec<String>,
    /// What the event was to say.
    pub content: EventContent,
}

/// What comes of two changes of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The event as both sides should have it.
    pub content: EventContent,
    /// Whether the provider does not have all of it yet.
    pub is_ahead: bool,
    /// The fields that both sides had changed: there the provider's value stands.
    pub conflicts: Vec<&'static str>,
}

/// Merges by field what was changed here with what was changed at the provider, since both had `base`. What stands there as
/// it is in one of `earlier` was written from here. Without a base every other field that differs is a conflict.
pub fn merge(
    base: Option<&EventContent>,
    earlier: &[EventContent],
    local: &EventContent,
    remote: &EventContent,
) -> Merged {
    let mut content = remote.clone();
    let mut merger = Merger {
        base,
        earlier,
        local,
        remote,
        is_ahead: false,
        conflicts: vec![],
    };
    // When an event is, is one thing: a rule without the start that it was made for means something else.
    let times = |content: &EventContent| {
        (
            content.start,
            content.end,
            content.series.as_deref().map(Series::without_overrides),
        )
    };
    let rule = |content: &EventContent| {
        (
            content.start,
            content.end,
            content.series.as_deref().map(Series::without_exceptions),
        )
    };
    if rule(local) != rule(remote) {
        let when = merger.pick("startTime", times);
        if when != times(remote) {
            (content.start, content.end, content.series) =
                (local.start, local.end, local.series.clone());
        }
    } else if let (Some(series), Some(ours), Some(theirs)) =
        (&mut content.series, &local.series, &remote.series)
    {
        // Of a rule that is new, every exception is.
        let excepted = |known: &EventContent| -> Vec<OriginalStart> {
            let same = known
                .series
                .as_deref()
                .filter(|_| rule(known) == rule(local));
            same.map(|series| series.except_dates.clone())
                .unwrap_or_default()
        };
        let agreed: HashSet<_> = base.into_iter().flat_map(excepted).collect();
        let written: HashSet<_> = earlier
            .iter()
            .flat_map(excepted)
            .chain(agreed.iter().copied())
            .collect();
        let [here, there] =
            [ours, theirs].map(|series| series.except_dates.iter().collect::<HashSet<_>>());
        // What one side lacks, it has taken out if it had it.
        let stays = |one: &&OriginalStart| here.contains(one) || !written.contains(one);
        let taken_out = |one: &OriginalStart| {
            earlier
                .iter()
                .any(|earlier| rule(earlier) == rule(local) && !excepted(earlier).contains(one))
        };
        let new = |one: &&OriginalStart| {
            !there.contains(one) && (!agreed.contains(one) || taken_out(one))
        };
        series.except_dates = theirs
            .except_dates
            .iter()
            .filter(stays)
            .chain(ours.except_dates.iter().filter(new))
            .copied()
            .collect();
        merger.is_ahead |= series.except_dates != theirs.except_dates;
    }
    if let (Some(series), Some(ours), Some(theirs)) =
        (&mut content.series, &local.series, &remote.series)
    {
        // Each side may know of changed occurrences that the other has not heard of yet.
        series.overridden = ours
            .overridden
            .iter()
            .chain(&theirs.overridden)
            .copied()
            .collect();
        series.overridden.sort_unstable();
        series.overridden.dedup();
    }
    let out = &mut content.details;
    macro_rules! each {
        ($($field:ident $name:literal),+) => {
            $(out.$field = merger.pick($name, |content| content.details.$field.clone());)+
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
        color_id "colorId"
    );
    // Who is invited is one thing, and what each of them answers another.
    let unanswered = |one: &Attendee| Attendee {
        rsvp_status: RsvpStatus::NeedsAction,
        ..one.clone()
    };
    out.attendees = merger.pick("attendees", |content| {
        content
            .details
            .attendees
            .iter()
            .map(unanswered)
            .collect::<Vec<_>>()
    });
    for one in &mut out.attendees {
        let answer = |content: &EventContent| content.answer_of(&one.email);
        let (agreed, ours, theirs) = (base.and_then(answer), answer(local), answer(remote));
        let is_ours = theirs.is_none() || (agreed == theirs && ours.is_some());
        one.rsvp_status = (if is_ours { ours } else { theirs }).unwrap_or_default();
        merger.is_ahead |= Some(one.rsvp_status) != theirs;
    }
    (out.reminders, out.uses_default_reminders) = merger.pick("reminders", |content| {
        (
            content.details.reminders.clone(),
            content.details.uses_default_reminders,
        )
    });
    Merged {
        is_ahead: merger.is_ahead,
        conflicts: merger.conflicts,
        content,
    }
}

struct Merger<'a> {
    base: Option<&'a EventContent>,
    earlier: &'a [EventContent],
    local: &'a EventContent,
    remote: &'a EventContent,
    is_ahead: bool,
    conflicts: Vec<&'static str>,
}

impl Merger<'_> {
    /// What one field comes to.
    fn pick<T: PartialEq>(&mut self, name: &'static str, field: impl Fn(&EventContent) -> T) -> T {
        let (base, local, remote) = (self.base.map(&field), field(self.local), field(self.remote));
        if local == remote {
            return remote;
        }
        if base.as_ref() == Some(&remote)
            || self.earlier.iter().any(|earlier| field(earlier) == remote)
        {
            self.is_ahead = true;
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
        assert!(merged.is_ahead && merged.conflicts.is_empty());
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
        assert!(merged.is_ahead);
        let same = merge(Some(&base), &[], &local, &local);
        assert!(!same.is_ahead && same.conflicts.is_empty());
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
        assert!(merged.is_ahead && merged.conflicts.is_empty());
        assert!(!merge(Some(&base), &[], &base, &remote).is_ahead);
        // The rule is written, its exceptions are not yet: none of them is something that the provider has taken out.
        let (local, half) = (
            repeating("FREQ=DAILY;INTERVAL=2", &[4]),
            repeating("FREQ=DAILY;INTERVAL=2", &[]),
        );
        let merged = merge(Some(&repeating("FREQ=DAILY", &[4])), &[], &local, &half);
        assert_eq!((merged.content, merged.is_ahead), (local.clone(), true));
        // Another rule comes with its own exceptions, or stays away with them.
        let merged = merge(Some(&base), &[], &local, &remote);
        assert_eq!(
            (merged.content, merged.conflicts),
            (remote, vec!["startTime"])
        );
    }

    #[test]
    fn what_is_rewritten_over_and_over_is_paused() {
        let start = DateTime::UNIX_EPOCH;
        let mut edit = Edit::new(Operation::Update, None, start);
        for minute in 0..5 {
            edit.rewritten(start + TimeDelta::minutes(minute));
        }
        assert!(!edit.is_paused);
        edit.rewritten(start + TimeDelta::minutes(5));
        assert!(edit.is_paused);
        edit.rewritten(start + TimeDelta::minutes(30));
        assert!(!edit.is_paused);
    }
}
