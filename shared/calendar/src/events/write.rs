//! Creating, updating and removing events, and retrying failed edits.

use std::time::Duration;

use calweave_domain::agenda::{Occurrence, single_occurrence};
use calweave_domain::calendar::Calendar;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use calweave_domain::link::{LinkStatus, Operation, SendUpdates};
use calweave_providers::{undeletable, unwritable};
use chrono_tz::Tz;

use super::draft::{EventDraft, WhenInexpressible};
use super::edits::{EditOptions, change_event, create_event, remove_event, retry_edit};
use super::read::editable_event;
use crate::calendars::{calendar_zone, reader_zone, writable_calendar};
use crate::sync_requests::push_soon;
use crate::{Context, Error, EventContext, FieldError, FieldErrors, Result};

/// Maximum number of events that a series is expanded into.
const MAX_EXPANDED: usize = 100;

/// An event to be created.
#[derive(Debug)]
pub struct Create {
    /// The content of the event.
    pub draft: EventDraft,
    /// Idempotency key: the same content with the same key creates the event once.
    pub name: Option<String>,
}

/// The result of creating an event.
#[derive(Debug)]
pub struct Created {
    /// The event; the first one if a series was expanded.
    pub event: UpdatedEvent,
    /// The ids of all events that a series was expanded into; `None` if it was not expanded.
    pub expanded_into: Option<Vec<EventId>>,
}

impl Created {
    /// Returns the ids of all events that were created.
    pub fn ids(&self) -> Vec<EventId> {
        let own = || vec![self.event.event.id.clone()];
        self.expanded_into.clone().unwrap_or_else(own)
    }

    /// Requests that the created events are written to the provider, and waits for that up to `limit`.
    pub async fn push(self, context: &Context, limit: Duration) -> Result<Self> {
        let Some(ids) = &self.expanded_into else {
            let event = self.event.push(context, limit).await?;
            return Ok(Self { event, ..self });
        };
        let calendar = self.event.calendar.clone();
        push_soon(context, calendar.user_id, calendar.id, limit).await;
        let now = context.store.events(calendar.user_id, ids).await?;
        let all_synced = now.len() == ids.len() && now.iter().all(is_synced);
        let first = now.into_iter().find(|event| event.id == ids[0]);
        let event = UpdatedEvent {
            is_synced: all_synced,
            event: first.unwrap_or(self.event.event),
            ..self.event
        };
        Ok(Self { event, ..self })
    }
}

/// An event after a change, with its sync status.
#[derive(Debug)]
pub struct UpdatedEvent {
    /// The calendar of the event.
    pub calendar: Calendar,
    /// The reader's zone.
    pub zone: Tz,
    /// The event.
    pub event: Event,
    /// Whether the provider has the change.
    pub is_synced: bool,
}

impl UpdatedEvent {
    pub(super) fn new(calendar: Calendar, zone: Tz, event: Event) -> Self {
        Self {
            is_synced: is_synced(&event),
            calendar,
            zone,
            event,
        }
    }

    /// Requests that the change is written to the provider, and waits for that up to `limit`. Returns the event as it
    /// is then stored.
    pub async fn push(self, context: &Context, limit: Duration) -> Result<Self> {
        let user = self.calendar.user_id;
        let now = pushed(context, user, &self.event.id, limit).await?;
        Ok(match now {
            Some(now) => Self::new(self.calendar, self.zone, now),
            None => self,
        })
    }

    /// Returns the event, rendered for its reader's zone.
    pub fn occurrence(&self) -> Occurrence<'_> {
        single_occurrence(&self.event, self.zone)
    }
}

fn is_synced(event: &Event) -> bool {
    let link = event.link.as_ref();
    link.is_none_or(|link| link.status() == LinkStatus::Synced)
}

/// A check of the stored event before a change, such as of its entity tag (`If-Match`). A change with a precondition is
/// not retried when a concurrent writer has changed the event.
pub type Precondition<'a> = &'a (dyn Fn(&Event, &Calendar, Tz) -> Result<()> + Send + Sync);

/// An update of an event.
pub struct Update<'a> {
    /// The new content of the event.
    pub draft: EventDraft,
    /// Precondition of the update.
    pub precondition: Option<Precondition<'a>>,
}

