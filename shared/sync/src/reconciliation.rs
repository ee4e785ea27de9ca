//! Reconciliation: what becomes of a stored event when the provider sends it, or no longer has it. Pure: no I/O, no clock.

use calweave_domain::content::EventContent;
use calweave_domain::details::RsvpStatus;
use calweave_domain::event::Event;
use calweave_domain::link::{Edit, EventLink, KeptEdit, Operation, RsvpResponse};
use calweave_domain::merge::{Merged, merge};
use chrono::{DateTime, Utc};

/// What to do with the stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reconciliation {
    /// Nothing.
    Unchanged,
    /// Store this in its place.
    Store(Box<Event>),
    /// Remove it.
    Remove,
}

/// The provider has this event as `incoming`. Its series hides what either side knows to be overridden.
pub(super) fn reconcile_upsert(
    stored: Option<&Event>,
    mut incoming: Event,
    now: DateTime<Utc>,
) -> Reconciliation {
    let Some(stored) = stored else {
        incoming.updated_at = now;
        incoming.hash();
        return Reconciliation::Store(Box::new(incoming));
    };
    if let (Some(series), Some(known)) = (&mut incoming.series, &stored.series) {
        series.overridden.extend(&known.overridden);
        series.overridden.sort_unstable();
        series.overridden.dedup();
    }
    incoming.hash();
    let old = stored.link.as_deref().cloned().unwrap_or_default();
    let edit = old.edit.clone();
    let version = |event: &Event| event.link.as_ref().and_then(|link| link.version.clone());
    let is_echo = old.version.is_some() && version(&incoming) == old.version;
    let link = EventLink {
        failure: None,
        ..followed(old, &incoming)
    };
    match edit {
        Some(edit) => reconcile_edited(stored, incoming, link, *edit, is_echo, now),
        None if incoming.content_hash == stored.content_hash => Reconciliation::Unchanged,
        None => {
            incoming.link = Some(Box::new(link));
            incoming.updated_at = now;
            Reconciliation::Store(Box::new(incoming))
        }
    }
}

/// Reconciles an event that has an edit. `is_echo` says that the provider still has the version that was last read.
fn reconcile_edited(
    stored: &Event,
    mut incoming: Event,
    link: EventLink,
    edit: Edit,
    is_echo: bool,
    now: DateTime<Utc>,
) -> Reconciliation {
    match edit.operation {
        // The creation got through, and is read before its response was stored.
        Operation::Create => ahead(stored, incoming, link, edit, now),
        Operation::Update if is_echo => with_overridden(stored, &incoming),
        Operation::Update => {
            let (local, remote) = (EventContent::of(stored), EventContent::of(&incoming));
            let merged = merge(edit.base.as_deref(), &edit.earlier, &local, &remote);
            settle(stored, incoming, link, edit, merged, now)
        }
        Operation::Delete if edit.base.is_none() => known_by(stored, incoming, link),
        Operation::Delete if is_echo || is_known(&edit, &incoming) => {
            with_overridden(stored, &incoming)
        }
        Operation::Delete => {
            // It was changed at the provider after it was deleted here: it stays, and the deletion is kept as a conflict.
            let kept = KeptEdit {
                at: now,
                fields: vec!["deleted".to_owned()],
                content: EventContent::of(stored),
            };
            incoming.link = Some(Box::new(EventLink {
                edit: None,
                kept: Some(Box::new(kept)),
                ..link
            }));
            incoming.updated_at = now;
            Reconciliation::Store(Box::new(incoming))
        }
    }
}

/// The stored event, hiding what both sides know to be overridden.
fn with_overridden(stored: &Event, incoming: &Event) -> Reconciliation {
    let mut event = stored.clone();
    match (&mut event.series, &incoming.series) {
        (Some(series), Some(known)) if series.overridden != known.overridden => {
            series.overridden.clone_from(&known.overridden);
            event.hash();
            Reconciliation::Store(Box::new(event))
        }
        _ => Reconciliation::Unchanged,
    }
}

