//! Splits the bytes of a feed into components: unfolds and decodes lines, enforces limits, and yields pieces that are
//! small enough to parse one by one.
//!
//! Nothing here is recursive, and memory use grows at most linearly with the input. A line or header that is too long
//! is skipped with a warning, and only the properties that Calweave reads are passed on.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::body::{Body, text_of};
use super::parameters::mended;
use super::{NotACalendar, Warnings};

/// Maximum length of an unfolded line, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Maximum number of `RRULE`s, and of `EXRULE`s, of one event.
const MAX_RULES: usize = 16;
/// Maximum length of the parameters before a value, and of a recurrence rule, in bytes.
const MAX_HEADER: usize = 4 << 10;
/// Maximum length of a parameter that is kept if all of a line's are too long, in bytes.
const MAX_PARAMETER: usize = 512;
/// Maximum number of parameters and parameter values of one line.
const MAX_HEADER_PARTS: usize = 64;
/// Maximum number of `VEVENT`s that are read, of which some are kept. A feed of 10 MiB has hardly more.
const MAX_EVENTS: usize = 100_000;
/// Maximum size of one event, in bytes. DynamoDB could not store a larger one in any case.
const MAX_EVENT: usize = 4 << 20;

/// One component: its unfolded lines from `BEGIN` to `END`.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The lines that calcard parses.
    pub text: String,
    /// The `RRULE` values, verbatim: calcard reads `COUNT=0` as no count at all.
    pub rules: Vec<String>,
    /// The `EXRULE` values, verbatim.
    pub except_rules: Vec<String>,
    /// The text properties. They make up most of a feed, and are decoded here because calcard scans each byte several
    /// times.
    pub texts: Texts,
}

/// `SUMMARY`, `DESCRIPTION` and `LOCATION` without parameters. Calcard parses those with parameters.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub summary: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
}

/// The parts of a file that apply to all of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CalendarFrame {
    /// The calendar's own properties, one per line.
    pub header: String,
    /// The text of each `VTIMEZONE`.
    pub timezones: Vec<String>,
}

/// A file without its events, which were passed to the callback of [`split`].
#[derive(Debug, Default)]
pub(super) struct File {
    pub frame: CalendarFrame,
    pub event_count: usize,
    pub complete: bool,
    /// Whether only the `END` is missing: that of the calendar, or every one.
    pub lacks_end: bool,
    pub warnings: Warnings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Component {
    Calendar,
    Timezone,
    /// `STANDARD` and `DAYLIGHT`
    Observance,
    Event,
    Alarm,
    Ignored,
}

const CALENDAR_PROPERTIES: [&str; 7] = [
    "NAME",
    "COLOR",
    "REFRESH-INTERVAL",
    "X-WR-CALNAME",
    "X-WR-TIMEZONE",
    "X-PUBLISHED-TTL",
    "X-APPLE-CALENDAR-COLOR",
];
const TIMEZONE_PROPERTIES: [&str; 6] = [
    "TZID",
    "DTSTART",
    "TZOFFSETFROM",
    "TZOFFSETTO",
    "RRULE",
    "RDATE",
];
const EVENT_PROPERTIES: [&str; 28] = [
    "UID",
    "SUMMARY",
    "DESCRIPTION",
    "LOCATION",
    "URL",
    "STATUS",
    "TRANSP",
    "CLASS",
    "SEQUENCE",
    "DTSTAMP",
    "LAST-MODIFIED",
    "DTSTART",
    "DTEND",
    "DURATION",
    "EXDATE",
    "RDATE",
    "RECURRENCE-ID",
    "ORGANIZER",
    "ATTENDEE",
    "CATEGORIES",
    "CONFERENCE",
    "X-GOOGLE-CONFERENCE",
    "X-MICROSOFT-SKYPETEAMSMEETINGURL",
    "X-MICROSOFT-CDO-BUSYSTATUS",
    "X-MICROSOFT-CDO-INTENDEDSTATUS",
    "X-MICROSOFT-CDO-ALLDAYEVENT",
    "X-MICROSOFT-MSNCALENDAR-ALLDAYEVENT",
    "X-FUNAMBOL-ALLDAY",
];
const ALARM_PROPERTIES: [&str; 2] = ["TRIGGER", "ACTION"];

/// Splits a file into components. Calls `each` with every event as soon as its end is read, and with the part of the
/// frame that precedes the event.
pub(super) fn split(
    body: &[u8],
    charset: Option<&str>,
    each: impl FnMut(Block, &CalendarFrame, &mut Warnings),
) -> Result<File, NotACalendar> {
    let body = Body::decode(body, charset)?;
    let mut splitter = Splitter {
        open: vec![],
        current: Block::default(),
        file: File::default(),
        components: 0,
        calendars: 0,
        ends: 0,
        each,
    };
    for line in Unfold::new(&body.bytes) {
        splitter.line(&line, body.encoding);
    }
    splitter.finish()
}

/// Iterates over unfolded content lines (RFC 5545 3.1). Yields bytes, because a fold may split a character. Accepts any
/// mix of line endings.
struct Unfold<'a> {
    rest: &'a [u8],
}

