//! The `If-Match` header (RFC 9110 13.1.1).

use axum::http::{HeaderMap, header};
use chrono_tz::Tz;
use shared::calendar::Error;
use shared::domain::agenda::single_occurrence;
use shared::domain::calendar::Calendar;
use shared::domain::event::Event;

use crate::view::EventView;

/// The value of an `If-Match` header: `*`, or a list of entity tags.
pub struct IfMatch(String);

impl IfMatch {
    /// Reads the header of a request; `None` without the header.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::IF_MATCH)?;
        Some(Self(value.to_str().unwrap_or("*").to_owned()))
    }

    /// Returns a precondition that holds for an event that matches one of the tags.
    ///
    /// # Errors
    /// The precondition fails with [`Error::Changed`].
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

/// Returns the part of an entity tag before the sync status. A change of the status alone does not fail a precondition.
fn content_of(tag: &str) -> &str {
    tag.rsplit_once('-').map_or(tag, |(content, _)| content)
}
