//! Overrides: what becomes of the occurrences that are events of their own when their series changes.

use std::collections::HashSet;

use calweave_domain::agenda::rule_yields;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::ids::{OriginalStart, UserId};
use calweave_domain::link::{Edit, Operation};
use calweave_store::WriteOutcome;

use super::SyncError;
use crate::SyncContext;

/// Keeps a series that the provider no longer has while one of its occurrences has an edit: the series is treated as edited
/// too, so that the edit is not lost with it.
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

/// Prepares a series to be created again at the provider, or to have its exceptions reset there. Its overrides become local
/// edits of the new series. Its cancelled occurrences become exception dates: those in `cancelled`, or without these, where
/// the provider no longer has the series, all hidden ones that are no overrides.
///
/// Returns whether there is an edit now that was not there before.
pub(super) async fn detach_occurrences(
    context: &SyncContext,
    user: UserId,
    series: &mut Event,
    cancelled: Option<&[OriginalStart]>,
) -> Result<bool, SyncError> {
    let edit = series.link.as_ref().and_then(|link| link.edit.as_deref());
    let edit = edit.filter(|_| series.series.is_some());
    let Some(send_updates) = edit.map(|edit| edit.send_updates) else {
        return Ok(false);
    };
    let is_gone = cancelled.is_none();
    let overrides = context.store.overrides(user, &series.id).await?;
    except_cancelled(series, &overrides, cancelled);
    let mut has_detached = false;
    for mut event in overrides {
        let is_edited = event.is_edited();
        let original = event.original_start();
        if !is_edited && original.is_some_and(|original| !rule_yields(series, original)) {
            // Hidden already. A sync removes it once the provider has the series as it is here; one whose series is gone is
            // removed now.
            if is_gone {
                let _: WriteOutcome = context.store.delete_event(user, &event).await?;
            }
            continue;
        }
        let link = event.link.get_or_insert_default();
        let has_base = link.edit.as_ref().is_some_and(|edit| edit.base.is_some());
        if is_edited && link.remote_id.is_none() && !has_base {
            continue;
        }
        (link.remote_id, link.version) = (None, None);
        let edit = link.edit.get_or_insert_with(|| {
            Box::new(Edit::new(Operation::Update, None, context.clock.now()))
        });
        // The provider has no state of the new occurrence that both sides agree on. Whoever may be notified about the series
        // may be notified about its occurrences.
        (edit.base, edit.send_updates) = (None, edit.send_updates.or(send_updates));
        // A concurrent writer that comes first has made an edit of its own.
        has_detached |= context.store.put_edit(user, &mut event).await? == WriteOutcome::Written;
    }
    Ok(has_detached)
}

/// Turns cancelled occurrences into exception dates.
fn except_cancelled(series: &mut Event, overrides: &[Event], cancelled: Option<&[OriginalStart]>) {
    let changed: HashSet<_> = overrides.iter().filter_map(Event::original_start).collect();
    // What is an exception date already is not yielded.
    let is_cancelled =
        |original: &&OriginalStart| !changed.contains(original) && rule_yields(series, **original);
    let hidden = series
        .series
        .as_deref()
        .map(|rule| rule.overridden.as_slice());
    let cancelled = cancelled.or(hidden).unwrap_or_default().iter();
    let cancelled: Vec<OriginalStart> = cancelled.filter(is_cancelled).copied().collect();
    if let Some(rule) = series.series.as_deref_mut() {
        rule.except_dates.extend(cancelled);
        series.hash();
    }
}
