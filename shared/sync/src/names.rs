//! Event ids and remote ids. Where the id of an event here does not follow from its remote id, an alias records the pair
//! (ADR 9).

use std::collections::HashMap;

use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use calweave_providers::{CalendarProvider, Change};

use super::SyncError;
use crate::SyncContext;

/// The id of the event that a change is about.
pub(super) fn event_of(change: &Change) -> EventId {
    match change {
        Change::Upserted(event) => event.id.clone(),
        Change::Removed { id, .. } => id.clone(),
        Change::OccurrenceCancelled { series, original } => series.occurrence(*original),
    }
}

/// Replaces the id of a change by the one that the event has here.
pub(super) fn apply_alias(change: &mut Change, aliases: &HashMap<EventId, EventId>) {
    let Some(own) = aliases.get(&event_of(change).series()) else {
        return;
    };
    match change {
        Change::Upserted(event) => {
            event.id = event
                .original_start()
                .map_or_else(|| own.clone(), |original| own.occurrence(original));
            event.hash();
        }
        Change::Removed { id, .. } => id.clone_from(own),
        Change::OccurrenceCancelled { series, .. } => series.clone_from(own),
    }
}

/// Records the remote id of an event where its id here does not follow from it.
pub(super) async fn record_alias(
    context: &SyncContext,
    provider: &dyn CalendarProvider,
    user: UserId,
    event: &Event,
) -> Result<(), SyncError> {
    if let Some(foreign) = foreign_name(provider, event) {
        context.store.put_alias(user, &foreign, &event.id).await?;
    }
    Ok(())
}

/// The id that an event would have if it had been created at the provider, where it has another. Occurrences have none: they
/// are found through their series.
pub(super) fn foreign_name(provider: &dyn CalendarProvider, event: &Event) -> Option<EventId> {
    let remote_id = remote_id(event).filter(|_| event.original_start().is_none())?;
    Some(provider.event_id(event.calendar(), remote_id)).filter(|foreign| *foreign != event.id)
}

pub(super) fn remote_id(event: &Event) -> Option<&str> {
    event.link.as_ref()?.remote_id.as_deref()
}
