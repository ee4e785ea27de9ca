//! Changes that people make here: stored at once, with a note that they are still to be written to the provider.

use super::SyncError;
use super::occurrences::fit;
use crate::app::App;
use crate::domain::calendar::Calendar;
use crate::domain::event::Event;
use crate::domain::ids::{EventId, SessionId, UserId};
use crate::domain::link::{Content, Edit, Link, Operation, Response, SendUpdates, merge};
use crate::store::Outcome;

/// How often a write is made anew because the event was written meanwhile.
const TRIES: usize = 8;
/// How many states of an event are remembered that may have been written while it was changed again: the first, which most
/// likely was, and the last.
const MAX_EARLIER: usize = 3;
/// The size of a state, in bytes, beyond which it is not remembered: an item has room for 400 KB.
const MAX_STATE: usize = 32 << 10;

/// How a change is to be written.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// Who is told by mail.
    pub send_updates: SendUpdates,
    /// Whether the provider makes a meeting to go with it.
    pub wants_conference: bool,
    /// What the account's owner answers to an invitation.
    pub response: Option<Response>,
    /// Whether it is meant for the event exactly as it was read: then it is not carried out once somebody else has written.
    pub is_strict: bool,
    /// What a new event is named after, with what it says: asked for again by the same name, it is the same event.
    pub name: Option<String>,
}

/// Stores a new event of a calendar; one that is stored already by that name is answered as it is.
///
/// # Errors
/// When a table does not answer.
pub async fn create_event(
    app: &App,
    calendar: &Calendar,
    content: Content,
    how: How,
) -> Result<Event, SyncError> {
    let now = app.clock.now();
    let name = match &how.name {
        Some(name) => format!(
            "{} {name} {}",
            calendar.user_id,
            serde_json::to_string(&content).unwrap_or_default()
        ),
        None => SessionId::new(&app.clock).to_string(),
    };
    let id = EventId::of(calendar.id, &name);
    let edit = edit(None, Operation::Create, None, app, &how);
    let mut event = Event {
        uid: id.to_string(),
        id,
        start: content.start,
        end: content.end,
        series: content.series,
        zone_guessed: false,
        details: content.details,
        link: Some(Box::new(Link {
            edit: Some(Box::new(edit)),
            ..Link::default()
        })),
        content_hash: String::new(),
        updated_at: now,
    };
    event.hash();
    match app.store.put_edit(calendar.user_id, &mut event).await? {
        Outcome::Done => Ok(event),
        Outcome::Refused => {
            let known = app.store.event(calendar.user_id, &event.id).await?;
            known
                .filter(|known| !known.is_leaving())
                .ok_or(SyncError::Contended)
        }
    }
}

/// Makes `wanted` of an event that was read as `event`. What somebody else has written meanwhile stands where this change
/// says nothing of it. `None` when the event is gone.
///
/// # Errors
/// When a table does not answer.
pub async fn change_event(
    app: &App,
    user: UserId,
    mut event: Event,
    wanted: Content,
    how: How,
) -> Result<Option<Event>, SyncError> {
    let before = Content::of(&event);
    for _ in 0..TRIES {
        let read = event.clone();
        let base = Some(Box::new(Content::of(&event)));
        let edit = edit(event.link.as_deref(), Operation::Update, base, app, &how);
        merge(Some(&before), &[], &wanted, &Content::of(&event))
            .content
            .write_to(&mut event);
        let link = event.link.get_or_insert_default();
        (link.edit, link.failure, link.kept) = (Some(Box::new(edit)), None, None);
        event.updated_at = app.clock.now();
        event.hash();
        if app.store.put_edit(user, &mut event).await? == Outcome::Done {
            hide_in_series(app, user, &event).await?;
            fit(app, user, &read, &event).await?;
            return Ok(Some(event));
        }
        if how.is_strict {
            return Err(SyncError::Changed);
        }
        match app.store.event(user, &event.id).await? {
            Some(now) if !now.is_leaving() => event = now,
            _ => return Ok(None),
        }
    }
    Err(SyncError::Contended)
}

