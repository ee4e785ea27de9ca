//! From bytes to components: unfolds, decodes, bounds, and cuts a file into pieces small enough to parse one by one.
//!
//! Nothing here recurses or grows with more than the input, whatever the input is: a line or a header that is too long
//! is dropped with a warning, and only the properties that Calweave reads are passed on.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::{NotACalendar, Warnings};

/// The longest unfolded line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;
/// Rules of one event that are read.
const MAX_RULES: usize = 16;
/// The longest name with parameters before a value, in bytes.
const MAX_HEADER: usize = 4 << 10;
/// The most parameters and parameter values of one line.
const MAX_HEADER_PARTS: usize = 64;
/// The most components that are read (`docs/api.md`, limits).
const MAX_EVENTS: usize = 20_000;
/// The most bytes of one event, as DynamoDB could not hold more in any case.
const MAX_EVENT: usize = 4 << 20;

/// One component: its lines, unfolded, from `BEGIN` to `END`.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// What calcard parses.
    pub text: String,
    /// The `RRULE` values, as written: calcard reads `COUNT=0` as no count at all.
    pub rules: Vec<String>,
    /// The `EXRULE` values, as written.
    pub except_rules: Vec<String>,
    /// The texts that most of a feed consists of, read here because calcard looks at each of their bytes several times.
    pub texts: Texts,
}

/// `SUMMARY`, `DESCRIPTION` and `LOCATION` where they have no parameters; calcard reads the others.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub summary: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
}

/// What the events of a file stand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CalendarFrame {
    /// The calendar's own properties, a line each.
    pub header: String,
    /// The text of each `VTIMEZONE`.
    pub timezones: Vec<String>,
}

/// A file without its events, which have been handed over one by one.
#[derive(Debug, Default)]
pub(super) struct File {
    pub frame: CalendarFrame,
    pub event_count: usize,
    pub complete: bool,
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
const EVENT_PROPERTIES: [&str; 24] = [
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
];
const ALARM_PROPERTIES: [&str; 2] = ["TRIGGER", "ACTION"];

/// Cuts a file into components. `each` gets every event as soon as its end is read, with as much of the frame as stood
/// before it.
pub(super) fn split(
    body: &[u8],
    charset: Option<&str>,
    each: impl FnMut(Block, &CalendarFrame, &mut Warnings),
) -> Result<File, NotACalendar> {
    let (body, encoding) = encoding_of(body, charset);
    let body: Cow<'_, [u8]> = match encoding {
        Some(wide) if wide == UTF_16LE || wide == UTF_16BE => {
            Cow::Owned(wide.decode(body).0.into_owned().into_bytes())
        }
        _ => Cow::Borrowed(body),
    };
    check_kind(&body)?;
    let mut splitter = Splitter {
        open: vec![],
        current: Block::default(),
        file: File::default(),
        components: 0,
        calendars: 0,
        each,
    };
    for line in Unfold::new(&body) {
        splitter.line(&line, encoding.unwrap_or(WINDOWS_1252));
    }
    splitter.finish()
}

fn encoding_of<'a>(body: &'a [u8], charset: Option<&str>) -> (&'a [u8], Option<&'static Encoding>) {
    match Encoding::for_bom(body) {
        Some((encoding, length)) => (&body[length..], Some(encoding)),
        None => (
            body,
            charset.and_then(|name| Encoding::for_label(name.as_bytes())),
        ),
    }
}

fn check_kind(body: &[u8]) -> Result<(), NotACalendar> {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        return Err(NotACalendar::Empty);
    }
    let head = start[..start.len().min(256)].to_ascii_lowercase();
    let html = [
        &b"<!doctype html"[..],
        b"<html",
        b"<head",
        b"<body",
        b"<script",
    ];
    if html.iter().any(|tag| head.starts_with(tag)) {
        return Err(NotACalendar::Html);
    }
    Ok(())
}

/// Logical lines (RFC 5545 3.1), as bytes: a fold may cut a character in two. Any mix of line ends is taken.
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

