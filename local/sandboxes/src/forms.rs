//! The forms of the sandboxes' pages, by which people change their calendars by hand.

use chrono::NaiveDateTime;
use serde::Deserialize;

use crate::parts::escaped;

/// Where something stands: whose calendar, which, and which event of it, if any.
#[derive(Clone, Copy)]
pub(crate) struct SandboxPage<'a> {
    pub email: &'a str,
    pub calendar: &'a str,
    pub event: &'a str,
}

impl SandboxPage<'_> {
    fn hidden(self) -> String {
        let field = |name: &str, value: &str| {
            format!(
                "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
                escaped(value)
            )
        };
        [
            field("email", self.email),
            field("calendar", self.calendar),
            field("event", self.event),
        ]
        .concat()
    }

    /// The row of an event, to be renamed or deleted.
    pub fn row(self, title: &str, start: &str) -> String {
        let (hidden, title, start) = (self.hidden(), escaped(title), escaped(start));
        format!(
            "<tr><td>{start}<td><form method=\"post\">{hidden}<input name=\"title\" value=\"{title}\"> \
             <button name=\"action\" value=\"rename\">Rename</button> <button name=\"action\" value=\"delete\">Delete</button></form>"
        )
    }

    /// What an event is added to a calendar with.
    pub fn adding(self) -> String {
        let hidden = self.hidden();
        format!(
            "<form method=\"post\">{hidden}<input name=\"title\" placeholder=\"Title\" required> \
             <input type=\"datetime-local\" name=\"start\" required> <button name=\"action\" value=\"add\">Add an hour</button></form>"
        )
    }
}

/// What a button of a page says.
#[derive(Deserialize)]
pub(crate) struct Act {
    pub email: String,
    pub calendar: String,
    pub event: String,
    /// `rename`, `delete` or `add`.
    pub action: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    start: String,
}

impl Act {
    /// When the event that is added begins. The form says no zone: the calendar's own is meant.
    pub fn start(&self) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(&self.start, "%Y-%m-%dT%H:%M").unwrap_or_default()
    }
}
