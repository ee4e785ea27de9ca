//! What a provider calls an event, and what it is called here. Where the one does not follow from the other it is written
//! down (ADR 9).

use std::collections::HashMap;

use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use calweave_providers::{CalendarProvider, Change};

use super::SyncError;
use crate::SyncContext;

/// Which event a change is about.
pub(super) fn event_of(change: &Change) -> EventId {
    match change {
        Change::Upserted(event) => event.id.clone(),
        Change::Removed { id, .. } => id.clone(),
        Change::OccurrenceCancelled { series, original } => series.occurrence(*original),
    }
}

/// Gives a change the id that the event has here which the provider has named otherwise.
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

/// Notes the provider's name of an event where ours does not follow from it.
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

/// What an event would be called here, had it come from the provider, where that is not what it is called. The provider
/// calls occurrences by names that nobody looks for.
pub(super) fn foreign_name(provider: &dyn CalendarProvider, event: &Event) -> Option<EventId> {
    let remote_id = remote_id(event).filter(|_| event.original_start().is_none())?;
    Some(provider.event_id(event.calendar(), remote_id)).filter(|foreign| *foreign != event.id)
}

pub(super) fn remote_id(event: &Event) -> Option<&str> {
    event.link.as_ref()?.remote_id.as_deref()
}