impl<'a> Iterator for Unfold<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut line = Cow::Borrowed(self.physical());
        while let Some(b' ' | b'\t') = self.rest.first() {
            let more = &self.physical()[1..];
            // What is too long to be read need not be collected either; one byte more than allowed marks it.
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
    each: F,
}

impl<F: FnMut(Block, &CalendarFrame, &mut Warnings)> Splitter<F> {
    fn line(&mut self, bytes: &[u8], fallback: &'static Encoding) {
        if bytes.len() > MAX_LINE {
            self.file
                .warnings
                .add("A line of more than 1 MiB was left out.");
            return;
        }
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let line = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => fallback.decode_without_bom_handling(bytes).0,
        };
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
            // None of these stands inside an event, so an event that is still open lacks its end.
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
            // What was opened inside and never closed ends with it.
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
        // Most lines have no parameters: their value begins at once.
        let has_parameters = rest.starts_with(';');
        let rest = if has_parameters {
            quoted_zone(rest)
        } else {
            Cow::Borrowed(rest)
        };
        let header = if has_parameters {
            header_length(&rest)
        } else {
            0
        };
        let warnings = &mut self.file.warnings;
        if header > MAX_HEADER || rest[..header].matches([';', ',']).count() > MAX_HEADER_PARTS {
            warnings.add(format!("A {upper} with too many parameters was left out."));
        } else if self.open.last() == Some(&Component::Calendar) {
            let text = &mut self.file.frame.header;
            if text.len() < MAX_LINE {
                text.extend([&*upper, &rest, "\r\n"]);
            }
        } else if self.current.text.len() + rest.len() > MAX_EVENT {
            warnings.add("An event of more than 4 MiB was cut short.");
        } else {
            self.push_line(&upper, &rest);
        }
    }

    /// Takes the rules and plain texts of an event, which are read here and not by the parser. Returns whether the property is
    /// one of them.
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
            self.file
                .warnings
                .add("An event does not say where it ends.");
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
        self.close_unended();
        if self.components == 0 {
            return Err(NotACalendar::Other);
        }
        // A piece of a calendar says nothing about what else there is.
        self.file.complete &= self.calendars > 0 || self.file.event_count > 0;
        if self.calendars == 0 {
            self.file
                .warnings
                .add("The events do not stand in a calendar.");
        }
        if !self.file.complete {
            self.file.warnings.add(
                "The file ends before its calendar does; nothing is removed on the word of it.",
            );
        }
        Ok(self.file)
    }
}

fn component_name(rest: &str) -> Cow<'_, str> {
    let name = rest.rsplit_once(':').map_or("", |(_, name)| name).trim();
    upper_case(&name[..name.floor_char_boundary(32)])
}

/// Names count in any case (RFC 5545 2); nearly all stand in capitals.
fn upper_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        Cow::Owned(name.to_ascii_uppercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// What a `TEXT` value means (RFC 5545 3.3.11).
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

/// How long the parameters are: up to the first colon outside of quotes.
fn header_length(rest: &str) -> usize {
    let mut quoted = false;
    rest.bytes()
        .position(|byte| {
            quoted ^= byte == b'"';
            byte == b':' && !quoted
        })
        .unwrap_or(rest.len())
}

/// Outlook writes `TZID=(UTC+01:00) Amsterdam, Berlin` without the quotes that its colon needs.
fn quoted_zone(rest: &str) -> Cow<'_, str> {
    // Looked for only where there is a parenthesis: nearly every line with parameters has none.
    let Some((before, after)) =
        memchr::memchr(b'(', rest.as_bytes()).and_then(|_| rest.split_once("TZID=("))
    else {
        return Cow::Borrowed(rest);
    };
    match after.rsplit_once(':') {
        Some((zone, value)) => Cow::Owned(format!("{before}TZID=\"({zone}\":{value}")),
        None => Cow::Borrowed(rest),
    }
}
