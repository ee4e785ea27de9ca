//! Parsing of ICS feeds: URLs that return a whole calendar (RFC 5545, RFC 7986).

mod body;
mod details;
mod lines;
mod nearest;
mod overrides;
mod parameters;
mod recurrence;
mod series;
mod vevent;
mod wall;
mod zones;

use calcard::Parser;
use calcard::common::IanaParse;
use calcard::icalendar::{ICalendarDuration, ICalendarEntry, ICalendarProperty, ICalendarValue};
use calweave_domain::calendar::normalise_color;
use calweave_domain::digest::digest_of;
use calweave_domain::event::Event;
use calweave_domain::ids::CalendarId;
use calweave_domain::zones::resolve;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use self::lines::{Block, CalendarFrame};
use self::zones::Zones;

/// The calendar that a feed is read for, and the context that parsing needs.
#[derive(Clone, Copy, Debug)]
pub struct FeedTarget {
    /// The calendar. Event ids are derived from it.
    pub calendar: CalendarId,
    /// The zone for times whose `TZID` is unknown.
    pub zone: Tz,
    /// The current time.
    pub now: DateTime<Utc>,
}

/// A parsed feed.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    /// `NAME` or `X-WR-CALNAME`
    pub name: Option<String>,
    /// `X-APPLE-CALENDAR-COLOR` or `COLOR` as `#RRGGBB`
    pub color: Option<String>,
    /// `REFRESH-INTERVAL` or `X-PUBLISHED-TTL`: the refresh interval that the producer suggests.
    pub refresh: Option<TimeDelta>,
    /// All events, series and overrides, sorted by id.
    pub events: Vec<Event>,
    /// Number of `VEVENT`s in the file, including those that were dropped.
    pub vevent_count: usize,
    /// False if the file ends before the calendar does: events that are missing may only have been cut off.
    pub complete: bool,
    /// Whether the file only lacks its `END`, and seems complete otherwise: some producers never write it.
    pub lacks_end: bool,
    /// Problems that were found.
    pub warnings: Warnings,
}

/// The response body is not a calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACalendar {
    /// Nothing, or only white space.
    #[error("the address returned an empty file")]
    Empty,
    /// A web page: most often a sign-in page or an expired link.
    #[error(
        "the address returned a web page instead of a calendar; the link may have expired or require a sign-in"
    )]
    Html,
    /// A ZIP archive.
    #[error(
        "the address returned a ZIP archive instead of a calendar; the address of one calendar file in it is needed"
    )]
    Archive,
    /// A compressed file that is broken, or larger than a feed may be.
    #[error("the address returned a compressed file that cannot be read")]
    Compressed,
    /// JSON: jCal (RFC 7265), or an API.
    #[error(
        "the address returned JSON instead of a calendar in iCalendar format; look for an address that ends in .ics"
    )]
    Json,
    /// XML: xCal (RFC 6321), Atom, or a WebDAV server.
    #[error(
        "the address returned XML instead of a calendar in iCalendar format; look for an address that ends in .ics"
    )]
    Xml,
    /// Anything else.
    #[error("the address returned something that is not a calendar")]
    Other,
}

/// Problems found in a feed, as sentences for its owner: without duplicates, and limited in number.
#[derive(Clone, Debug, Default)]
pub struct Warnings {
    list: Vec<String>,
    more: usize,
}

/// Maximum number of warnings.
const MAX_WARNINGS: usize = 20;

impl Warnings {
    fn add(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.list.contains(&text) {
            return;
        }
        if self.list.len() < MAX_WARNINGS {
            self.list.push(text);
        } else {
            self.more += 1;
        }
    }

    /// Returns the warnings. If there were too many, the last entry says how many were dropped.
    pub fn into_vec(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("and {} more", self.more));
        }
        self.list
    }
}

/// Parses a feed. An event that cannot be read is skipped with a warning; only a body that is not a calendar at all is
/// an error.
///
/// # Errors
/// [`NotACalendar`] says what the body is instead.
pub fn read(body: &[u8], charset: Option<&str>, target: FeedTarget) -> Result<Feed, NotACalendar> {
    let mut events = Events::default();
    let mut file = lines::split(body, charset, |block, frame, warnings| {
        events.read(block, frame, target, warnings);
    })?;
    if let Some((_, known)) = &events.zones
        && *known != file.frame
    {
        // A zone or calendar property follows an event that may need it: read the events again with the whole frame.
        events = Events {
            zones: Some((Zones::new(&file.frame, target.zone), file.frame)),
            components: vec![],
        };
        file = lines::split(body, charset, |block, frame, warnings| {
            events.read(block, frame, target, warnings);
        })?;
    }
    let header = Header::read(&file.frame);
    let mut warnings = file.warnings;
    let mut assembled = series::assemble(events.components, target, &mut warnings);
    nearest::keep_nearest(&mut assembled, target.now, &mut warnings);
    if let Some((mut zones, _)) = events.zones {
        zones.warn(&mut warnings);
    }
    Ok(Feed {
        name: header.name,
        color: header.color,
        refresh: header.refresh,
        events: assembled,
        vevent_count: file.event_count,
        complete: file.complete,
        lacks_end: file.lacks_end,
        warnings,
    })
}