/// The outcome of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The provider has removed the event.
    Completed,
    /// The provider still has the event; with the status of the removal.
    Pending(LinkStatus),
}

/// Creates an event in the draft's calendar.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], or [`Error::Invalid`], also for values that the provider cannot store.
pub async fn create(context: &EventContext, user: UserId, create: Create) -> Result<Created> {
    let Create { draft, name } = create;
    let needed = || Error::field("calendarId", "is required");
    let calendar = draft.calendar_id.ok_or_else(needed)?;
    let calendar = writable_calendar(context, user, calendar).await?;
    let zone = reader_zone(context, user, None).await?;
    let options = EditOptions {
        send_updates: draft.send_updates,
        wants_conference: draft.create_conference,
        name,
        ..EditOptions::default()
    };
    let expands = draft.when_inexpressible == WhenInexpressible::Expand;
    let content = draft.create(zone)?;
    let refused = unwritable(calendar.provider, None, &content, options.send_updates);
    let is_about_recurrence = |field: &str| matches!(field, "recurrence" | "timezone");
    if expands
        && refused
            .iter()
            .any(|error| is_about_recurrence(&error.field))
    {
        return expand(context, calendar, content, &options, zone).await;
    }
    accept(refused)?;
    let event = create_event(context, &calendar, content, &options).await?;
    Ok(Created {
        event: UpdatedEvent::new(calendar, zone, event),
        expanded_into: None,
    })
}

/// Expands a series whose recurrence the provider does not support: creates each occurrence in the synced window as a
/// separate event.
async fn expand(
    context: &EventContext,
    calendar: Calendar,
    content: EventContent,
    options: &EditOptions,
    zone: Tz,
) -> Result<Created> {
    let own_zone = calendar_zone(&calendar, zone);
    let series = content.series.as_deref().ok_or(Error::NotFound)?;
    let now = context.clock.now();
    let (from, to) = (now - context.window.past, now + context.window.future);
    let found = series.expand(content.start, from, to, own_zone, MAX_EXPANDED);
    if found.truncated || found.starts.is_empty() {
        let message = format!(
            "must have 1 to {MAX_EXPANDED} occurrences in the synced window to be expanded; set an end"
        );
        return Err(Error::field("recurrence", message));
    }
    let length = content.end.instant(own_zone) - content.start.instant(own_zone);
    let mut single = EventContent {
        series: None,
        ..content.clone()
    };
    let refused = unwritable(calendar.provider, None, &single, options.send_updates);
    accept(refused)?;
    let mut made = Vec::with_capacity(found.starts.len());
    for start in found.starts {
        (single.start, single.end) = (start, start.plus(length));
        made.push(create_event(context, &calendar, single.clone(), options).await?);
    }
    let ids = made.iter().map(|event| event.id.clone()).collect();
    let first = made.into_iter().next().ok_or(Error::NotFound)?;
    Ok(Created {
        event: UpdatedEvent::new(calendar, zone, first),
        expanded_into: Some(ids),
    })
}

/// Updates an event, a series, or one occurrence of a series.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], [`Error::Invalid`], [`Error::Contended`], or [`Error::Changed`] when the
/// precondition does not hold.
pub async fn update(
    context: &Context,
    user: UserId,
    id: EventId,
    update: Update<'_>,
) -> Result<UpdatedEvent> {
    let Update {
        draft,
        precondition,
    } = update;
    let calendar = writable_calendar(context, user, id.calendar()).await?;
    let zone = reader_zone(context, user, None).await?;
    let options = EditOptions {
        send_updates: draft.send_updates,
        wants_conference: draft.create_conference,
        is_strict: precondition.is_some(),
        ..EditOptions::default()
    };
    if draft.calendar_id.is_some_and(|other| other != calendar.id) {
        let message = "cannot be changed: an event cannot be moved to another calendar";
        return Err(Error::field("calendarId", message));
    }
    let event = editable_event(context, user, &id, zone).await?;
    if let Some(precondition) = precondition {
        precondition(&event, &calendar, zone)?;
    }
    let before = EventContent::of(&event);
    let wanted = draft.change(before.clone(), zone)?;
    if id.original_start().is_some() && wanted.series.is_some() {
        let message = "can be set on the series only, not on one occurrence";
        return Err(Error::field("recurrence", message));
    }
    let kind = calendar.provider;
    accept(unwritable(
        kind,
        Some(&before),
        &wanted,
        options.send_updates,
    ))?;
    let changed = change_event(context, user, event, wanted, &options).await?;
    let event = changed.ok_or(Error::NotFound)?;
    Ok(UpdatedEvent::new(calendar, zone, event))
}