impl<'a> Unfold<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    fn physical(&mut self) -> &'a [u8] {
        let end = memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        let newline = match self.rest.get(end..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            _ => 0,
        };
        self.rest = &self.rest[end + newline..];
        line
    }
}

impl Unfold<'_> {
    /// Returns whether the line goes on. Empty lines inside a folded line are skipped.
    fn is_folded(&mut self) -> bool {
        let is_end = |byte: &u8| *byte == b'\r' || *byte == b'\n';
        let empty = self.rest.iter().take_while(|byte| is_end(byte)).count();
        let is_folded = matches!(self.rest.get(empty), Some(b' ' | b'\t'));
        if is_folded {
            self.rest = &self.rest[empty..];
        }
        is_folded
    }
}

impl<'a> Iterator for Unfold<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut line = Cow::Borrowed(self.physical());
        while self.is_folded() {
            let more = &self.physical()[1..];
            // A line over the limit is not collected any further: its length already marks it as too long.
            if line.len() <= MAX_LINE {
                line.to_mut().extend_from_slice(more);
            }
        }
        Some(line)
    }
}

struct Splitter<F> {
    open: Vec<Component>,
    current: Block,
    file: File,
    components: usize,
    calendars: usize,
    ends: usize,
    each: F,
}

impl<F: FnMut(Block, &CalendarFrame, &mut Warnings)> Splitter<F> {
    fn line(&mut self, bytes: &[u8], fallback: &'static Encoding) {
        if bytes.len() > MAX_LINE {
            self.file
                .warnings
                .add("A line longer than 1 MiB was skipped.");
            return;
        }
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let line = text_of(bytes, fallback);
        let has_nul = memchr::memchr(0, line.as_bytes()).is_some();
        let line = if has_nul {
            Cow::Owned(line.replace('\0', ""))
        } else {
            line
        };
        let line = line.trim_end();
        let name_end = memchr::memchr2(b':', b';', line.as_bytes()).unwrap_or(line.len());
        let name = line[..name_end].trim();
        if name.eq_ignore_ascii_case("BEGIN") {
            self.begin(&line[name_end..]);
        } else if name.eq_ignore_ascii_case("END") {
            self.end(&line[name_end..]);
        } else {
            self.property(name, &line[name_end..]);
        }
    }

    fn begin(&mut self, rest: &str) {
        let name = component_name(rest);
        let parent = self.open.last().copied();
        let component = match &*name {
            "VCALENDAR" => Component::Calendar,
            "VEVENT" => Component::Event,
            "VTIMEZONE" => Component::Timezone,
            "STANDARD" | "DAYLIGHT" if parent == Some(Component::Timezone) => Component::Observance,
            "VALARM" if parent == Some(Component::Event) => Component::Alarm,
            _ => Component::Ignored,
        };
        if matches!(
            component,
            Component::Event | Component::Calendar | Component::Timezone
        ) {
            // None of these can be inside an event, so an event that is still open lacks its END.
            self.close_unended();
        }
        match component {
            Component::Calendar => self.calendars += 1,
            Component::Event | Component::Timezone => {
                self.current = Block {
                    text: String::with_capacity(512),
                    ..Block::default()
                }
            }
            _ => {}
        }
        self.components += 1;
        self.open.push(component);
        if matches!(
            component,
            Component::Event | Component::Timezone | Component::Observance | Component::Alarm
        ) {
            self.push_line("BEGIN:", &name);
        }
    }