/// Removes an event: here at once, at the provider as soon as can be. False when it is gone already.
///
/// # Errors
/// When a table does not answer.
pub async fn remove_event(
    app: &App,
    user: UserId,
    mut event: Event,
    how: How,
) -> Result<bool, SyncError> {
    for _ in 0..TRIES {
        let read = event.clone();
        let base = Some(Box::new(Content::of(&event)));
        let edit = edit(event.link.as_deref(), Operation::Delete, base, app, &how);
        let link = event.link.get_or_insert_default();
        (link.edit, link.failure) = (Some(Box::new(edit)), None);
        event.hash();
        if app.store.put_edit(user, &mut event).await? == Outcome::Done {
            hide_in_series(app, user, &event).await?;
            fit(app, user, &read, &event).await?;
            return Ok(true);
        }
        if how.is_strict {
            return Err(SyncError::Changed);
        }
        match app.store.event(user, &event.id).await? {
            Some(now) if !now.is_leaving() => event = now,
            _ => return Ok(false),
        }
    }
    Err(SyncError::Contended)
}

/// Has the worker try again to write a change. `None` when there is nothing to write.
///
/// # Errors
/// When a table does not answer.
pub async fn retry_edit(app: &App, user: UserId, id: &EventId) -> Result<Option<Event>, SyncError> {
    for _ in 0..TRIES {
        let Some(mut event) = app.store.event(user, id).await? else {
            return Ok(None);
        };
        let link = event.link.get_or_insert_default();
        let Some(edit) = link.edit.as_deref_mut() else {
            return Ok(None);
        };
        (edit.is_paused, link.failure) = (false, None);
        edit.rewrites.clear();
        if app.store.put_edit(user, &mut event).await? == Outcome::Done {
            return Ok(Some(event));
        }
    }
    Err(SyncError::Contended)
}

/// The change to be written of an event that was `before` until now: what both sides last agreed on stays what it was, and
/// what the provider has never seen is still to be created.
fn edit(
    link: Option<&Link>,
    operation: Operation,
    before: Option<Box<Content>>,
    app: &App,
    how: &How,
) -> Edit {
    let new = |operation, base| Edit {
        send_updates: how.send_updates,
        wants_conference: how.wants_conference,
        response: how.response.clone().map(Box::new),
        ..Edit::new(operation, base, app.clock.now())
    };
    let Some(last) = link.and_then(|link| link.edit.as_deref()) else {
        return new(operation, before);
    };
    let operation = match (operation, last.operation) {
        (Operation::Update, Operation::Create) => Operation::Create,
        _ => operation,
    };
    let mut edit = new(operation, last.base.clone());
    // What an earlier change asked for and has not got yet is still wanted.
    edit.send_updates = edit.send_updates.or(last.send_updates);
    edit.wants_conference |= last.wants_conference;
    edit.response = edit.response.or_else(|| last.response.clone());
    if last.base.is_some() {
        let is_small = |content: &Content| {
            serde_json::to_string(content).is_ok_and(|text| text.len() <= MAX_STATE)
        };
        edit.earlier = last
            .earlier
            .iter()
            .cloned()
            .chain(before.map(|before| *before).filter(is_small))
            .collect();
        if edit.earlier.len() > MAX_EARLIER {
            edit.earlier.remove(1);
        }
    }
    edit
}

/// The series no longer gives the occurrence that has become an event of its own.
async fn hide_in_series(app: &App, user: UserId, event: &Event) -> Result<(), SyncError> {
    let Some(original) = event.original_start() else {
        return Ok(());
    };
    for _ in 0..TRIES {
        let Some(mut series) = app.store.event(user, &event.id.series()).await? else {
            return Ok(());
        };
        let Some(rule) = series
            .series
            .as_deref_mut()
            .filter(|series| !series.overridden.contains(&original))
        else {
            return Ok(());
        };
        rule.overridden.push(original);
        rule.overridden.sort_unstable();
        series.updated_at = app.clock.now();
        series.hash();
        if app.store.put_event(user, &mut series).await? == Outcome::Done {
            return Ok(());
        }
    }
    Err(SyncError::Contended)
}
