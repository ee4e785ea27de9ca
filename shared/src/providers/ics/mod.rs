//! ICS feeds: an address that answers with a whole calendar (RFC 5545, RFC 7986).

pub mod address;
mod details;
pub mod fetch;
mod lines;
mod series;
mod vevent;
mod zones;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use calcard::Parser;
use calcard::common::IanaParse;
use calcard::icalendar::{ICalendarDuration, ICalendarProperty, ICalendarValue};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use self::lines::Block;
use self::zones::Zones;
use crate::domain::calendar::normalise_color;
use crate::domain::event::Event;
use crate::domain::ids::CalendarId;
use crate::domain::zones::resolve;

/// Whose copy a feed is read for.
#[derive(Clone, Copy, Debug)]
pub struct ReadFor {
    /// The calendar, which event ids are made from.
    pub calendar: CalendarId,
    /// The zone for times whose own nobody knows.
    pub zone: Tz,
    /// Now.
    pub now: DateTime<Utc>,
}

/// A feed as it was understood.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// `NAME` or `X-WR-CALNAME`
    pub name: Option<String>,
    /// `X-APPLE-CALENDAR-COLOR` or `COLOR` as `#RRGGBB`
    pub color: Option<String>,
    /// `REFRESH-INTERVAL` or `X-PUBLISHED-TTL`: how often the producer wants to be asked.
    pub refresh: Option<TimeDelta>,
    /// All events, series and overrides, in the order of their ids.
    pub events: Vec<Event>,
    /// `VEVENT`s in the file, those that could not be kept among them.
    pub vevent_count: usize,
    /// False when the file ends before the calendar does: then what it lacks may only be cut off.
    pub complete: bool,
    /// What was odd.
    pub warnings: Warnings,
}

/// The answer is no calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACalendar {
    /// Nothing, or only white space.
    #[error("the address answered with an empty file")]
    Empty,
    /// A web page: most often a sign-in page or an expired link.
    #[error("the address answered with a web page, not with a calendar; the link may have expired or need a sign-in")]
    Html,
    /// Something else.
    #[error("the address answered with something that is not a calendar")]
    Other,
}

/// What was odd about a feed, in sentences for its owner: each once, and not too many.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    list: Vec<String>,
    more: usize,
}

/// How many warnings are kept.
const MAX_WARNINGS: usize = 20;

impl Warnings {
    fn add(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.list.contains(&text) {
            return;
        }
        if self.list.len() < MAX_WARNINGS { self.list.push(text) } else { self.more += 1 }
    }

    /// All of them; the last says how many more there were.
    pub fn into_vec(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more like these", self.more));
        }
        self.list
    }
}

/// Reads a feed. One bad event costs that event and leaves a warning; only something that is no calendar at all is an
/// error.
///
/// # Errors
/// [`NotACalendar`] says what the bytes are instead.
pub fn read(body: &[u8], charset: Option<&str>, target: ReadFor) -> Result<Feed, NotACalendar> {
    let file = lines::split(body, charset)?;
    let mut feed = Feed { complete: file.complete, vevent_count: file.event_count, warnings: file.warnings, ..Feed::default() };
    let mut own_zone = None;
    read_header(&file.header, &mut feed, &mut own_zone);
    let mut zones = Zones::new(&file.timezones, own_zone, target.zone);
    let mut components = Vec::with_capacity(file.events.len());
    for block in file.events {
        components.extend(vevent::read(block, &mut zones, target.now, &mut feed.warnings));
    }
    zones.warn(&mut feed.warnings);
    feed.events = series::assemble(components, target, &mut feed.warnings);
    Ok(feed)
}

impl Feed {
    /// Digest of what the feed means: the same for the same events, however they are written down.
    pub fn content_hash(&self) -> String {
        let mut text = String::with_capacity(self.events.len() * 80);
        for event in &self.events {
            text.push_str(&event.id.to_string());
            text.push_str(&event.content_hash);
        }
        hash(text.as_bytes())
    }
}

/// A short digest of some bytes.
pub fn hash(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&digest(&SHA256, bytes).as_ref()[..18])
}

fn read_header(header: &Block, feed: &mut Feed, own_zone: &mut Option<Tz>) {
    let Some(calendar) = parse(&header.text) else { return };
    for entry in calendar.components.iter().flat_map(|component| &component.entries) {
        let text = || {
            let parts: Vec<&str> = entry.values.iter().filter_map(ICalendarValue::as_text).collect();
            Some(parts.join(";").trim().to_owned()).filter(|text| !text.is_empty())
        };
        let name = match &entry.name {
            ICalendarProperty::Name => "NAME",
            ICalendarProperty::Color => "COLOR",
            ICalendarProperty::RefreshInterval => "REFRESH-INTERVAL",
            ICalendarProperty::Other(name) => name.as_str(),
            _ => continue,
        };
        match name.to_ascii_uppercase().as_str() {
            "NAME" => feed.name = text(),
            "X-WR-CALNAME" => feed.name = feed.name.take().or_else(text),
            "X-APPLE-CALENDAR-COLOR" => feed.color = text().and_then(|text| normalise_color(text.get(..7)?)),
            "COLOR" => feed.color = feed.color.take().or_else(|| css_color(&text()?)),
            "X-WR-TIMEZONE" => *own_zone = text().and_then(|text| resolve(&text)),
            "REFRESH-INTERVAL" | "X-PUBLISHED-TTL" => {
                let value = match entry.values.first() {
                    Some(ICalendarValue::Duration(duration)) => Some(duration.clone()),
                    _ => text().and_then(|text| ICalendarDuration::parse(text.as_bytes())),
                };
                feed.refresh = feed.refresh.or(value.map(|duration| TimeDelta::seconds(duration.as_seconds())));
            }
            _ => {}
        }
    }
}

fn parse(block: &str) -> Option<calcard::icalendar::ICalendar> {
    match Parser::new(block).entry() {
        calcard::Entry::ICalendar(calendar) => Some(calendar),
        _ => None,
    }
}

/// The commonest of the colour names that `COLOR` uses (RFC 7986 5.9, CSS 3).
fn css_color(name: &str) -> Option<String> {
    const NAMES: [(&str, &str); 18] = [
        ("black", "#000000"),
        ("blue", "#0000FF"),
        ("brown", "#A52A2A"),
        ("coral", "#FF7F50"),
        ("crimson", "#DC143C"),
        ("gold", "#FFD700"),
        ("gray", "#808080"),
        ("green", "#008000"),
        ("indigo", "#4B0082"),
        ("lime", "#00FF00"),
        ("navy", "#000080"),
        ("orange", "#FFA500"),
        ("pink", "#FFC0CB"),
        ("purple", "#800080"),
        ("red", "#FF0000"),
        ("teal", "#008080"),
        ("turquoise", "#40E0D0"),
        ("yellow", "#FFFF00"),
    ];
    let known = NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, color)| (*color).to_owned());
    known.or_else(|| normalise_color(name))
}