/// The link of a stored event, with the remote id and version that the provider has sent.
fn followed(old: EventLink, incoming: &Event) -> EventLink {
    let new = incoming.link.as_deref().cloned().unwrap_or_default();
    EventLink {
        remote_id: new.remote_id,
        version: new.version,
        ..old
    }
}

/// A local event that is to be deleted before its creation was confirmed, found at the provider after all.
fn known_by(stored: &Event, incoming: Event, link: EventLink) -> Reconciliation {
    let edit = link.edit.map(|edit| {
        Box::new(Edit {
            base: Some(Box::new(EventContent::of(&incoming))),
            ..*edit
        })
    });
    Reconciliation::Store(Box::new(Event {
        link: Some(Box::new(EventLink { edit, ..link })),
        ..stored.clone()
    }))
}

/// Whether the provider's content is one that was read or written here, in every field that either side can change.
pub(super) fn is_known(edit: &Edit, remote: &Event) -> bool {
    let remote = EventContent::of(remote);
    // A merge with a state that was known leaves local changes only where the provider differs from it.
    let is_same = |known: &EventContent| {
        let mut known = known.clone();
        // A response of an attendee is no change of the event.
        known.adopt_responses(&remote);
        !merge(Some(&remote), &[], &known, &remote).has_local_changes
    };
    edit.base
        .as_deref()
        .into_iter()
        .chain(&edit.earlier)
        .any(is_same)
}

/// The provider has a local event as it was sent; what has changed here since then is an update.
fn ahead(
    stored: &Event,
    incoming: Event,
    link: EventLink,
    edit: Edit,
    now: DateTime<Utc>,
) -> Reconciliation {
    let base = EventContent::of(&incoming);
    let merged = merge(Some(&base), &[], &EventContent::of(stored), &base);
    settle(
        stored,
        incoming,
        link,
        Edit {
            operation: Operation::Update,
            ..edit
        },
        merged,
        now,
    )
}

/// Stores the result of a merge, with the edit that is left.
fn settle(
    stored: &Event,
    incoming: Event,
    mut link: EventLink,
    mut edit: Edit,
    mut merged: Merged,
    now: DateTime<Utc>,
) -> Reconciliation {
    if !merged.conflicts.is_empty() {
        let fields = merged
            .conflicts
            .iter()
            .map(|field| (*field).to_owned())
            .collect();
        link.kept = Some(Box::new(KeptEdit {
            at: now,
            fields,
            content: EventContent::of(stored),
        }));
    }
    let theirs = EventContent::of(&incoming);
    // A response that the provider does not have yet, unless the account's owner has responded there in the meantime.
    let waits = |response: &RsvpResponse| {
        let (now, then) = (merged.content.own_response(), theirs.own_response());
        then != Some(response.status) && (then.is_none() || now == Some(response.status))
    };
    edit.response = edit.response.filter(|response| waits(response));
    merged.has_local_changes |= edit.response.is_some();
    if merged.has_local_changes || edit.wants_conference {
        if edit.base.is_some() {
            edit.record_rewrite(now);
        }
        (edit.base, edit.earlier) = (Some(Box::new(theirs)), vec![]);
        link.edit = Some(Box::new(edit));
    } else {
        link.edit = None;
    }
    let mut event = Event {
        link: Some(Box::new(link)),
        updated_at: now,
        ..incoming
    };
    merged.content.write_to(&mut event);
    event.hash();
    Reconciliation::Store(Box::new(event))
}