/// Removes an event, a series, or one occurrence of a series. It is hidden at once; [`push_removal`] removes it at the
/// provider.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], [`Error::Invalid`] when the provider cannot remove the event with this
/// `send_updates`, or [`Error::Changed`] when the precondition does not hold.
pub async fn remove(
    context: &Context,
    user: UserId,
    id: &EventId,
    send_updates: SendUpdates,
    precondition: Option<Precondition<'_>>,
) -> Result<()> {
    let calendar = writable_calendar(context, user, id.calendar()).await?;
    let zone = reader_zone(context, user, None).await?;
    let event = editable_event(context, user, id, zone).await?;
    if let Some(precondition) = precondition {
        precondition(&event, &calendar, zone)?;
    }
    let options = EditOptions {
        send_updates,
        is_strict: precondition.is_some(),
        ..EditOptions::default()
    };
    accept(undeletable(calendar.provider, &event, send_updates))?;
    if remove_event(context, user, event, &options).await? {
        Ok(())
    } else {
        Err(Error::NotFound)
    }
}

/// Requests that a removal is written to the provider, and waits for that up to `limit`.
///
/// # Errors
/// [`Error::Conflict`] when the event was not removed at the provider.
pub async fn push_removal(
    context: &Context,
    user: UserId,
    id: &EventId,
    limit: Duration,
) -> Result<Removed> {
    match pushed(context, user, id, limit).await? {
        None => Ok(Removed::Completed),
        Some(left) if left.is_deleting() => {
            let status = left.link.map(|link| link.status());
            Ok(Removed::Pending(status.unwrap_or(LinkStatus::Pending)))
        }
        Some(left) => {
            let changed = || "it was changed at the provider in the meantime".to_owned();
            let failure = left.link.and_then(|link| link.failure);
            let reason = failure.unwrap_or_else(changed);
            Err(Error::Conflict(format!(
                "the event was not removed: {reason}"
            )))
        }
    }
}

/// Retries a failed or paused edit. An event that was deleted at the provider is recreated.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], [`Error::Invalid`], or [`Error::Conflict`] when there is nothing to write.
pub async fn retry(context: &Context, user: UserId, id: &EventId) -> Result<UpdatedEvent> {
    let calendar = writable_calendar(context, user, id.calendar()).await?;
    let zone = reader_zone(context, user, None).await?;
    let event = context.store.event(user, id).await?;
    let event = event.ok_or(Error::NotFound)?;
    let edit = event.link.as_ref().and_then(|link| link.edit.as_deref());
    if let Some(edit) = edit.filter(|edit| edit.operation == Operation::Create) {
        // Recreating the event may notify more people than the edit did.
        let content = EventContent::of(&event);
        accept(unwritable(
            calendar.provider,
            None,
            &content,
            edit.send_updates,
        ))?;
    }
    let in_sync = || Error::Conflict("there is nothing to write: the event is in sync".to_owned());
    let event = retry_edit(context, user, id).await?.ok_or_else(in_sync)?;
    Ok(UpdatedEvent::new(calendar, zone, event))
}

/// Fails with [`Error::Invalid`] if there are errors.
fn accept(refused: Vec<FieldError>) -> Result<()> {
    FieldErrors(refused).or(())
}

/// Requests that a change is written to the provider, and waits for that up to `limit`. Returns the stored event;
/// `None` when it no longer exists.
pub(super) async fn pushed(
    context: &Context,
    user: UserId,
    id: &EventId,
    limit: Duration,
) -> Result<Option<Event>> {
    push_soon(context, user, id.calendar(), limit).await;
    Ok(context.store.event(user, id).await?)
}
