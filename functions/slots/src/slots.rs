//! `GET` and `POST /api/v1/slots`, `GET`, `PUT` and `DELETE /api/v1/slots/{id}`

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use chrono_tz::Tz;
use serde::Serialize;
use shared::app::App;
use shared::domain::event::Event;
use shared::domain::ids::{EventId, SlotId, UserId};
use shared::domain::link::Content;
use shared::domain::slot::{Slot, When};
use shared::http::limits::EventWriteLimit;
use shared::http::trail::Trail;
use shared::http::views::connected;
use shared::http::{Answer, Caller, Id, Json, Problem, ProblemType, Problems};
use shared::store::Outcome;
use shared::store::slots::SlotBook;
use shared::sync::edit::{How, change_event, create_event, remove_event};
use shared::sync::push_soon;
use utoipa::ToSchema;

use crate::body::SlotBody;
use crate::view::SlotView;

/// How often a write is made anew because another slot was written meanwhile.
const TRIES: usize = 20;
/// The most slots of one person: each is compared with all others.
const MAX_SLOTS: usize = 500;

/// All slots.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Slots {
    /// In the order in which they were made.
    slots: Vec<SlotView>,
    /// Always null: all fit.
    next_cursor: Option<String>,
}

/// All slots of the caller. One that a calendar shows is where its event is now; if that was removed there, so is the slot.
#[utoipa::path(get, path = "/api/v1/slots", tag = "slots", security(("bearer" = [])), responses((status = 200, body = Slots), Problems))]
pub async fn list(State(app): State<App>, caller: Caller) -> Answer<Json<Slots>> {
    let (book, events) = current(&app, caller.user()).await?;
    let slots = book
        .slots
        .into_iter()
        .map(|slot| view(slot, &events))
        .collect();
    Ok(Json(Slots {
        slots,
        next_cursor: None,
    }))
}

/// One slot.
#[utoipa::path(get, path = "/api/v1/slots/{id}", tag = "slots", security(("bearer" = [])),
    params(("id" = String, Path, description = "`slt_…`")), responses((status = 200, body = SlotView), Problems))]
pub async fn get(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<SlotId>,
) -> Answer<Json<SlotView>> {
    let (book, events) = current(&app, caller.user()).await?;
    let slot = book
        .slots
        .into_iter()
        .find(|slot| slot.id == id)
        .ok_or_else(Problem::not_found)?;
    Ok(Json(view(slot, &events)))
}

/// Keeps a stretch of time. 409 when another slot has some of it: of any number of requests at once one succeeds. With
/// `calendarId`, that calendar shows it.
#[utoipa::path(post, path = "/api/v1/slots", tag = "slots", security(("bearer" = [])), request_body = SlotBody,
    responses((status = 201, body = SlotView), Problems))]
pub async fn create(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    Json(body): Json<SlotBody>,
) -> Answer<(StatusCode, Json<SlotView>)> {
    let user = caller.user();
    let title = body
        .title()?
        .ok_or_else(|| Problem::field("title", "is needed"))?;
    let when = body
        .when(reader(&app, user).await?, None)?
        .ok_or_else(|| Problem::field("startTime", "is needed"))?;
    let calendar = match body.calendar_id {
        Some(id) => Some(connected(&app, user, id).await?.calendar),
        None => None,
    };
    if calendar
        .as_ref()
        .is_some_and(|calendar| !calendar.is_writable())
    {
        return Err(Problem::because(
            ProblemType::ReadOnly,
            "this calendar can only be read",
        ));
    }
    let now = app.clock.now();
    let (label, calendar_id) = (body.label()?, body.calendar_id);
    let mut slot = Slot {
        id: SlotId::new(&app.clock),
        title,
        label,
        when,
        calendar_id,
        event_id: None,
        created_at: now,
        updated_at: now,
    };
    keep(&app, user, &slot, None).await?;
    if let Some(calendar) = &calendar {
        // The time is kept first: whoever is too late has written nothing at the provider.
        let event = create_event(
            &app,
            calendar,
            when.content(&slot.title, now),
            How::default(),
        )
        .await?;
        slot.event_id = Some(event.id);
        keep(&app, user, &slot, Some(slot.id)).await?;
        push_soon(&app, user, calendar.id, Duration::ZERO).await;
    }
    trail
        .success(user, "SLOT_CREATE", Some(slot.id.to_string()))
        .await;
    let events = events_of(&app, user, &[slot.clone()]).await?;
    Ok((StatusCode::CREATED, Json(view(slot, &events))))
}

