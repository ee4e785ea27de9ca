//! Edits: local changes, which are stored at once together with a marker that the provider does not have them yet.

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

/// Maximum number of earlier states of an edit, each of which may have been written although its response was lost. The
/// first one, which most likely was written, and the latest ones are kept.
const MAX_EARLIER: usize = 3;
/// Maximum size of an earlier state as JSON, in bytes. Larger states are not kept: a DynamoDB item is limited to 400
/// KB.
const MAX_STATE: usize = 32 << 10;

/// Options of an edit.
#[derive(Clone, Debug, Default)]
pub struct EditOptions {
    /// Who is notified by e-mail.
    pub send_updates: SendUpdates,
    /// Whether the provider creates an online meeting for the event.
    pub wants_conference: bool,
    /// The owner's response to an invitation.
    pub response: Option<RsvpResponse>,
    /// Whether the edit applies only to the event exactly as it was read. It then fails if another writer has changed
    /// the event.
    pub is_strict: bool,
    /// Idempotency key of a new event. The id is derived from it and the content, so that a repeated request creates no
    /// second event.
    pub name: Option<String>,
}

/// Stores a new event. If an earlier request with the same name and content has stored it, returns the stored event.
///
/// # Errors
/// [`Error::Contended`] when the stored event no longer exists or is being deleted.
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

/// Changes an event that was read as `event` to `wanted`. Concurrent changes of other fields are kept. `None` when the
/// event no longer exists.
///
/// # Errors
/// [`Error::Changed`] when [`EditOptions::is_strict`] is set and another writer has changed the event;
/// [`Error::Contended`].
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

/// Marks an event as deleted, which hides it at once; the next sync deletes it at the provider. Returns false when the
/// event no longer exists.
///
/// # Errors
/// [`Error::Changed`] when [`EditOptions::is_strict`] is set and another writer has changed the event;
/// [`Error::Contended`].
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

/// The reason why an edit was not written.
enum EditStop {
    /// The event no longer exists, or is being deleted.
    Gone,
    /// The edit is strict, and another writer has changed the event.
    Changed,
}

/// Selects the event that an edit is based on: in the first attempt as the caller has read it, in later ones as it is
/// stored.
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

/// Updates the series and the overrides of an event after an edit of it was stored.
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

/// Clears the failure or pause of an edit, so that the next sync writes it. `None` when the event has no edit.
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

/// Creates an edit of an event whose content was `before`. If the event has an unwritten edit, its base is kept, and an
/// event that does not exist at the provider is still created.
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
    // The options of the unwritten edit still apply.
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

/// Adds the original start of an override to the hidden occurrences of its series (`overridden`).
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
