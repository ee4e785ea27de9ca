//! The occurrences of a series that are events of their own: what becomes of them when something becomes of their series.

use std::collections::HashSet;

use calweave_domain::agenda::rule_yields;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::ids::{OriginalStart, UserId};
use calweave_domain::link::{Edit, Operation};
use calweave_store::WriteOutcome;

use super::SyncError;
use crate::SyncContext;

/// A series that the provider has no more, but of which an occurrence was changed here: it is kept as if it had been changed
/// itself, so that the change is not lost with it.
pub(super) async fn keep_for_occurrences(
    context: &SyncContext,
    user: UserId,
    series: &mut Event,
) -> Result<(), SyncError> {
    if series.series.is_none() || series.link.as_ref().is_none_or(|link| link.edit.is_some()) {
        return Ok(());
    }
    let is_update = |edit: &Edit| edit.operation == Operation::Update;
    let changed = |event: &Event| {
        event
            .link
            .as_ref()
            .and_then(|link| link.edit.as_deref())
            .is_some_and(is_update)
    };
    if context
        .store
        .overrides(user, &series.id)
        .await?
        .iter()
        .any(changed)
    {
        let base = Some(Box::new(EventContent::of(series)));
        series.link.get_or_insert_default().edit = Some(Box::new(Edit::new(
            Operation::Update,
            base,
            context.clock.now(),
        )));
    }
    Ok(())
}

/// Makes a series ready to be created or drawn anew: its changed occurrences are changes of the new one, what was cancelled
/// is an exception of it: `cancelled` at the provider, or all that is not as the rule says where nobody can be asked any
/// more. Answers whether there is a change to be written that was not there before.
pub(super) async fn detach_occurrences(
    context: &SyncContext,
    user: UserId,
    series: &mut Event,
    cancelled: Option<&[OriginalStart]>,
) -> Result<bool, SyncError> {
    let edit = series.link.as_ref().and_then(|link| link.edit.as_deref());
    // Whoever may be told of the series may be told of its occurrences.
    let Some(send_updates) = edit
        .filter(|_| series.series.is_some())
        .map(|edit| edit.send_updates)
    else {
        return Ok(false);
    };
    let (mut has_detached, is_gone) = (false, cancelled.is_none());
    let overrides = context.store.overrides(user, &series.id).await?;
    let changed: HashSet<OriginalStart> =
        overrides.iter().filter_map(Event::original_start).collect();
    let is_cancelled =
        |original: &&OriginalStart| !changed.contains(original) && rule_yields(series, **original);
    let known = series
        .series
        .as_deref()
        .map(|rule| rule.overridden.as_slice())
        .unwrap_or_default();
    let cancelled: Vec<OriginalStart> = cancelled
        .unwrap_or(known)
        .iter()
        .filter(is_cancelled)
        .copied()
        .collect();
    if let Some(rule) = series.series.as_deref_mut() {
        // What is an exception already is placed no more.
        rule.except_dates.extend(cancelled);
        series.hash();
    }
    for mut event in overrides {
        let is_edited = event.is_edited();
        if !is_edited
            && event
                .original_start()
                .is_some_and(|original| !rule_yields(series, original))
        {
            // Hidden as it is, it goes once the provider has the series so; with a series that is gone, at once.
            if is_gone {
                let _: WriteOutcome = context.store.delete_event(user, &event).await?;
            }
            continue;
        }
        let link = event.link.get_or_insert_default();
        if is_edited
            && link.remote_id.is_none()
            && link.edit.as_ref().is_some_and(|edit| edit.base.is_none())
        {
            continue;
        }
        (link.remote_id, link.version) = (None, None);
        // The new one has nothing that both sides have agreed on.
        let edit = link.edit.get_or_insert_with(|| {
            Box::new(Edit::new(Operation::Update, None, context.clock.now()))
        });
        (edit.base, edit.send_updates) = (None, edit.send_updates.or(send_updates));
        // Refused when somebody else writes the occurrence just now: then it is theirs.
        has_detached |= context.store.put_edit(user, &mut event).await? == WriteOutcome::Written;
    }
    Ok(has_detached)
}