/// Changes a slot, and the event that shows it. 409 when another slot has some of the new time.
#[utoipa::path(put, path = "/api/v1/slots/{id}", tag = "slots", security(("bearer" = [])), request_body = SlotBody,
    params(("id" = String, Path, description = "`slt_…`")), responses((status = 200, body = SlotView), Problems))]
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    Id(id): Id<SlotId>,
    Json(body): Json<SlotBody>,
) -> Answer<Json<SlotView>> {
    let user = caller.user();
    let (title, label) = (body.title()?, body.label()?);
    if body.calendar_id.is_some() {
        return Err(Problem::field(
            "calendarId",
            "cannot be changed; remove the slot and make another",
        ));
    }
    let (book, events) = current(&app, user).await?;
    let mut slot = book
        .slots
        .into_iter()
        .find(|slot| slot.id == id)
        .ok_or_else(Problem::not_found)?;
    let when = body.when(slot.when.zone(), Some(slot.when))?;
    slot.title = title.unwrap_or(slot.title);
    slot.label = label.or(slot.label);
    slot.when = when.unwrap_or(slot.when);
    slot.updated_at = app.clock.now();
    keep(&app, user, &slot, Some(id)).await?;
    if let Some(event) = slot.event_id.as_ref().and_then(|id| events.get(id)) {
        let new = slot.when.content(&slot.title, app.clock.now());
        let mut wanted = Content::of(event);
        slot.title.clone_into(&mut wanted.details.title);
        if when.is_some() {
            (wanted.start, wanted.end, wanted.series) = (new.start, new.end, new.series);
        }
        change_event(&app, user, event.clone(), wanted, How::default()).await?;
        push_soon(&app, user, event.calendar(), Duration::ZERO).await;
    }
    trail
        .success(user, "SLOT_UPDATE", Some(id.to_string()))
        .await;
    let events = events_of(&app, user, &[slot.clone()]).await?;
    Ok(Json(view(slot, &events)))
}

/// Gives a stretch of time back, and removes the event that shows it.
#[utoipa::path(delete, path = "/api/v1/slots/{id}", tag = "slots", security(("bearer" = [])),
    params(("id" = String, Path, description = "`slt_…`")), responses((status = 204), Problems))]
pub async fn delete(
    State(app): State<App>,
    caller: Caller,
    _: EventWriteLimit,
    trail: Trail,
    Id(id): Id<SlotId>,
) -> Answer<StatusCode> {
    let user = caller.user();
    let slot = app
        .store
        .slot(user, id)
        .await?
        .ok_or_else(Problem::not_found)?;
    // The event first: a slot that is still there can be removed again.
    if let Some(event) = slot.event_id.as_ref() {
        if let Some(event) = app.store.event(user, event).await? {
            remove_event(&app, user, event, How::default()).await?;
        }
        push_soon(&app, user, event.calendar(), Duration::ZERO).await;
    }
    app.store.delete_slot(user, id).await?;
    trail
        .success(user, "SLOT_DELETE", Some(id.to_string()))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

async fn reader(app: &App, user: UserId) -> Answer<Tz> {
    Ok(app
        .store
        .user(user)
        .await?
        .ok_or_else(Problem::not_found)?
        .timezone)
}

/// Writes a slot unless another one has some of its time.
async fn keep(app: &App, user: UserId, slot: &Slot, known: Option<SlotId>) -> Answer<()> {
    for _ in 0..TRIES {
        let (book, _) = current(app, user).await?;
        if known.is_none() && book.slots.len() >= MAX_SLOTS {
            return Err(Problem::because(
                ProblemType::Conflict,
                format!("nobody has more than {MAX_SLOTS} slots"),
            ));
        }
        let others = book.slots.iter().filter(|other| other.id != slot.id);
        if let Some(other) = others
            .into_iter()
            .find(|other| slot.when.collides(&other.when, app.clock.now()))
        {
            return Err(Problem::because(
                ProblemType::Conflict,
                format!("{:?} ({}) has some of this time", other.title, other.id),
            ));
        }
        if app.store.put_slot(user, &book, slot).await? == Outcome::Done {
            return Ok(());
        }
    }
    Err(Problem::because(
        ProblemType::Conflict,
        "others are changing these slots at this moment; try again",
    ))
}

/// The slots as they are now: where their events are, and without those whose event was removed.
async fn current(app: &App, user: UserId) -> Answer<(SlotBook, HashMap<EventId, Event>)> {
    let mut book = app.store.slot_book(user).await?;
    let events = events_of(app, user, &book.slots).await?;
    let mut slots = Vec::with_capacity(book.slots.len());
    for mut slot in book.slots {
        match slot.event_id.as_ref().map(|id| (id, events.get(id))) {
            None => {}
            Some((_, Some(event))) => {
                event.details.title.clone_into(&mut slot.title);
                slot.when = When::of(&Content::of(event)).unwrap_or(slot.when);
            }
            Some((id, None)) => {
                let state = app
                    .store
                    .calendar(user, id.calendar())
                    .await?
                    .filter(|state| state.calendar.is_connected);
                if state
                    .as_ref()
                    .is_some_and(|state| state.cursor.position.is_some())
                {
                    app.store.delete_slot(user, slot.id).await?;
                    continue;
                }
                // Connected anew, the calendar has not been read yet. Of one that was disconnected the slot is kept without it.
                if state.is_none() {
                    (slot.event_id, slot.calendar_id) = (None, None);
                }
            }
        }
        slots.push(slot);
    }
    book.slots = slots;
    Ok((book, events))
}

/// The events that show these slots, by id; without those that are to go.
async fn events_of(app: &App, user: UserId, slots: &[Slot]) -> Answer<HashMap<EventId, Event>> {
    let ids: Vec<EventId> = slots
        .iter()
        .filter_map(|slot| slot.event_id.clone())
        .collect();
    let events = app.store.events(user, &ids).await?.into_iter();
    let there = events.filter(Event::is_shown);
    Ok(there.map(|event| (event.id.clone(), event)).collect())
}

fn view(slot: Slot, events: &HashMap<EventId, Event>) -> SlotView {
    let link = slot
        .event_id
        .as_ref()
        .and_then(|id| events.get(id)?.link.as_deref());
    let status = link.map(shared::domain::link::Link::status);
    SlotView::new(slot, status)
}
