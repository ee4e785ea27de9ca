//! Creating, changing, removing and retrying.

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

/// Events that one series may become where the provider cannot repeat it.
const MAX_EXPANDED: usize = 100;

/// An event to be created.
#[derive(Debug)]
pub struct Create {
    /// What it is to say.
    pub draft: EventDraft,
    /// The name of the request: created again under the same name, it is the same event.
    pub name: Option<String>,
}

/// Events that were created.
#[derive(Debug)]
pub struct Created {
    /// The event; the first one where a series had to be expanded.
    pub event: UpdatedEvent,
    /// All events that a series became, where the provider cannot repeat it.
    pub expanded_into: Option<Vec<EventId>>,
}

impl Created {
    /// The ids of all events that were created.
    pub fn ids(&self) -> Vec<EventId> {
        let own = || vec![self.event.event.id.clone()];
        self.expanded_into.clone().unwrap_or_else(own)
    }

    /// Has what was created written to the provider, and waits for that up to `limit`.
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

/// An event as it is after a change, and whether its provider has the change.
#[derive(Debug)]
pub struct UpdatedEvent {
    /// The calendar that holds it.
    pub calendar: Calendar,
    /// The reader's zone.
    pub zone: Tz,
    /// The event.
    pub event: Event,
    /// Whether the provider has it as it is stored.
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

    /// Has the change written to the provider, and waits for that up to `limit`. Answers with the event as it is then.
    pub async fn push(self, context: &Context, limit: Duration) -> Result<Self> {
        let user = self.calendar.user_id;
        let now = pushed(context, user, &self.event.id, limit).await?;
        Ok(match now {
            Some(now) => Self::new(self.calendar, self.zone, now),
            None => self,
        })
    }

    /// As its reader sees it.
    pub fn occurrence(&self) -> Occurrence<'_> {
        single_occurrence(&self.event, self.zone)
    }
}

fn is_synced(event: &Event) -> bool {
    let link = event.link.as_ref();
    link.is_none_or(|link| link.status() == LinkStatus::Synced)
}

/// Decides whether a change is carried out on the event as it is stored, such as by its entity tag. A change with a
/// precondition is not repeated on what a concurrent writer has stored.
pub type Precondition<'a> = &'a (dyn Fn(&Event, &Calendar, Tz) -> Result<()> + Send + Sync);

/// An event to be changed.
pub struct Update<'a> {
    /// What it is to say.
    pub draft: EventDraft,
    /// Whether to carry the change out.
    pub precondition: Option<Precondition<'a>>,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The provider has removed the event too.
    Completed,
    /// The provider still has it; the status says how the removal stands.
    Pending(LinkStatus),
}

/// Creates an event in the draft's calendar.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], or [`Error::Invalid`] with what the provider cannot keep.
pub async fn create(context: &EventContext, user: UserId, create: Create) -> Result<Created> {
    let Create { draft, name } = create;
    let needed = || Error::field("calendarId", "is needed");
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

/// Creates each occurrence of a series that the provider cannot repeat as an event of its own, as far ahead as calendars are
/// read.
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
            "gives no occurrence, or more than {MAX_EXPANDED}, in the time that is kept; give it an end"
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

/// Changes an event, a series, or one occurrence of a series.
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
        let message = "cannot be changed: an event stays in the calendar that it was made in";
        return Err(Error::field("calendarId", message));
    }
    let event = editable_event(context, user, &id, zone).await?;
    if let Some(precondition) = precondition {
        precondition(&event, &calendar, zone)?;
    }
    let before = EventContent::of(&event);
    let wanted = draft.change(before.clone(), zone)?;
    if id.original_start().is_some() && wanted.series.is_some() {
        let message = "belongs to the series, not to one occurrence of it";
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

/// Removes an event, a series, or one occurrence of a series: here at once.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], [`Error::Invalid`] when others would not be told of a cancellation,
/// or [`Error::Changed`] when the precondition does not hold.
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

/// Has a removal written to the provider, and waits for that up to `limit`.
///
/// # Errors
/// [`Error::Conflict`] when the provider keeps the event.
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
            let changed = || "it was changed at the provider meanwhile".to_owned();
            let failure = left.link.and_then(|link| link.failure);
            let reason = failure.unwrap_or_else(changed);
            Err(Error::Conflict(format!("the event stays: {reason}")))
        }
    }
}

/// Tries again to write a change to the provider. An event that was deleted there is created anew.
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
        // Creating it anew may tell more people than the change did.
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

/// Refuses what the provider cannot keep.
fn accept(refused: Vec<FieldError>) -> Result<()> {
    FieldErrors(refused).or(())
}

/// Has a change written, and waits for it. The event as it is then; `None` when it is gone.
pub(super) async fn pushed(
    context: &Context,
    user: UserId,
    id: &EventId,
    limit: Duration,
) -> Result<Option<Event>> {
    push_soon(context, user, id.calendar(), limit).await;
    Ok(context.store.event(user, id).await?)
}
