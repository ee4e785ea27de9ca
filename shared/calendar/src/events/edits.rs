//! Local changes: stored at once, together with a note that the provider does not have them yet.

use calweave_domain::calendar::Calendar;
use calweave_domain::content::EventContent;
use calweave_domain::event::Event;
use calweave_domain::ids::{EventId, SessionId, UserId};
use calweave_domain::link::{Edit, EventLink, Operation, RsvpResponse, SendUpdates};
use calweave_domain::merge::merge;
use calweave_store::WriteOutcome;
use calweave_store::edits::{EventUpdate, EventUpdated};

use super::overrides::realign_overrides;
use crate::{Context, Error, Result};

/// How many states of an event are remembered that may have been written while it was changed again: the first, which most
/// likely was, and the last.
const MAX_EARLIER: usize = 3;
/// The size of a state, in bytes, beyond which it is not remembered: an item has room for 400 KB.
const MAX_STATE: usize = 32 << 10;

/// How a change is to be written.
#[derive(Clone, Debug, Default)]
pub struct EditOptions {
    /// Who is told by mail.
    pub send_updates: SendUpdates,
    /// Whether the provider makes a meeting to go with it.
    pub wants_conference: bool,
    /// What the account's owner answers to an invitation.
    pub response: Option<RsvpResponse>,
    /// Whether it is meant for the event exactly as it was read: then it is not carried out once somebody else has written.
    pub is_strict: bool,
    /// What a new event is named after, with what it says: asked for again by the same name, it is the same event.
    pub name: Option<String>,
}

/// Stores a new event of a calendar; one that is stored already by that name is answered as it is.
pub async fn create_event(
    context: &Context,
    calendar: &Calendar,
    content: EventContent,
    options: &EditOptions,
) -> Result<Event> {
    let now = context.clock.now();
    let name = match &options.name {
        Some(name) => format!(
            "{} {name} {}",
            calendar.user_id,
            serde_json::to_string(&content).unwrap_or_default()
        ),
        None => SessionId::new(&context.clock).to_string(),
    };
    let id = EventId::of(calendar.id, &name);
    let edit = edit(None, Operation::Create, None, context, options);
    let mut event = Event {
        uid: id.to_string(),
        id,
        start: content.start,
        end: content.end,
        series: content.series,
        zone_guessed: false,
        details: content.details,
        link: Some(Box::new(EventLink {
            edit: Some(Box::new(edit)),
            ..EventLink::default()
        })),
        content_hash: String::new(),
        updated_at: now,
    };
    event.hash();
    match context.store.put_edit(calendar.user_id, &mut event).await? {
        WriteOutcome::Written => Ok(event),
        WriteOutcome::ConditionFailed => {
            let known = context.store.event(calendar.user_id, &event.id).await?;
            known
                .filter(|known| !known.is_deleting())
                .ok_or(Error::Contended)
        }
    }
}

/// Makes `wanted` of an event that was read as `event`. Where a concurrent writer changed fields that this change does
/// not touch, those stay. `None` when the event is gone.
///
/// # Errors
/// [`Error::Changed`] when [`EditOptions::is_strict`] is set and somebody else has written the event; [`Error::Contended`].
pub async fn change_event(
    context: &Context,
    user: UserId,
    event: Event,
    wanted: EventContent,
    options: &EditOptions,
) -> Result<Option<Event>> {
    let before = EventContent::of(&event);
    let id = event.id.clone();
    let mut retry = Retry::default();
    let decide = |current: Option<Event>| {
        let mut event = match retry.next(current, options.is_strict) {
            Ok(event) => event,
            Err(stop) => return EventUpdate::Skip(stop),
        };
        let base = Some(Box::new(EventContent::of(&event)));
        let edit = edit(
            event.link.as_deref(),
            Operation::Update,
            base,
            context,
            options,
        );
        merge(Some(&before), &[], &wanted, &EventContent::of(&event))
            .content
            .write_to(&mut event);
        let link = event.link.get_or_insert_default();
        (link.edit, link.failure, link.kept) = (Some(Box::new(edit)), None, None);
        event.updated_at = context.clock.now();
        event.hash();
        EventUpdate::PutEdit(Box::new(event))
    };
    let updated = context
        .store
        .update_event(user, &id, Some(event), decide)
        .await?;
    written(context, user, updated).await
}

