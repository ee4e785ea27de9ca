//! Slots: times that a user reserves. A slot can be shown as an event in a calendar. No two slots of a user overlap.

mod draft;

use std::collections::HashMap;
use std::time::Duration;

use calweave_domain::calendar::CalendarState;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, SlotId, UserId};
use calweave_domain::link::{EventLink, LinkStatus};
use calweave_domain::slot::{Slot, SlotTime};
use calweave_store::WriteOutcome;
use calweave_store::slots::SlotBook;
use chrono_tz::Tz;

pub use self::draft::SlotDraft;
use crate::calendars::{connected_calendar, reader_zone};
use crate::events::{EditOptions, change_event, create_event, remove_event};
use crate::sync_requests::push_soon;
use crate::{Context, Error, Result};

/// Attempts to write a slot when concurrent requests write other slots first.
const MAX_ATTEMPTS: usize = 20;
/// Maximum number of slots of one user. Each slot is compared with all others.
const MAX_SLOTS: usize = 500;

/// A slot with its sync status.
#[derive(Debug)]
pub struct SlotState {
    /// The slot.
    pub slot: Slot,
    /// Sync status of its event; `None` for a slot without a calendar.
    pub sync_status: Option<LinkStatus>,
}

/// Lists all slots of a user, in the order of their creation. A slot with an event takes its time and title from the
/// event; if the event was removed, the slot is left out.
pub async fn list_slots(context: &Context, user: UserId) -> Result<Vec<SlotState>> {
    let CurrentSlots { book, events, .. } = current(context, user).await?;
    let slots = book.slots.into_iter();
    Ok(slots.map(|slot| state(slot, &events)).collect())
}

/// Returns one slot.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn read_slot(context: &Context, user: UserId, id: SlotId) -> Result<SlotState> {
    let (slot, events) = find(context, user, id).await?;
    Ok(state(slot, &events))
}

/// Creates a slot and, if a calendar is given, an event in that calendar.
///
/// # Errors
/// [`Error::Invalid`], [`Error::NotFound`] or [`Error::ReadOnly`] for the calendar, and [`Error::Conflict`] when
/// another slot overlaps. Of several concurrent requests for the same time, one succeeds.
pub async fn create_slot(context: &Context, user: UserId, draft: SlotDraft) -> Result<SlotState> {
    let needed = |field: &str| Error::field(field, "is required");
    let title = draft.title()?.ok_or_else(|| needed("title"))?;
    let zone: Tz = reader_zone(context, user, None).await?;
    let when = draft.when(zone, None)?;
    let when = when.ok_or_else(|| needed("startTime"))?;
    let calendar = match draft.calendar_id {
        Some(id) => Some(connected_calendar(context, user, id).await?.calendar),
        None => None,
    };
    if calendar.as_ref().is_some_and(|one| !one.is_writable()) {
        let message = "this calendar is read-only";
        return Err(Error::ReadOnly(message.to_owned()));
    }
    let now = context.clock.now();
    let mut slot = Slot {
        id: SlotId::new(&context.clock),
        title,
        label: draft.label()?,
        when,
        calendar_id: draft.calendar_id,
        event_id: None,
        created_at: now,
        updated_at: now,
    };
    reserve(context, user, &slot, None).await?;
    if let Some(calendar) = &calendar {
        // The time is reserved first, so that a refused request has created no event.
        let content = when.content(&slot.title, now);
        let event = create_event(context, calendar, content, &EditOptions::default()).await?;
        slot.event_id = Some(event.id);
        reserve(context, user, &slot, Some(slot.id)).await?;
        push_soon(context, user, calendar.id, Duration::ZERO).await;
    }
    let events = events_of(context, user, std::slice::from_ref(&slot)).await?;
    Ok(state(slot, &events))
}

/// Changes a slot and its event.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], or [`Error::Conflict`] when another slot overlaps.
pub async fn change_slot(
    context: &Context,
    user: UserId,
    id: SlotId,
    draft: SlotDraft,
) -> Result<SlotState> {
    let (title, label) = (draft.title()?, draft.label()?);
    if draft.calendar_id.is_some() {
        let message = "cannot be changed; delete the slot and create another";
        return Err(Error::field("calendarId", message));
    }
    let (mut slot, events) = find(context, user, id).await?;
    let when = draft.when(slot.when.zone(), Some(slot.when))?;
    let now = context.clock.now();
    slot.title = title.unwrap_or(slot.title);
    slot.label = label.or(slot.label);
    slot.when = when.unwrap_or(slot.when);
    slot.updated_at = now;
    reserve(context, user, &slot, Some(id)).await?;
    if let Some(event) = slot.event_id.as_ref().and_then(|id| events.get(id)) {
        let new = slot.when.content(&slot.title, now);
        let mut wanted = EventContent::of(event);
        slot.title.clone_into(&mut wanted.details.title);
        if when.is_some() {
            (wanted.start, wanted.end, wanted.series) = (new.start, new.end, new.series);
        }
        change_event(
            context,
            user,
            event.clone(),
            wanted,
            &EditOptions::default(),
        )
        .await?;
        push_soon(context, user, event.calendar(), Duration::ZERO).await;
    }
    let events = events_of(context, user, std::slice::from_ref(&slot)).await?;
    Ok(state(slot, &events))
}