/// The events of a feed. Each is parsed as soon as its end is read: its text is then still in the CPU cache, and only
/// the text of one event is held in memory.
#[derive(Default)]
struct Events {
    /// The zones, created when the first event is read, and the frame they were created from.
    zones: Option<(Zones, CalendarFrame)>,
    components: Vec<vevent::Component>,
}

impl Events {
    fn read(
        &mut self,
        block: Block,
        frame: &CalendarFrame,
        target: FeedTarget,
        warnings: &mut Warnings,
    ) {
        let (zones, _) = self
            .zones
            .get_or_insert_with(|| (Zones::new(frame, target.zone), frame.clone()));
        self.components
            .extend(vevent::read(block, zones, target.now, warnings));
    }
}

impl Feed {
    /// Returns a digest of the feed's events. It does not depend on how the events are written in the file.
    pub fn content_hash(&self) -> String {
        let mut text = String::with_capacity(self.events.len() * 80);
        for event in &self.events {
            text.push_str(&event.id.to_string());
            text.push_str(&event.content_hash);
        }
        digest_of(text.as_bytes())
    }
}

/// The properties of the calendar itself.
#[derive(Default)]
struct Header {
    name: Option<String>,
    color: Option<String>,
    zone: Option<Tz>,
    refresh: Option<TimeDelta>,
}

impl Header {
    fn read(frame: &CalendarFrame) -> Self {
        let mut header = Self::default();
        let calendar = parse(&format!(
            "BEGIN:VCALENDAR\r\n{}END:VCALENDAR\r\n",
            frame.header
        ));
        for entry in calendar
            .iter()
            .flat_map(|calendar| &calendar.components)
            .flat_map(|component| &component.entries)
        {
            header.property(entry);
        }
        header
    }

    fn property(&mut self, entry: &ICalendarEntry) {
        let text = || {
            let parts: Vec<&str> = entry
                .values
                .iter()
                .filter_map(ICalendarValue::as_text)
                .collect();
            Some(parts.join(";").trim().to_owned()).filter(|text| !text.is_empty())
        };
        let name = match &entry.name {
            ICalendarProperty::Name => "NAME",
            ICalendarProperty::Color => "COLOR",
            ICalendarProperty::RefreshInterval => "REFRESH-INTERVAL",
            ICalendarProperty::Other(name) => name.as_str(),
            _ => return,
        };
        match name.to_ascii_uppercase().as_str() {
            "NAME" => self.name = text(),
            "X-WR-CALNAME" => self.name = self.name.take().or_else(text),
            "X-APPLE-CALENDAR-COLOR" => {
                self.color = text().and_then(|text| normalise_color(text.get(..7)?));
            }
            "COLOR" => self.color = self.color.take().or_else(|| css_color(&text()?)),
            "X-WR-TIMEZONE" => self.zone = text().and_then(|text| resolve(&text)),
            "REFRESH-INTERVAL" | "X-PUBLISHED-TTL" => {
                let value = match entry.values.first() {
                    Some(ICalendarValue::Duration(duration)) => Some(duration.clone()),
                    _ => text().and_then(|text| ICalendarDuration::parse(text.as_bytes())),
                };
                self.refresh = self
                    .refresh
                    .or(value.map(|duration| TimeDelta::seconds(duration.as_seconds())));
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

/// Returns `#RRGGBB` for a value of `COLOR` (RFC 7986 5.9). Knows the most common CSS 3 colour names.
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
    let known = NAMES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, color)| (*color).to_owned());
    known.or_else(|| normalise_color(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_stands_behind_its_events_counts() {
        let zone = "BEGIN:VTIMEZONE\nTZID:Here\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETFROM:+0530\nTZOFFSETTO:+0530\n\
                    END:STANDARD\nEND:VTIMEZONE\n";
        let event = "BEGIN:VEVENT\nUID:a\nDTSTART;TZID=Here:20260302T090000\nDTEND;TZID=Here:20260302T100000\nEND:VEVENT\n";
        let target = FeedTarget {
            calendar: CalendarId::from_bytes([1; 16]),
            zone: Tz::UTC,
            now: DateTime::UNIX_EPOCH,
        };
        let read = |inner: [&str; 2]| {
            let feed = read(
                format!("BEGIN:VCALENDAR\n{}END:VCALENDAR\n", inner.concat()).as_bytes(),
                None,
                target,
            )
            .unwrap();
            (
                feed.events[0].start.instant(Tz::UTC).to_rfc3339(),
                feed.vevent_count,
                feed.warnings.into_vec(),
            )
        };
        assert_eq!(read([event, zone]), read([zone, event]));
        assert_eq!(read([event, zone]).0, "2026-03-02T03:30:00+00:00");
    }
}