    fn end(&mut self, rest: &str) {
        self.ends += 1;
        let name = component_name(rest);
        let ends = match &*name {
            "VCALENDAR" => Component::Calendar,
            "VEVENT" => Component::Event,
            "VTIMEZONE" => Component::Timezone,
            "STANDARD" | "DAYLIGHT" => Component::Observance,
            "VALARM" if self.open.last() == Some(&Component::Alarm) => Component::Alarm,
            _ => Component::Ignored,
        };
        if self.open.last() != Some(&ends) {
            let Some(at) = self.open.iter().rposition(|open| *open == ends) else {
                return;
            };
            if ends == Component::Calendar {
                self.close_unended();
            }
            // Components inside that were never closed end with it.
            for inner in self.open.split_off((at + 1).min(self.open.len())) {
                match inner {
                    Component::Alarm => self.push_line("END:", "VALARM"),
                    Component::Observance => self.push_line("END:", "STANDARD"),
                    _ => {}
                }
            }
        }
        let closed = self.open.pop();
        if matches!(
            ends,
            Component::Event | Component::Timezone | Component::Observance | Component::Alarm
        ) && closed.is_some()
        {
            self.push_line("END:", &name);
        }
        match ends {
            Component::Event => self.keep_event(),
            Component::Timezone => self
                .file
                .frame
                .timezones
                .push(std::mem::take(&mut self.current.text)),
            _ => {}
        }
    }

    fn property(&mut self, name: &str, rest: &str) {
        let upper = upper_case(name);
        let is_wanted = match self.open.last() {
            Some(Component::Calendar) => CALENDAR_PROPERTIES.contains(&&*upper),
            Some(Component::Timezone | Component::Observance) => {
                TIMEZONE_PROPERTIES.contains(&&*upper)
            }
            Some(Component::Event) => {
                !self.takes_apart(&upper, rest) && EVENT_PROPERTIES.contains(&&*upper)
            }
            Some(Component::Alarm) => ALARM_PROPERTIES.contains(&&*upper),
            Some(Component::Ignored) | None => false,
        };
        if !is_wanted {
            return;
        }
        // Most lines have no parameters: the value follows the name directly.
        let has_parameters = rest.starts_with(';');
        let rest = mended(&upper, rest);
        let header = if has_parameters {
            header_length(&rest)
        } else {
            0
        };
        // Thunderbird writes whole texts into a parameter.
        let (rest, header) = if header > MAX_HEADER {
            let short = short_parameters(&rest[..header]);
            let length = short.len();
            (Cow::Owned(short + &rest[header..]), length)
        } else {
            (rest, header)
        };
        let warnings = &mut self.file.warnings;
        if header > MAX_HEADER || rest[..header].matches([';', ',']).count() > MAX_HEADER_PARTS {
            warnings.add(format!("A {upper} with too many parameters was skipped."));
        } else if self.open.last() == Some(&Component::Calendar) {
            let text = &mut self.file.frame.header;
            if text.len() < MAX_LINE {
                text.extend([&*upper, &rest, "\r\n"]);
            }
        } else if self.current.text.len() + rest.len() > MAX_EVENT {
            warnings.add("An event larger than 4 MiB was truncated.");
        } else {
            self.push_line(&upper, &rest);
        }
    }

