//! Conditions that reduce a list of events.

use std::collections::BTreeSet;

use calweave_domain::details::EventStatus;
use calweave_domain::event::Event;
use chrono::{DateTime, Utc};

use crate::{Error, Result};

/// Conditions that an event must meet, all of them. The default lets every event pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Words in lower case. Each must be a part of the title, the description, the location, or of an attendee's name or
    /// address.
    words: Vec<String>,
    /// The statuses to include; all if empty.
    statuses: Vec<EventStatus>,
    /// E-mail address of an attendee or the organizer, in lower case.
    attendee: Option<String>,
    /// The earliest time of the last change.
    updated_since: Option<DateTime<Utc>>,
}

/// Maximum number of words in a search.
const MAX_WORDS: usize = 10;
/// Maximum length of a search, in characters.
const MAX_SEARCH: usize = 200;

impl EventFilter {
    /// Reads the conditions from the parameters of a query. `statuses` are separated by commas, `updated_since` is RFC 3339.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the parameter that cannot be read.
    pub fn parse(
        search: Option<&str>,
        statuses: Option<&str>,
        attendee: Option<&str>,
        updated_since: Option<&str>,
    ) -> Result<Self> {
        let updated_since = updated_since.map(|text| {
            // URL decoding turns an unescaped plus into a space.
            let at = DateTime::parse_from_rfc3339(&text.trim().replace(' ', "+"));
            let message = "must be RFC 3339 such as 2026-03-01T00:00:00Z";
            at.map(|at| at.to_utc())
                .map_err(|_| Error::field("updatedSince", message))
        });
        Ok(Self {
            words: words(search.unwrap_or_default())?,
            statuses: statuses
                .map(parse_statuses)
                .transpose()?
                .unwrap_or_default(),
            attendee: attendee.map(parse_attendee).transpose()?,
            updated_since: updated_since.transpose()?,
        })
    }

    /// Returns whether every event passes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns whether an event meets all conditions.
    pub fn matches(&self, event: &Event) -> bool {
        let details = &event.details;
        let is_attendee = |address: &String| {
            let mut attendees = details.attendees.iter();
            attendees.any(|one| one.email.to_lowercase() == *address)
        };
        (self.statuses.is_empty() || self.statuses.contains(&details.status))
            && self
                .updated_since
                .is_none_or(|since| event.updated_at >= since)
            && self.attendee.as_ref().is_none_or(is_attendee)
            && self.has_words(event)
    }

    fn has_words(&self, event: &Event) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let details = &event.details;
        let mut text = details.title.to_lowercase();
        let mut add = |more: Option<&String>| {
            if let Some(more) = more {
                // No word has a line break.
                text.push('\n');
                text.push_str(&more.to_lowercase());
            }
        };
        add(details.description.as_ref());
        add(details.location.as_ref());
        for attendee in &details.attendees {
            add(attendee.display_name.as_ref());
            add(Some(&attendee.email));
        }
        self.words.iter().all(|word| text.contains(word))
    }
}

fn words(search: &str) -> Result<Vec<String>> {
    if search.chars().count() > MAX_SEARCH {
        return Err(Error::field("q", "must have at most 200 characters"));
    }
    let words: BTreeSet<String> = search.split_whitespace().map(str::to_lowercase).collect();
    if words.len() > MAX_WORDS {
        return Err(Error::field("q", "must have at most 10 words"));
    }
    Ok(words.into_iter().collect())
}

fn parse_statuses(list: &str) -> Result<Vec<EventStatus>> {
    let parse = |name: &str| match name.trim().to_ascii_uppercase().as_str() {
        "CONFIRMED" => Ok(EventStatus::Confirmed),
        "TENTATIVE" => Ok(EventStatus::Tentative),
        "CANCELLED" => Ok(EventStatus::Cancelled),
        _ => {
            let message =
                "must be one or more of CONFIRMED, TENTATIVE and CANCELLED, separated by commas";
            Err(Error::field("status", message))
        }
    };
    list.split(',').map(parse).collect()
}

fn parse_attendee(address: &str) -> Result<String> {
    let address = address.trim().to_lowercase();
    if address.len() > 320 || !address.contains('@') {
        return Err(Error::field("attendee", "must be an e-mail address"));
    }
    Ok(address)
}
