//! The calendars of the outside world. A provider never sees the store: it is handed what it needs and answers with
//! what it found.

pub mod ics;
