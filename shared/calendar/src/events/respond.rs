//! Responding to an invitation.

use std::time::Duration;

use calweave_domain::content::EventContent;
use calweave_domain::details::RsvpStatus;
use calweave_domain::ids::{EventId, UserId};
use calweave_domain::link::RsvpResponse;

use super::edits::{EditOptions, change_event};
use super::read::editable_event;
use super::write::{UpdatedEvent, pushed};
use crate::calendars::{reader_zone, writable_calendar};
use crate::{Context, Error, Result};

/// Maximum length of a comment for the organizer, in characters.
const MAX_COMMENT: usize = 1_000;

/// A response to an invitation.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The response of the account's owner.
    pub status: RsvpStatus,
    /// A comment for the organizer, at most 1,000 characters.
    pub comment: Option<String>,
    /// Whether the organizer is notified by e-mail.
    pub notify: bool,
}

/// Responds to an invitation to an event, a series, or one occurrence. Microsoft removes declined events from the
/// calendar.
///
/// # Errors
/// [`Error::NotFound`], [`Error::ReadOnly`], or [`Error::Invalid`] when the account is not invited.
pub async fn respond(
    context: &Context,
    user: UserId,
    id: &EventId,
    reply: Reply,
) -> Result<UpdatedEvent> {
    let is_long = |comment: &String| comment.chars().count() > MAX_COMMENT;
    if reply.comment.as_ref().is_some_and(is_long) {
        let message = format!("must have at most {MAX_COMMENT} characters");
        return Err(Error::field("comment", message));
    }
    let calendar = writable_calendar(context, user, id.calendar()).await?;
    let zone = reader_zone(context, user, None).await?;
    let event = editable_event(context, user, id, zone).await?;
    let mut wanted = EventContent::of(&event);
    let mut attendees = wanted.details.attendees.iter_mut();
    let own = attendees.find(|one| one.is_self && !one.is_organizer);
    let uninvited = || {
        let message = "is not possible: this account is not an invited attendee";
        Error::field("response", message)
    };
    own.ok_or_else(uninvited)?.rsvp_status = reply.status;
    let comment = reply.comment.filter(|comment| !comment.trim().is_empty());
    let response = RsvpResponse {
        status: reply.status,
        comment,
        notify: reply.notify,
    };
    let options = EditOptions {
        response: Some(response),
        ..EditOptions::default()
    };
    let changed = change_event(context, user, event, wanted, &options).await?;
    let event = changed.ok_or(Error::NotFound)?;
    Ok(UpdatedEvent::new(calendar, zone, event))
}

/// Requests that a response is written to the provider, and waits for that up to `limit`.
pub async fn push_reply(
    context: &Context,
    replied: UpdatedEvent,
    limit: Duration,
) -> Result<UpdatedEvent> {
    let (user, id) = (replied.calendar.user_id, replied.event.id.clone());
    let mut event = replied.event;
    match pushed(context, user, &id, limit).await? {
        Some(now) => event = now,
        // The provider has removed the declined event: the response is written.
        None => event.link.get_or_insert_default().edit = None,
    }
    Ok(UpdatedEvent::new(replied.calendar, replied.zone, event))
}
