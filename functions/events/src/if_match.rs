//! `If-Match` (RFC 9110 13.1.1).

use axum::http::{HeaderMap, header};
use chrono_tz::Tz;
use shared::calendar::Error;
use shared::domain::agenda::single_occurrence;
use shared::domain::calendar::Calendar;
use shared::domain::event::Event;

use crate::view::EventView;

/// The entity tags that a caller knows an event by.
pub struct IfMatch(String);

impl IfMatch {
    /// The tags of a request; `None` without any.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::IF_MATCH)?;
        Some(Self(value.to_str().unwrap_or("*").to_owned()))
    }

    /// Holds for an event that has one of the tags.
    pub fn precondition(&self) -> impl Fn(&Event, &Calendar, Tz) -> Result<(), Error> + '_ {
        move |event, calendar, zone| {
            let view = EventView::new(&single_occurrence(event, zone), calendar, zone);
            let is_own = |tag: &str| tag == "*" || content_of(tag) == content_of(view.etag());
            if self.0.split(',').map(str::trim).any(is_own) {
                Ok(())
            } else {
                Err(Error::Changed)
            }
        }
    }
}

/// The part of a tag that changes with the event itself, not with how it stands with its provider.
fn content_of(tag: &str) -> &str {
    tag.rsplit_once('-').map_or(tag, |(content, _)| content)
}
