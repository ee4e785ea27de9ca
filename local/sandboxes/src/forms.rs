//! The HTML forms of the sandboxes' pages, used to change calendars by hand.

use chrono::NaiveDateTime;
use serde::Deserialize;

use crate::parts::escaped;

/// The target of a form: the user, the calendar and the event. The event is empty in the form that
/// adds one.
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

    /// Returns the table row of an event, with buttons to rename and delete it.
    pub fn row(self, title: &str, start: &str) -> String {
        let (hidden, title, start) = (self.hidden(), escaped(title), escaped(start));
        format!(
            "<tr><td>{start}<td><form method=\"post\">{hidden}<input name=\"title\" value=\"{title}\"> \
             <button name=\"action\" value=\"rename\">Rename</button> <button name=\"action\" value=\"delete\">Delete</button></form>"
        )
    }

    /// Returns the form that adds an event of one hour.
    pub fn adding(self) -> String {
        let hidden = self.hidden();
        format!(
            "<form method=\"post\">{hidden}<input name=\"title\" placeholder=\"Title\" required> \
             <input type=\"datetime-local\" name=\"start\" required> <button name=\"action\" value=\"add\">Add an hour</button></form>"
        )
    }
}

/// The submitted form.
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
    /// The start of the event to add, in the time zone of the user.
    pub fn start(&self) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(&self.start, "%Y-%m-%dT%H:%M").unwrap_or_default()
    }
}