/// Removes a slot and its event.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn remove_slot(context: &Context, user: UserId, id: SlotId) -> Result<()> {
    let slot = context.store.slot(user, id).await?;
    let slot = slot.ok_or(Error::NotFound)?;
    // The event is removed first: if this fails, the slot still exists and the removal can be repeated.
    if let Some(event) = slot.event_id.as_ref() {
        if let Some(event) = context.store.event(user, event).await? {
            remove_event(context, user, event, &EditOptions::default()).await?;
        }
        push_soon(context, user, event.calendar(), Duration::ZERO).await;
    }
    Ok(context.store.delete_slot(user, id).await?)
}

async fn find(
    context: &Context,
    user: UserId,
    id: SlotId,
) -> Result<(Slot, HashMap<EventId, Event>)> {
    let CurrentSlots { book, events, .. } = current(context, user).await?;
    let slot = book.slots.into_iter().find(|slot| slot.id == id);
    Ok((slot.ok_or(Error::NotFound)?, events))
}

/// Writes a slot unless another one overlaps. `known` is the id of a slot that exists already.
async fn reserve(
    context: &Context,
    user: UserId,
    slot: &Slot,
    known: Option<SlotId>,
) -> Result<()> {
    for _ in 0..MAX_ATTEMPTS {
        let book = remove_gone(context, user).await?;
        if known.is_none() && book.slots.len() >= MAX_SLOTS {
            return Err(Error::Conflict(format!(
                "a user can have at most {MAX_SLOTS} slots"
            )));
        }
        let now = context.clock.now();
        let mut others = book.slots.iter().filter(|other| other.id != slot.id);
        if let Some(other) = others.find(|other| slot.when.collides(&other.when, now)) {
            let (title, id) = (&other.title, other.id);
            return Err(Error::Conflict(format!("overlaps {title:?} ({id})")));
        }
        if context.store.put_slot(user, &book, slot).await? == WriteOutcome::Written {
            return Ok(());
        }
    }
    let message = "concurrent requests are changing these slots; try again";
    Err(Error::Conflict(message.to_owned()))
}

/// Removes the slots whose event was removed. Returns the others.
pub(crate) async fn remove_gone(context: &Context, user: UserId) -> Result<SlotBook> {
    let CurrentSlots { book, gone, .. } = current(context, user).await?;
    for id in gone {
        context.store.delete_slot(user, id).await?;
    }
    Ok(book)
}

/// The slots of a user.
struct CurrentSlots {
    /// The slots, with the times and titles of their events.
    book: SlotBook,
    /// Their events.
    events: HashMap<EventId, Event>,
    /// The slots whose event was removed. They are no longer in the book.
    gone: Vec<SlotId>,
}

/// Reads a user's slots.
async fn current(context: &Context, user: UserId) -> Result<CurrentSlots> {
    let store = &context.store;
    let mut book = store.slot_book(user).await?;
    let events = events_of(context, user, &book.slots).await?;
    let (mut slots, mut gone) = (Vec::with_capacity(book.slots.len()), vec![]);
    for mut slot in book.slots {
        match slot.event_id.as_ref().map(|id| (id, events.get(id))) {
            None => {}
            Some((_, Some(event))) => {
                event.details.title.clone_into(&mut slot.title);
                slot.when = SlotTime::of(&EventContent::of(event)).unwrap_or(slot.when);
            }
            Some((id, None)) => {
                let state = store.calendar(user, id.calendar()).await?;
                let state = state.filter(|state| state.calendar.is_connected);
                if state.as_ref().is_some_and(|state| is_read(state, &slot)) {
                    gone.push(slot.id);
                    continue;
                }
                // What has not been read is not missing: the calendar may have been connected again, and not be synced yet,
                // or the slot may be outside of its window. A slot whose calendar is disconnected is kept without one.
                if state.is_none() {
                    (slot.event_id, slot.calendar_id) = (None, None);
                }
            }
        }
        slots.push(slot);
    }
    book.slots = slots;
    Ok(CurrentSlots { book, events, gone })
}

/// Returns whether the event of a slot would be stored if it were still there: because it has been stored since the slot was
/// created, or because the part of the calendar in which it is has been read since the calendar was connected again.
fn is_read(state: &CalendarState, slot: &Slot) -> bool {
    let connected_at = state.calendar.connected_at;
    let is_kept = connected_at.is_none_or(|connected_at| connected_at < slot.created_at);
    let read = state.cursor.sync_state.as_ref();
    read.is_some_and(|read| is_kept || slot.when.lies_within(read.from, read.to))
}

/// Returns the visible events of these slots, by id.
async fn events_of(
    context: &Context,
    user: UserId,
    slots: &[Slot],
) -> Result<HashMap<EventId, Event>> {
    let ids = slots.iter().filter_map(|slot| slot.event_id.clone());
    let ids: Vec<EventId> = ids.collect();
    let events = context.store.events(user, &ids).await?.into_iter();
    let shown = events.filter(Event::is_visible);
    Ok(shown.map(|event| (event.id.clone(), event)).collect())
}

fn state(slot: Slot, events: &HashMap<EventId, Event>) -> SlotState {
    let event = slot.event_id.as_ref().and_then(|id| events.get(id));
    let link = event.and_then(|event| event.link.as_deref());
    SlotState {
        sync_status: link.map(EventLink::status),
        slot,
    }
}
