//! Reading one event, series or occurrence.

use calweave_domain::agenda::{Occurrence, find_occurrence, single_occurrence};
use calweave_domain::calendar::Calendar;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, UserId};
use chrono_tz::Tz;

use crate::calendars::{connected_calendar, reader_zone};
use crate::{Context, Error, Result};

/// An event that was read.
#[derive(Clone, Debug)]
pub struct ReadEvent {
    /// The calendar of the event.
    pub calendar: Calendar,
    /// The reader's zone.
    pub zone: Tz,
    id: EventId,
    /// The event itself or, for an occurrence without an override, its series.
    event: Event,
}

impl ReadEvent {
    /// Returns the event or occurrence.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the series yields no such occurrence.
    pub fn occurrence(&self) -> Result<Occurrence<'_>> {
        match self.id.original_start() {
            Some(original) if self.event.id != self.id => {
                find_occurrence(&self.event, original, self.zone).ok_or(Error::NotFound)
            }
            _ => Ok(single_occurrence(&self.event, self.zone)),
        }
    }
}

/// Reads an event, a series, or one occurrence of a series. `zone` is the reader's zone; it defaults to that of the
/// profile.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::Invalid`] for an unknown zone.
pub async fn read_event(
    context: &Context,
    user: UserId,
    id: EventId,
    zone: Option<&str>,
) -> Result<ReadEvent> {
    let calendar = connected_calendar(context, user, id.calendar())
        .await?
        .calendar;
    let zone = reader_zone(context, user, zone).await?;
    let event = match (context.store.event(user, &id).await?, id.original_start()) {
        (Some(event), _) if event.is_visible() => event,
        (None, Some(original)) => {
            let series = context.store.event(user, &id.series()).await?;
            let series = series.ok_or(Error::NotFound)?;
            match find_occurrence(&series, original, zone) {
                Some(_) => series,
                None => new_override(context, user, &id)
                    .await?
                    .ok_or(Error::NotFound)?,
            }
        }
        _ => return Err(Error::NotFound),
    };
    Ok(ReadEvent {
        calendar,
        zone,
        id,
        event,
    })
}

/// Returns the stored event or, for an occurrence without an override, a new override with the values of its series.
///
/// # Errors
/// [`Error::NotFound`], or [`Error::ReadOnly`] when the provider does not allow changes of this event type.
pub(super) async fn editable_event(
    context: &Context,
    user: UserId,
    id: &EventId,
    zone: Tz,
) -> Result<Event> {
    let found = match context.store.event(user, id).await? {
        Some(event) => Some(event).filter(Event::is_visible),
        None => match yielded(context, user, id, zone).await? {
            Some(event) => Some(event),
            None => new_override(context, user, id).await?,
        },
    };
    let event = found.ok_or(Error::NotFound)?;
    if event.details.event_type.is_some() {
        let message = "the provider does not allow changes to events of this type";
        return Err(Error::ReadOnly(message.to_owned()));
    }
    Ok(event)
}

/// Reads an occurrence again that its series hides: it may have become an override between the two reads.
async fn new_override(context: &Context, user: UserId, id: &EventId) -> Result<Option<Event>> {
    let event = context.store.event(user, id).await?;
    Ok(event.filter(Event::is_visible))
}

async fn yielded(context: &Context, user: UserId, id: &EventId, zone: Tz) -> Result<Option<Event>> {
    let Some(original) = id.original_start() else {
        return Ok(None);
    };
    let Some(series) = context.store.event(user, &id.series()).await? else {
        return Ok(None);
    };
    Ok(find_occurrence(&series, original, zone).map(|one| Event {
        id: id.clone(),
        start: one.start,
        end: one.end,
        series: None,
        link: None,
        ..series.clone()
    }))
}
