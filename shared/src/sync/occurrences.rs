//! The occurrences of a series that are events of their own: what becomes of them when something becomes of their series.

use std::collections::HashSet;

use super::SyncError;
use crate::app::App;
use crate::domain::agenda::places;
use crate::domain::event::Event;
use crate::domain::ids::{EventId, OriginalStart, UserId};
use crate::domain::link::{Content, Edit, Operation};
use crate::domain::recurrence::Series;
use crate::store::Outcome;

/// Whether this is a series that was to go: where anything else is stored in its place, it stays after all.
pub(super) fn is_withdrawn(before: &Event) -> bool {
    before.series.is_some() && before.link.as_ref().is_some_and(|link| link.is_leaving())
}

/// Removes the changed occurrences of a series that its rule places no more since the series has moved. One whose change
/// is still to be written is left to whoever writes it.
///
/// # Errors
/// When a table does not answer.
pub(super) async fn prune(app: &App, user: UserId, before: &Event, after: &Event) -> Result<(), SyncError> {
    let bare = |event: &Event| (event.start, event.series.as_deref().map(|series| Series { overridden: vec![], ..series.clone() }));
    if before.series.is_none() || bare(before) == bare(after) {
        return Ok(());
    }
    for event in app.store.overrides(user, &after.id).await? {
        let waits = event.link.as_ref().is_some_and(|link| link.edit.is_some());
        if !waits && event.original_start().is_some_and(|original| !places(after, original)) {
            // Refused when somebody else writes the occurrence just now: then it is theirs.
            let _: Outcome = app.store.delete_event(user, &event).await?;
        }
    }
    Ok(())
}

/// Hides the changed occurrences of a series that is to go, or shows them again.
///
/// # Errors
/// When a table does not answer.
pub(super) async fn hide_overrides(app: &App, user: UserId, series: &EventId, hidden: bool) -> Result<(), SyncError> {
    for mut event in app.store.overrides(user, series).await? {
        let base = Some(Box::new(Content::of(&event)));
        let link = event.link.get_or_insert_default();
        match (hidden, link.is_leaving()) {
            (true, false) => link.edit = Some(Box::new(Edit::new(Operation::Delete, base, app.clock.now()))),
            (false, true) => link.edit = None,
            _ => continue,
        }
        // Refused when somebody else writes the occurrence just now: then it is theirs.
        let _: Outcome = app.store.put_event(user, &mut event).await?;
    }
    Ok(())
}

/// A series that the provider has no more, but of which an occurrence was changed here: it is kept as if it had been changed
/// itself, so that the change is not lost with it.
pub(super) async fn keep_for_occurrences(app: &App, user: UserId, series: &mut Event) -> Result<(), SyncError> {
    if series.series.is_none() || series.link.as_ref().is_none_or(|link| link.edit.is_some()) {
        return Ok(());
    }
    let is_update = |edit: &Edit| edit.operation == Operation::Update;
    let changed = |event: &Event| event.link.as_ref().and_then(|link| link.edit.as_deref()).is_some_and(is_update);
    if app.store.overrides(user, &series.id).await?.iter().any(changed) {
        let base = Some(Box::new(Content::of(series)));
        series.link.get_or_insert_default().edit = Some(Box::new(Edit::new(Operation::Update, base, app.clock.now())));
    }
    Ok(())
}

/// Makes a series ready to be created anew: its changed occurrences are changes of the new one, what was cancelled is an
/// exception of it.
///
/// # Errors
/// When a table does not answer.
pub(super) async fn part_from_provider(app: &App, user: UserId, series: &mut Event) -> Result<(), SyncError> {
    let Some(rule) = series.series.as_deref_mut() else { return Ok(()) };
    let overrides = app.store.overrides(user, &series.id).await?;
    let changed: HashSet<OriginalStart> = overrides.iter().filter_map(Event::original_start).collect();
    rule.except_dates.extend(rule.overridden.iter().filter(|original| !changed.contains(original)));
    rule.except_dates.sort_unstable();
    rule.except_dates.dedup();
    series.hash();
    for mut event in overrides {
        let link = event.link.get_or_insert_default();
        (link.remote_id, link.version) = (None, None);
        // The new one has nothing that both sides have agreed on.
        link.edit.get_or_insert_with(|| Box::new(Edit::new(Operation::Update, None, app.clock.now()))).base = None;
        // Refused when somebody else writes the occurrence just now: then it is theirs.
        let _: Outcome = app.store.put_edit(user, &mut event).await?;
    }
    Ok(())
}
