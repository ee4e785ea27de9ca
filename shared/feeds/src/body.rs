//! The bytes of a feed as servers send them: compressed, in any charset, or something else than a calendar.

use std::borrow::Cow;
use std::io::Read;

use encoding_rs::{Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use flate2::read::GzDecoder;

use super::NotACalendar;

/// Maximum size of a decompressed body, in bytes, as that of a fetch.
const MAX_BODY: u64 = 10 << 20;

/// The body of a feed, in a charset that has ASCII in it.
pub(super) struct Body<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// The charset of lines that are not UTF-8.
    pub encoding: &'static Encoding,
}

impl<'a> Body<'a> {
    /// Decompresses a body whose server does not say that it is compressed, and decodes one whose charset is not a superset of
    /// ASCII. The bytes count more than what the server says of them.
    pub(super) fn decode(body: &'a [u8], charset: Option<&str>) -> Result<Self, NotACalendar> {
        let body = match body {
            [0x1f, 0x8b, 8, ..] => Cow::Owned(decompressed(body)?),
            [b'P', b'K', 3, 4, ..] => return Err(NotACalendar::Archive),
            _ => Cow::Borrowed(body),
        };
        let declared = charset.and_then(|name| Encoding::for_label(name.as_bytes()));
        let (mark, length) = match Encoding::for_bom(&body) {
            Some((encoding, length)) => (Some(encoding), length),
            None => (without_mark(&body), 0),
        };
        let encoding = mark
            .or_else(|| declared.filter(|encoding| *encoding != UTF_16LE && *encoding != UTF_16BE));
        let bytes = match encoding {
            Some(encoding)
                if encoding == UTF_16LE || encoding == UTF_16BE || encoding == ISO_2022_JP =>
            {
                let (text, _) = encoding.decode_without_bom_handling(&body[length..]);
                Cow::Owned(text.into_owned().into_bytes())
            }
            _ if length > 0 => Cow::Owned(body[length..].to_vec()),
            _ => body,
        };
        check_kind(&bytes)?;
        let encoding =
            encoding.filter(|encoding| encoding.is_ascii_compatible() && *encoding != UTF_8);
        Ok(Self {
            bytes,
            encoding: encoding.unwrap_or(WINDOWS_1252),
        })
    }
}

fn decompressed(body: &[u8]) -> Result<Vec<u8>, NotACalendar> {
    let mut bytes = Vec::new();
    let read = GzDecoder::new(body)
        .take(MAX_BODY + 1)
        .read_to_end(&mut bytes);
    match read {
        Ok(_) if bytes.len() as u64 <= MAX_BODY => Ok(bytes),
        _ => Err(NotACalendar::Compressed),
    }
}

/// Returns the charset of text in UTF-16 without a byte order mark: every other byte of `BEGIN` is zero.
fn without_mark(body: &[u8]) -> Option<&'static Encoding> {
    match body {
        [b'B' | b'b', 0, b'E' | b'e', 0, ..] => Some(UTF_16LE),
        [0, b'B' | b'b', 0, b'E' | b'e', ..] => Some(UTF_16BE),
        _ => None,
    }
}

/// Decodes a line. One that is not UTF-8 is in the fallback charset, unless most of what is not ASCII in it is UTF-8: then a
/// character was cut, and it alone is lost.
pub(super) fn text_of<'a>(bytes: &'a [u8], fallback: &'static Encoding) -> Cow<'a, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let lossy = String::from_utf8_lossy(bytes);
    let lost = lossy
        .chars()
        .filter(|sign| *sign == char::REPLACEMENT_CHARACTER)
        .count();
    let read = lossy.chars().filter(|sign| !sign.is_ascii()).count() - lost;
    if read > lost {
        lossy
    } else {
        fallback.decode_without_bom_handling(bytes).0
    }
}

fn check_kind(body: &[u8]) -> Result<(), NotACalendar> {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        return Err(NotACalendar::Empty);
    }
    let head = start[..start.len().min(256)].to_ascii_lowercase();
    let begins_with = |tags: &[&[u8]]| tags.iter().any(|tag| head.starts_with(tag));
    if begins_with(&[b"<!doctype html", b"<html", b"<head", b"<body", b"<script"]) {
        Err(NotACalendar::Html)
    } else if begins_with(&[b"<"]) {
        Err(NotACalendar::Xml)
    } else if begins_with(&[b"{", b"["]) {
        Err(NotACalendar::Json)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const TEXT: &str = "BEGIN:VCALENDAR\nSUMMARY:Caf\u{e9} \u{65e5}\nEND:VCALENDAR\n";

    fn read(body: &[u8], charset: Option<&str>) -> String {
        let body = Body::decode(body, charset).unwrap();
        body.bytes
            .split(|byte| *byte == b'\n')
            .map(|line| text_of(line, body.encoding).into_owned() + "\n")
            .collect::<String>()
            .trim_end()
            .to_owned()
            + "\n"
    }

    #[test]
    fn bytes_decide() {
        let wide = |to: fn(u16) -> [u8; 2]| TEXT.encode_utf16().flat_map(to).collect::<Vec<u8>>();
        let mut compressed = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        compressed.write_all(TEXT.as_bytes()).unwrap();
        let compressed = compressed.finish().unwrap();
        for (body, charset) in [
            (TEXT.as_bytes().to_vec(), Some("ISO-8859-1")),
            (TEXT.as_bytes().to_vec(), Some("utf-16")),
            (wide(u16::to_le_bytes), None),
            (wide(u16::to_be_bytes), Some("utf-8")),
            (compressed, None),
            ([&b"\xef\xbb\xbf"[..], TEXT.as_bytes()].concat(), None),
        ] {
            assert_eq!(read(&body, charset), TEXT, "{charset:?}");
        }
        let japanese = b"BEGIN:VCALENDAR\nSUMMARY:\x1b$BF|\x1b(B\n";
        assert!(read(japanese, Some(" ISO-2022-JP ")).contains("SUMMARY:\u{65e5}"));
        assert_eq!(
            read(b"BEGIN:VCALENDAR\nSUMMARY:Caf\xe9\n", None),
            "BEGIN:VCALENDAR\nSUMMARY:Caf\u{e9}\n"
        );
        // A character that a server has cut costs itself alone.
        let cut = "Caf\u{e9} \u{65e5}\u{65e5}".as_bytes();
        assert_eq!(
            read(&cut[..cut.len() - 1], None),
            "Caf\u{e9} \u{65e5}\u{fffd}\n"
        );
    }

    #[test]
    fn what_is_no_calendar_is_told_as_what_it_is() {
        for (body, kind) in [
            (&b"PK\x03\x04..."[..], NotACalendar::Archive),
            (b"\x1f\x8b\x08broken", NotACalendar::Compressed),
            (b"<?xml version=\"1.0\"?><icalendar/>", NotACalendar::Xml),
            (b"[\"vcalendar\", [], []]", NotACalendar::Json),
            (b"<!DOCTYPE html>", NotACalendar::Html),
            (b" \r\n", NotACalendar::Empty),
        ] {
            assert_eq!(Body::decode(body, None).err(), Some(kind));
        }
    }
}