    /// Extracts the rules and plain texts of an event, which are read here and not by calcard. Returns whether the
    /// property is one of them.
    fn takes_apart(&mut self, upper: &str, rest: &str) -> bool {
        let rules = match upper {
            "RRULE" => &mut self.current.rules,
            "EXRULE" => &mut self.current.except_rules,
            "SUMMARY" | "DESCRIPTION" | "LOCATION" if rest.starts_with(':') => {
                let texts = &mut self.current.texts;
                let text = match upper {
                    "SUMMARY" => &mut texts.summary,
                    "DESCRIPTION" => &mut texts.description,
                    _ => &mut texts.location,
                };
                *text = Some(unescaped(&rest[1..]));
                return true;
            }
            _ => return false,
        };
        let value = rest.split_once(':').map_or("", |(_, value)| value);
        if rules.len() < MAX_RULES && value.len() < MAX_HEADER {
            rules.push(value.to_owned());
        }
        true
    }

    fn push_line(&mut self, name: &str, rest: &str) {
        self.current.text.extend([name, rest, "\r\n"]);
    }

    fn close_unended(&mut self) {
        if let Some(at) = self.open.iter().rposition(|open| *open == Component::Event) {
            if self.open.get(at + 1) == Some(&Component::Alarm) {
                self.push_line("END:", "VALARM");
            }
            self.open.truncate(at);
            self.push_line("END:", "VEVENT");
            self.file.warnings.add("An event has no END:VEVENT.");
            self.keep_event();
        }
    }

    fn keep_event(&mut self) {
        self.file.event_count += 1;
        let block = std::mem::take(&mut self.current);
        if self.file.event_count <= MAX_EVENTS {
            (self.each)(block, &self.file.frame, &mut self.file.warnings);
        } else {
            self.file
                .warnings
                .add(format!("Only the first {MAX_EVENTS} events were read."));
        }
    }

    fn finish(mut self) -> Result<File, NotACalendar> {
        self.file.complete = self.open.is_empty();
        self.file.lacks_end = self.open == [Component::Calendar] || self.ends == 0;
        self.close_unended();
        if self.components == 0 {
            return Err(NotACalendar::Other);
        }
        // A fragment with neither a calendar nor an event does not show which events exist.
        self.file.complete &= self.calendars > 0 || self.file.event_count > 0;
        if self.calendars == 0 {
            self.file
                .warnings
                .add("The events are not inside a VCALENDAR.");
        }
        self.file.lacks_end &= !self.file.complete && self.file.event_count > 0;
        if self.file.lacks_end {
            self.file.warnings.add(
                "The file lacks its END; missing events are removed once a second fetch brings the same.",
            );
        } else if !self.file.complete {
            self.file
                .warnings
                .add("The file ends before its calendar does; missing events are not removed.");
        }
        Ok(self.file)
    }
}

fn component_name(rest: &str) -> Cow<'_, str> {
    let name = rest.rsplit_once(':').map_or("", |(_, name)| name).trim();
    upper_case(&name[..name.floor_char_boundary(32)])
}

/// Converts a name to upper case: names are case-insensitive (RFC 5545 2). Nearly all are in upper case already.
fn upper_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(name.to_ascii_uppercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// Decodes a `TEXT` value (RFC 5545 3.3.11).
fn unescaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(&rest[..at]);
        let mut escaped = rest[at + 1..].chars();
        match escaped.next() {
            Some('n' | 'N') => text.push('\n'),
            Some(other) => text.push(other),
            None => text.push('\\'),
        }
        rest = escaped.as_str();
    }
    text.push_str(rest);
    text
}

/// Returns the parameters that are not longer than usual.
fn short_parameters(header: &str) -> String {
    let mut is_quoted = false;
    let parameters = header.split(|sign| {
        is_quoted ^= sign == '"';
        sign == ';' && !is_quoted
    });
    let parameters = parameters.filter(|one| !one.is_empty() && one.len() <= MAX_PARAMETER);
    parameters.flat_map(|one| [";", one]).collect()
}

/// Returns the length of the parameters, which end at the first colon outside of quotes.
fn header_length(rest: &str) -> usize {
    let mut quoted = false;
    rest.bytes()
        .position(|byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        })
        .unwrap_or(rest.len())
}