/// The provider no longer has this event.
pub(super) fn reconcile_removal(stored: &Event, provider: &str) -> Reconciliation {
    let Some(link) = stored.link.as_deref() else {
        return Reconciliation::Remove;
    };
    let declined = |response: &RsvpResponse| response.status == RsvpStatus::Declined;
    match link.edit.as_deref() {
        // Microsoft removes an invitation that is declined.
        Some(edit) if edit.response.as_deref().is_some_and(declined) => Reconciliation::Remove,
        // The edit would be lost with the event: it is kept, and its owner may have the event created again.
        Some(edit) if edit.operation == Operation::Update && stored.original_start().is_some() => {
            let mut event = stored.clone();
            let failure = format!(
                "This occurrence was cancelled at {provider} meanwhile. Delete it here too, or make an event of its own."
            );
            event.link = Some(Box::new(EventLink {
                failure: Some(failure),
                ..link.clone()
            }));
            Reconciliation::Store(Box::new(event))
        }
        Some(edit) if edit.operation == Operation::Update => {
            let mut event = stored.clone();
            let failure = format!(
                "The event was deleted at {provider} meanwhile. Retry to create it anew, or delete it here too."
            );
            event.link = Some(Box::new(EventLink {
                remote_id: None,
                version: None,
                generation: link.generation + 1,
                edit: Some(Box::new(Edit {
                    operation: Operation::Create,
                    base: None,
                    ..edit.clone()
                })),
                failure: Some(failure),
                ..link.clone()
            }));
            Reconciliation::Store(Box::new(event))
        }
        _ => Reconciliation::Remove,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use calweave_domain::details::{Attendee, EventDetails};
    use calweave_domain::ids::{CalendarId, EventId};
    use calweave_domain::recurrence::Series;
    use calweave_domain::time::EventTime;

    fn event(title: &str, version: &str) -> Event {
        let start: EventTime = "2026-03-02T09:00:00[UTC]".parse().unwrap();
        let mut event = Event {
            id: EventId::of(CalendarId::from_bytes([1; 16]), "a"),
            uid: "a".into(),
            start,
            end: start.plus(TimeDelta::hours(1)),
            series: None,
            zone_guessed: false,
            details: Box::new(EventDetails {
                title: title.into(),
                ..EventDetails::default()
            }),
            link: Some(Box::new(EventLink {
                remote_id: Some("a".into()),
                version: Some(version.into()),
                ..EventLink::default()
            })),
            content_hash: String::new(),
            updated_at: DateTime::UNIX_EPOCH,
        };
        event.hash();
        event
    }

    fn edited(base: &Event, title: &str, operation: Operation) -> Event {
        let mut event = base.clone();
        title.clone_into(&mut event.details.title);
        let edit = Edit::new(
            operation,
            Some(Box::new(EventContent::of(base))),
            DateTime::UNIX_EPOCH,
        );
        event.link.as_mut().unwrap().edit = Some(Box::new(edit));
        event.hash();
        event
    }

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn another_version_of_the_same_is_no_change() {
        assert_eq!(
            reconcile_upsert(Some(&event("a", "1")), event("a", "2"), NOW),
            Reconciliation::Unchanged
        );
        assert!(matches!(
            reconcile_upsert(Some(&event("a", "1")), event("b", "2"), NOW),
            Reconciliation::Store(_)
        ));
    }

    #[test]
    fn an_echo_touches_no_edit() {
        let stored = edited(&event("a", "1"), "b", Operation::Update);
        assert_eq!(
            reconcile_upsert(Some(&stored), event("a", "1"), NOW),
            Reconciliation::Unchanged
        );
        let leaving = edited(&event("a", "1"), "a", Operation::Delete);
        assert_eq!(
            reconcile_upsert(Some(&leaving), event("a", "1"), NOW),
            Reconciliation::Unchanged
        );
        assert_eq!(
            reconcile_upsert(Some(&leaving), event("a", "2"), NOW),
            Reconciliation::Unchanged
        );
    }

    #[test]
    fn a_conflict_is_shown_and_the_provider_wins() {
        let stored = edited(&event("a", "1"), "b", Operation::Update);
        let Reconciliation::Store(merged) = reconcile_upsert(Some(&stored), event("c", "2"), NOW)
        else {
            panic!("stored")
        };
        let link = merged.link.unwrap();
        assert_eq!((merged.details.title.as_str(), link.edit), ("c", None));
        assert_eq!(link.kept.unwrap().content.details.title, "b");
        let leaving = edited(&event("a", "1"), "a", Operation::Delete);
        let Reconciliation::Store(back) = reconcile_upsert(Some(&leaving), event("c", "2"), NOW)
        else {
            panic!("stored")
        };
        assert_eq!(
            (back.details.title.as_str(), back.link.unwrap().edit),
            ("c", None)
        );
    }

    fn answered(mut event: Event, own: RsvpStatus, other: RsvpStatus) -> Event {
        let person = |email: &str, rsvp_status, is_self| Attendee {
            email: email.into(),
            rsvp_status,
            is_self,
            ..Attendee::default()
        };
        event.details.attendees = vec![
            person("me@x.test", own, true),
            person("bob@x.test", other, false),
        ];
        event.hash();
        event
    }

    #[test]
    fn an_answer_is_not_lost_to_somebody_elses() {
        use RsvpStatus::{Accepted, Declined, NeedsAction};
        let invited = answered(event("a", "1"), NeedsAction, NeedsAction);
        let mut stored = answered(
            edited(&invited, "a", Operation::Update),
            Accepted,
            NeedsAction,
        );
        let response = RsvpResponse {
            status: Accepted,
            comment: None,
            notify: true,
        };
        stored
            .link
            .as_mut()
            .unwrap()
            .edit
            .as_mut()
            .unwrap()
            .response = Some(Box::new(response.clone()));
        let answers = |event: &Event| {
            event
                .details
                .attendees
                .iter()
                .map(|one| one.rsvp_status)
                .collect::<Vec<_>>()
        };
        let then = |incoming| match reconcile_upsert(Some(&stored), incoming, NOW) {
            Reconciliation::Store(event) => (
                answers(&event),
                event
                    .link
                    .clone()
                    .unwrap()
                    .edit
                    .and_then(|edit| edit.response),
            ),
            other => panic!("{other:?}"),
        };
        let others = answered(event("a", "2"), NeedsAction, Declined);
        assert_eq!(
            then(others),
            (vec![Accepted, Declined], Some(Box::new(response))),
            "it waits yet"
        );
        let both = answered(event("a", "2"), Accepted, Declined);
        assert_eq!(then(both), (vec![Accepted, Declined], None), "it is there");
        let own = answered(event("a", "2"), Declined, NeedsAction);
        assert_eq!(
            then(own),
            (vec![Declined, NeedsAction], None),
            "another was given there"
        );
    }

    #[test]
    fn somebodys_answer_keeps_nothing_from_being_removed() {
        use RsvpStatus::{Accepted, NeedsAction};
        let stored = edited(
            &answered(event("a", "1"), Accepted, NeedsAction),
            "a",
            Operation::Delete,
        );
        assert_eq!(
            reconcile_upsert(
                Some(&stored),
                answered(event("a", "2"), Accepted, Accepted),
                NOW
            ),
            Reconciliation::Unchanged
        );
    }

    #[test]
    fn an_invitation_that_is_declined_may_go() {
        let mut stored = edited(&event("a", "1"), "a", Operation::Update);
        let response = RsvpResponse {
            status: RsvpStatus::Declined,
            comment: None,
            notify: true,
        };
        stored
            .link
            .as_mut()
            .unwrap()
            .edit
            .as_mut()
            .unwrap()
            .response = Some(Box::new(response));
        assert_eq!(
            reconcile_removal(&stored, "Microsoft"),
            Reconciliation::Remove
        );
    }

    #[test]
    fn an_edit_of_what_was_deleted_is_kept() {
        let Reconciliation::Store(kept) =
            reconcile_removal(&edited(&event("a", "1"), "b", Operation::Update), "Google")
        else {
            panic!("kept")
        };
        let link = kept.link.unwrap();
        assert_eq!((link.generation, link.remote_id.as_deref()), (1, None));
        assert!(
            link.failure
                .is_some_and(|failure| failure.contains("deleted at Google"))
        );
        assert_eq!(
            reconcile_removal(&event("a", "1"), "Google"),
            Reconciliation::Remove
        );
        assert_eq!(
            reconcile_removal(&edited(&event("a", "1"), "a", Operation::Delete), "Google"),
            Reconciliation::Remove
        );
    }

    #[test]
    fn a_deletion_that_lost_is_kept_with_its_time() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::hours(1);
        let leaving = edited(&event("a", "1"), "a", Operation::Delete);
        let Reconciliation::Store(back) = reconcile_upsert(Some(&leaving), event("c", "2"), now)
        else {
            panic!("stored")
        };
        let kept = back.link.unwrap().kept.unwrap();
        assert_eq!((kept.at, kept.fields), (now, vec!["deleted".to_owned()]));
        assert_eq!(kept.content.details.title, "a");
        assert_eq!(back.updated_at, now);
        let stored = edited(&event("a", "1"), "b", Operation::Update);
        let Reconciliation::Store(merged) = reconcile_upsert(Some(&stored), event("c", "2"), now)
        else {
            panic!("stored")
        };
        assert_eq!(merged.updated_at, now);
    }

    #[test]
    fn an_echo_of_a_series_says_what_is_overridden() {
        let weekly = |overridden: &[&str]| {
            let mut event = event("a", "1");
            event.series = Some(Box::new(Series {
                rules: vec!["FREQ=WEEKLY".parse().unwrap()],
                overridden: overridden
                    .iter()
                    .map(|text| text.parse().unwrap())
                    .collect(),
                ..Series::default()
            }));
            event.hash();
            event
        };
        let stored = weekly(&["20260309T090000Z"]);
        for operation in [Operation::Update, Operation::Delete] {
            let stored = edited(&stored, "b", operation);
            let echo = |overridden| reconcile_upsert(Some(&stored), weekly(overridden), NOW);
            assert_eq!(
                echo(&[]),
                Reconciliation::Unchanged,
                "what is hidden here stays hidden"
            );
            let Reconciliation::Store(hidden) = echo(&["20260316T090000Z"]) else {
                panic!("stored")
            };
            assert_eq!(hidden.series.as_ref().unwrap().overridden.len(), 2);
            assert_eq!(hidden.details.title, "b", "the edit waits as it was");
            assert_ne!(hidden.content_hash, stored.content_hash);
            assert_eq!(hidden.link, stored.link);
        }
    }

    #[test]
    fn the_name_at_the_provider_is_followed() {
        let mut renamed = event("b", "2");
        renamed.link.as_mut().unwrap().remote_id = Some("other".into());
        let Reconciliation::Store(now) = reconcile_upsert(Some(&event("a", "1")), renamed, NOW)
        else {
            panic!("stored")
        };
        let link = now.link.unwrap();
        assert_eq!(link.remote_id.as_deref(), Some("other"));
        assert_eq!(link.version.as_deref(), Some("2"));
    }

    #[test]
    fn a_deletion_before_its_creation_was_confirmed_knows_what_is_there() {
        let mut leaving = edited(&event("a", "1"), "a", Operation::Delete);
        leaving.link.as_mut().unwrap().edit.as_mut().unwrap().base = None;
        let there = event("c", "1");
        let Reconciliation::Store(known) = reconcile_upsert(Some(&leaving), there.clone(), NOW)
        else {
            panic!("stored")
        };
        let edit = known.link.unwrap().edit.unwrap();
        assert_eq!(edit.operation, Operation::Delete);
        assert_eq!(edit.base.as_deref(), Some(&EventContent::of(&there)));
    }
}
