//! Typed, prefixed, sortable identifiers. Each kind of id is a type of its own, so that ids cannot be confused.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use calweave_base::clock::Clock;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// The text is not an id of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a valid {0} id")]
pub struct InvalidId(&'static str);

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Ulid);

        impl $name {
            /// Creates an id that sorts by its creation time.
            pub fn new(clock: &Clock) -> Self {
                let millis = u64::try_from(clock.now().timestamp_millis()).unwrap_or(0);
                Self(Ulid::from_parts(millis, u128::from_be_bytes(clock.unique())))
            }

            /// Returns the sixteen bytes of the ULID, without the prefix.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// Creates the id with these sixteen bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "_"))
                    // Only the canonical text: the parser also accepts lower case, and drops bits that overflow.
                    .and_then(|rest| Ulid::from_string(rest).ok().filter(|ulid| ulid.to_string() == rest))
                    .map(Self)
                    .ok_or(InvalidId(stringify!($name)))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.to_string()
            }
        }
    };
}

ulid_id!(
    /// Id of a user.
    UserId, "usr"
);
ulid_id!(
    /// Id of a connection: a linked account or, for ICS, one feed.
    ConnectionId, "con"
);
ulid_id!(
    /// Id of a calendar.
    CalendarId, "cal"
);
ulid_id!(
    /// Id of a session: one sign-in on one device.
    SessionId, "ses"
);

ulid_id!(
    /// Id of a slot.
    SlotId, "slt"
);

/// Id of an event, a series, or one occurrence of a series.
///
/// `evt_{calendar}{digest}` identifies an event or a series; `…_{original start}` identifies one occurrence. The id
/// contains the calendar's ULID, so an event is read by its key, without an index. The digest is that of the provider's
/// name for the event, so each sync gives the same event the same id. For an event that is created through Calweave, it
/// is that of the `Idempotency-Key` and the content or, without a key, of a unique value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct EventId {
    calendar: CalendarId,
    digest: String,
    original_start: Option<String>,
}

const ULID_LEN: usize = 26;

impl EventId {
    /// Length of the digest, in characters.
    pub const DIGEST_LEN: usize = 20;

    /// Returns the id of the event or series that the provider calls `remote_key` in this calendar.
    pub fn of(calendar: CalendarId, remote_key: &str) -> Self {
        let hash = digest(&SHA256, remote_key.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_ref()[..16]);
        // The last twenty characters of a ULID's text encode the low 100 bits of the hash.
        let text = Ulid::from_bytes(first).to_string();
        Self {
            calendar,
            digest: text[ULID_LEN - Self::DIGEST_LEN..].to_owned(),
            original_start: None,
        }
    }

    /// Creates the id with this digest; `None` if the digest is not valid.
    pub fn with_digest(calendar: CalendarId, digest: String) -> Option<Self> {
        is_digest(&digest).then_some(Self {
            calendar,
            digest,
            original_start: None,
        })
    }

    /// Returns the digest, which distinguishes the event from the others of its calendar.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the id of this series' occurrence with the given original start.
    pub fn occurrence(&self, original_start: OriginalStart) -> Self {
        Self {
            original_start: Some(original_start.to_string()),
            ..self.clone()
        }
    }

    /// Returns the id of the series that this occurrence belongs to, or the id itself if it is not an occurrence.
    pub fn series(&self) -> Self {
        Self {
            original_start: None,
            ..self.clone()
        }
    }

    /// Returns the original start, if this is the id of an occurrence.
    pub fn original_start(&self) -> Option<OriginalStart> {
        self.original_start
            .as_deref()
            .and_then(|text| text.parse().ok())
    }

    /// Returns the calendar that contains the event.
    pub fn calendar(&self) -> CalendarId {
        self.calendar
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == EventId::DIGEST_LEN && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut calendar = [0; ULID_LEN];
        let calendar = self.calendar.0.array_to_str(&mut calendar);
        let (line, start) = self
            .original_start
            .as_deref()
            .map_or(("", ""), |start| ("_", start));
        ["evt_", calendar, &self.digest, line, start]
            .into_iter()
            .try_for_each(|part| f.write_str(part))
    }
}

impl Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for EventId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parse = || {
            let rest = text.strip_prefix("evt_")?;
            let (body, start) = match rest.split_once('_') {
                Some((body, start)) => (body, Some(start)),
                None => (rest, None),
            };
            let digest = body.get(ULID_LEN..)?;
            let calendar = format!("cal_{}", body.get(..ULID_LEN)?).parse().ok()?;
            let sound = is_digest(digest);
            if let Some(start) = start {
                start.parse::<OriginalStart>().ok()?;
            }
            sound.then(|| Self {
                calendar,
                digest: digest.to_owned(),
                original_start: start.map(str::to_owned),
            })
        };
        parse().ok_or(InvalidId("EventId"))
    }
}

impl TryFrom<String> for EventId {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

/// Where the rule of a series places an occurrence, even if an override moves it (`RECURRENCE-ID`): a date for all-day
/// series, an instant for zoned ones, a wall-clock time for floating ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OriginalStart {
    /// `20260310`
    Date(NaiveDate),
    /// `20260302T080000Z`
    Instant(DateTime<Utc>),
    /// `20260302T090000`; also in a zoned series, for a time inside a gap whose instant another occurrence has.
    Floating(NaiveDateTime),
}

const DATE: &str = "%Y%m%d";
const LOCAL: &str = "%Y%m%dT%H%M%S";

impl fmt::Display for OriginalStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date(date) => write!(f, "{}", date.format(DATE)),
            Self::Instant(instant) => write!(f, "{}Z", instant.naive_utc().format(LOCAL)),
            Self::Floating(local) => write!(f, "{}", local.format(LOCAL)),
        }
    }
}

impl FromStr for OriginalStart {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parsed = match (text.strip_suffix('Z'), text.contains('T')) {
            (Some(utc), _) => {
                NaiveDateTime::parse_from_str(utc, LOCAL).map(|at| Self::Instant(at.and_utc()))
            }
            (None, true) => NaiveDateTime::parse_from_str(text, LOCAL).map(Self::Floating),
            (None, false) => NaiveDate::parse_from_str(text, DATE).map(Self::Date),
        };
        parsed.map_err(|_| InvalidId("occurrence"))
    }
}

impl Serialize for OriginalStart {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginalStart {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_way_through_text() {
        let calendar = CalendarId::new(&Clock::System);
        assert_eq!(calendar.to_string().parse(), Ok(calendar));
        let event = EventId::of(calendar, "uid@example.org");
        assert_eq!(event.to_string().parse(), Ok(event.clone()));
        assert_eq!(event, EventId::of(calendar, "uid@example.org"));
        let first = event.occurrence(OriginalStart::Instant(DateTime::UNIX_EPOCH));
        let again: EventId = first.to_string().parse().unwrap();
        assert_eq!(again, first);
        assert_eq!(again.series(), event);
        assert_eq!(again.calendar(), calendar);
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let calendar = CalendarId::new(&Clock::System).to_string();
        assert!(calendar.parse::<UserId>().is_err());
        assert!("evt_x".parse::<EventId>().is_err());
        assert!(
            "evt_ééééééééééééééééééééééééééé"
                .parse::<EventId>()
                .is_err()
        );
        assert!(
            "cal_81J00000000000000000000000"
                .parse::<CalendarId>()
                .is_err()
        );
        assert!(
            format!(
                "{}_99999999",
                EventId::of(CalendarId::from_bytes([1; 16]), "a")
            )
            .parse::<EventId>()
            .is_err()
        );
    }
}