/// Removes an event: here at once, at the provider by the next sync. False when it is gone already.
///
/// # Errors
/// [`Error::Changed`] when [`EditOptions::is_strict`] is set and somebody else has written the event; [`Error::Contended`].
pub async fn remove_event(
    context: &Context,
    user: UserId,
    event: Event,
    options: &EditOptions,
) -> Result<bool> {
    let id = event.id.clone();
    let mut retry = Retry::default();
    let decide = |current: Option<Event>| {
        let mut event = match retry.next(current, options.is_strict) {
            Ok(event) => event,
            Err(stop) => return EventUpdate::Skip(stop),
        };
        let base = Some(Box::new(EventContent::of(&event)));
        let edit = edit(
            event.link.as_deref(),
            Operation::Delete,
            base,
            context,
            options,
        );
        let link = event.link.get_or_insert_default();
        (link.edit, link.failure) = (Some(Box::new(edit)), None);
        event.hash();
        EventUpdate::PutEdit(Box::new(event))
    };
    let updated = context
        .store
        .update_event(user, &id, Some(event), decide)
        .await?;
    Ok(written(context, user, updated).await?.is_some())
}

/// Why an update ends without a write.
enum EditStop {
    /// The event is gone, or is to go.
    Gone,
    /// The change was meant for the event exactly as it was read.
    Changed,
}

/// What a change is made from: the event as the caller read it, then as it is read again.
#[derive(Default)]
struct Retry {
    is_second: bool,
}

impl Retry {
    fn next(&mut self, current: Option<Event>, is_strict: bool) -> Result<Event, EditStop> {
        let is_second = std::mem::replace(&mut self.is_second, true);
        if is_second && is_strict {
            return Err(EditStop::Changed);
        }
        current
            .filter(|event| !is_second || !event.is_deleting())
            .ok_or(EditStop::Gone)
    }
}

/// Has the series and its other occurrences follow a change that was written.
async fn written(
    context: &Context,
    user: UserId,
    updated: EventUpdated<EditStop>,
) -> Result<Option<Event>> {
    match updated {
        EventUpdated::Skipped(EditStop::Gone) => Ok(None),
        EventUpdated::Skipped(EditStop::Changed) => Err(Error::Changed),
        EventUpdated::Contended => Err(Error::Contended),
        EventUpdated::Written { before, after } => {
            hide_in_series(context, user, &after).await?;
            if let Some(before) = before {
                realign_overrides(&context.store, user, &before, &after).await?;
            }
            Ok(Some(*after))
        }
    }
}

/// Puts a failed or paused change back in line for the worker. `None` when the event has no change to be written.
///
/// # Errors
/// [`Error::Contended`].
pub async fn retry_edit(context: &Context, user: UserId, id: &EventId) -> Result<Option<Event>> {
    let decide = |current: Option<Event>| {
        let Some(mut event) = current else {
            return EventUpdate::Skip(());
        };
        let link = event.link.get_or_insert_default();
        let Some(edit) = link.edit.as_deref_mut() else {
            return EventUpdate::Skip(());
        };
        (edit.is_paused, link.failure) = (false, None);
        edit.rewrites.clear();
        EventUpdate::PutEdit(Box::new(event))
    };
    match context.store.update_event(user, id, None, decide).await? {
        EventUpdated::Written { after, .. } => Ok(Some(*after)),
        EventUpdated::Skipped(()) => Ok(None),
        EventUpdated::Contended => Err(Error::Contended),
    }
}

/// The change to be written of an event that was `before` until now: what both sides last agreed on stays what it was, and
/// what the provider has never seen is still to be created.
fn edit(
    link: Option<&EventLink>,
    operation: Operation,
    before: Option<Box<EventContent>>,
    context: &Context,
    options: &EditOptions,
) -> Edit {
    let new = |operation, base| Edit {
        send_updates: options.send_updates,
        wants_conference: options.wants_conference,
        response: options.response.clone().map(Box::new),
        ..Edit::new(operation, base, context.clock.now())
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
        let is_small = |content: &EventContent| {
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

/// Adds an occurrence that has become an event of its own to those that its series leaves out.
async fn hide_in_series(context: &Context, user: UserId, event: &Event) -> Result<()> {
    let Some(original) = event.original_start() else {
        return Ok(());
    };
    let decide = |current: Option<Event>| {
        let Some(mut series) = current else {
            return EventUpdate::Skip(());
        };
        let rule = series
            .series
            .as_deref_mut()
            .filter(|series| !series.overridden.contains(&original));
        let Some(rule) = rule else {
            return EventUpdate::Skip(());
        };
        rule.overridden.push(original);
        rule.overridden.sort_unstable();
        series.updated_at = context.clock.now();
        series.hash();
        EventUpdate::Put(Box::new(series))
    };
    let series = event.id.series();
    match context
        .store
        .update_event(user, &series, None, decide)
        .await?
    {
        EventUpdated::Contended => Err(Error::Contended),
        EventUpdated::Written { .. } | EventUpdated::Skipped(()) => Ok(()),
    }
}
