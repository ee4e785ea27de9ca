//! Parameters as writers get them wrong: without the quotes that RFC 5545 3.2 requires around colons, semicolons and commas.

use std::borrow::Cow;

/// Returns the parameters and value of a property, `;TZID=…:2026…`, with the quotes that are missing.
pub(super) fn mended<'a>(property: &str, rest: &'a str) -> Cow<'a, str> {
    match property {
        "EXDATE" | "RDATE" if has_semicolons(rest) => {
            let (header, value) = rest.rsplit_once(':').unwrap_or_default();
            let rest = format!("{header}:{}", value.replace(';', ","));
            Cow::Owned(mended(property, &rest).into_owned())
        }
        "DTSTART" | "DTEND" | "RECURRENCE-ID" | "EXDATE" | "RDATE" => match zone_quoted(rest) {
            Cow::Borrowed(rest) => basic_dates(rest),
            Cow::Owned(rest) => Cow::Owned(basic_dates(&rest).into_owned()),
        },
        "ORGANIZER" | "ATTENDEE" => names_quoted(rest),
        _ => Cow::Borrowed(rest),
    }
}

/// Returns whether a list of dates is separated by semicolons instead of commas.
fn has_semicolons(rest: &str) -> bool {
    rest.rsplit_once(':')
        .is_some_and(|(_, value)| value.contains(';') && is_date(value))
}

/// Quotes the zone in `TZID=(UTC+01:00) Amsterdam, Berlin:2026…`: the value begins where a date does.
fn zone_quoted(rest: &str) -> Cow<'_, str> {
    const NAME: &str = "TZID=";
    let Some(at) = find(rest, NAME) else {
        return Cow::Borrowed(rest);
    };
    let zone_at = at + NAME.len();
    let is_sound = |zone: &str| !zone.contains([':', ',', ';', '(']);
    let colons = rest[zone_at..]
        .match_indices(':')
        .map(|(at, _)| zone_at + at);
    let value_at = colons
        .into_iter()
        .find(|at| is_date(&rest[at + 1..]) || rest[at + 1..].starts_with(';'));
    let Some(value_at) = value_at else {
        return Cow::Borrowed(rest);
    };
    let zone = &rest[zone_at..value_at];
    if zone.starts_with('"') || is_sound(zone) {
        return Cow::Borrowed(rest);
    }
    // Another parameter may follow the zone.
    let end = zone.find(";VALUE=").unwrap_or(zone.len());
    let (zone, more) = zone.split_at(end);
    let zone = zone.replace('"', "");
    Cow::Owned(format!(
        "{}{NAME}\"{zone}\"{more}{}",
        &rest[..at],
        &rest[value_at..]
    ))
}

/// Writes dates in the extended form of ISO 8601, `2026-03-10T09:00:00.000+01:00`, in the basic form, which is the only one of
/// RFC 5545.
fn basic_dates(rest: &str) -> Cow<'_, str> {
    let mut is_quoted = false;
    let value_at = rest.bytes().position(|byte| {
        is_quoted ^= byte == b'"';
        byte == b':' && !is_quoted
    });
    let Some(value_at) = value_at.map(|at| at + 1) else {
        return Cow::Borrowed(rest);
    };
    let (header, value) = rest.split_at(value_at);
    let is_extended = |value: &str| {
        let value = value.trim_start().as_bytes();
        value.len() >= 10 && value[4] == b'-' && value[7] == b'-'
    };
    if !is_extended(value) {
        return Cow::Borrowed(rest);
    }
    let one = |value: &str| {
        let value = value.trim();
        let (date, time) = value.split_once(['T', ' ']).unwrap_or((value, ""));
        let mut basic = date.replace('-', "");
        if !time.is_empty() {
            basic.push('T');
            // Neither fractions of a second nor the colons; the sign of an offset stays.
            let mut is_fraction = false;
            for sign in time.chars() {
                is_fraction = sign == '.' || (is_fraction && sign.is_ascii_digit());
                if sign != ':' && !is_fraction {
                    basic.push(sign);
                }
            }
        }
        basic
    };
    let values: Vec<String> = value.split(',').map(one).collect();
    Cow::Owned(format!("{header}{}", values.join(",")))
}

/// Quotes the names in `CN=Doe, Jane: Sales:mailto:…`: the value begins where an address does.
fn names_quoted(rest: &str) -> Cow<'_, str> {
    let Some(value_at) = find(rest, ":mailto:") else {
        return Cow::Borrowed(rest);
    };
    let (header, value) = rest.split_at(value_at);
    let is_quoted = header.contains('"');
    if is_quoted || !header.contains([':', ',']) {
        return Cow::Borrowed(rest);
    }
    let mut mended = String::with_capacity(rest.len() + 8);
    for (index, parameter) in header.split(';').enumerate() {
        match parameter.split_once('=') {
            Some((name, value)) if value.contains([':', ',']) => {
                mended.extend([";", name, "=\"", value, "\""]);
            }
            _ if index == 0 => mended.push_str(parameter),
            _ => mended.extend([";", parameter]),
        }
    }
    mended.push_str(value);
    Cow::Owned(mended)
}

/// Returns the position of a text in ASCII, in any case.
fn find(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    let mut windows = text.windows(wanted.len());
    windows.position(|window| window.eq_ignore_ascii_case(wanted))
}

/// Returns whether a value begins with a date.
fn is_date(value: &str) -> bool {
    let digits = value
        .trim_start()
        .bytes()
        .filter(|byte| *byte != b'-')
        .take(8);
    digits.clone().count() == 8 && digits.clone().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_quotes_are_added() {
        for (property, written, right) in [
            (
                "DTSTART",
                ";TZID=Europe/Berlin:20260310T090000",
                ";TZID=Europe/Berlin:20260310T090000",
            ),
            (
                "DTSTART",
                ";TZID=tzone://Microsoft/Utc:20260310T090000",
                ";TZID=\"tzone://Microsoft/Utc\":20260310T090000",
            ),
            (
                "DTSTART",
                ";TZID=UTC+02:00:2026-03-10T09:00:00",
                ";TZID=\"UTC+02:00\":20260310T090000",
            ),
            (
                "DTEND",
                ";tzid=(UTC+01:00) A, B;VALUE=DATE-TIME:20260310T090000",
                ";TZID=\"(UTC+01:00) A, B\";VALUE=DATE-TIME:20260310T090000",
            ),
            (
                "DTSTART",
                ":2026-03-10T09:00:00.000+01:00",
                ":20260310T090000+0100",
            ),
            (
                "EXDATE",
                ";VALUE=DATE:2026-03-10,2026-03-11",
                ";VALUE=DATE:20260310,20260311",
            ),
            (
                "EXDATE",
                ";TZID=\"(UTC+01:00) A, B\":20260310T090000",
                ";TZID=\"(UTC+01:00) A, B\":20260310T090000",
            ),
            ("DTSTART", ";TZID=UTC+02:00:never", ";TZID=UTC+02:00:never"),
            (
                "ATTENDEE",
                ";CN=Doe, Jane;ROLE=CHAIR:mailto:a@b.example",
                ";CN=\"Doe, Jane\";ROLE=CHAIR:mailto:a@b.example",
            ),
            (
                "ORGANIZER",
                ";CN=Team: Sales:MAILTO:a@b.example",
                ";CN=\"Team: Sales\":MAILTO:a@b.example",
            ),
            (
                "SUMMARY",
                ";LANGUAGE=en:One: two, three",
                ";LANGUAGE=en:One: two, three",
            ),
        ] {
            assert_eq!(mended(property, written), right, "{written}");
        }
    }
}
