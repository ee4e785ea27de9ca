//! Removes stored events.

use calweave_domain::event::Event;
use calweave_domain::ids::UserId;
use calweave_providers::CalendarProvider;
use calweave_store::WriteOutcome;
use calweave_store::events::EventWrite;

use super::SyncError;
use super::names::{foreign_name, remote_id};
use crate::SyncContext;

/// Removes an event with its overrides, its alias and the marker of its edit. Returns how many events were removed, or `None`
/// when a concurrent writer has changed the event since it was read.
pub(super) async fn remove(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    event: &Event,
) -> Result<Option<u32>, SyncError> {
    let store = &context.store;
    let mut removed = 1;
    if event.series.is_some() {
        let overrides = store.overrides(user, &event.id).await?;
        for event in &overrides {
            bury(context, provider, user, event).await?;
        }
        let deletes = overrides.iter().map(|event| EventWrite::Delete(&event.id));
        let deletes: Vec<EventWrite<'_>> = deletes.collect();
        store.write_all_events(user, &deletes).await?;
        removed += u32::try_from(deletes.len()).unwrap_or(u32::MAX);
    }
    if store.delete_event(user, event).await? == WriteOutcome::ConditionFailed {
        return Ok(None);
    }
    bury(context, provider, user, event).await?;
    if event.is_edited() {
        let revision = revision(event);
        store.clear_edit_marker(user, &event.id, revision).await?;
    }
    Ok(Some(removed))
}

/// Records that an event was removed: a provider whose reports of removals are not definitive reports it once more.
async fn bury(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    event: &Event,
) -> Result<(), SyncError> {
    let store = &context.store;
    if !provider.capabilities().removals_are_definitive {
        if let Some(remote_id) = remote_id(event) {
            let foreign = provider.event_id(event.calendar(), remote_id);
            store.put_tombstone(user, &foreign, &event.id).await?;
        }
    } else if let Some(foreign) = foreign_name(provider, event) {
        store.delete_alias(user, &foreign, &event.id).await?;
    }
    Ok(())
}

/// The revision in which an event was read.
pub(super) fn revision(event: &Event) -> u64 {
    event.link.as_ref().map_or(0, |link| link.revision)
}
