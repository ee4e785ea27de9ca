//! Every key of every table, in one place. Nothing else formats a key.
//!
//! `calendar` table: a user's calendars and cursors lie together under `USER#…`, the events of one calendar under
//! `USER#…#CAL#…`. The *agenda* index holds each event under its owner and span, the *due* index what a job must do
//! next, by time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use calweave_domain::ids::{CalendarId, ConnectionId, EventId, SessionId, SlotId, UserId};
use chrono::{DateTime, Utc};

/// An item, as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// Partition key attribute of every table.
pub const PK: &str = "pk";
/// Sort key attribute of every table.
pub const SK: &str = "sk";
/// The attribute by which DynamoDB removes items, in Unix seconds.
pub const TTL: &str = "expiresAt";

/// The index that a window query reads.
pub const AGENDA: Index = Index {
    name: "agenda",
    pk: "agendaPk",
    sk: "agendaSk",
};
/// The index that a job reads.
pub const DUE: Index = Index {
    name: "due",
    pk: "duePk",
    sk: "dueSk",
};

/// A global secondary index and its key attributes.
#[derive(Clone, Copy)]
pub struct Index {
    /// Its name.
    pub name: &'static str,
    /// Its partition key attribute.
    pub pk: &'static str,
    /// Its sort key attribute.
    pub sk: &'static str,
}

/// The primary key of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Partition.
    pub pk: String,
    /// Place within the partition.
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    /// As the SDK's key map.
    pub fn attributes(self) -> Item {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk)),
            (SK.to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

/// Partition of everything that belongs to a person.
pub fn user_partition(user: UserId) -> String {
    format!("USER#{user}")
}

/// `identity`: the person.
pub fn user(user: UserId) -> Key {
    Key::new(user_partition(user), "PROFILE")
}

/// `identity`: who has this address.
pub fn email(email: &str) -> Key {
    Key::new(format!("EMAIL#{email}"), "EMAIL")
}

/// `identity`: one sign-in.
pub fn session(user: UserId, session: SessionId) -> Key {
    Key::new(user_partition(user), format!("{SESSION_PREFIX}{session}"))
}

/// Start of the sort keys of a person's sessions.
pub const SESSION_PREFIX: &str = "SESSION#";

/// `identity`: failed sign-ins for an address, whether or not anybody has it.
pub fn lockout(email_digest: &str) -> Key {
    Key::new(format!("LOCKOUT#{email_digest}"), "LOCKOUT")
}

/// `identity`: calls counted for one policy, subject and window.
pub fn rate(policy: &str, subject: &str, window: i64) -> Key {
    Key::new(format!("RATE#{policy}#{subject}"), format!("{window:012}"))
}

/// `identity`: an answer kept for a repeated request.
pub fn idempotency(user: UserId, key_digest: &str) -> Key {
    Key::new(format!("IDEMPOTENCY#{user}"), key_digest)
}

/// `vault`: the wrapped data key of a person.
pub fn data_key(user: UserId) -> Key {
    Key::new(user_partition(user), "DATAKEY")
}

/// `vault`: the grant of a connection.
pub fn grant(user: UserId, connection: ConnectionId) -> Key {
    secret(user, connection, "grant")
}

/// `vault`: one sealed secret of a connection.
pub fn secret(user: UserId, connection: ConnectionId, field: &str) -> Key {
    Key::new(user_partition(user), format!("SECRET#{connection}#{field}"))
}

/// `calendar`: a calendar.
pub fn calendar(user: UserId, calendar: CalendarId) -> Key {
    Key::new(user_partition(user), format!("{CALENDAR_PREFIX}{calendar}"))
}

/// `calendar`: where its sync stands. Sorts right behind the calendar, so both are read with one query.
pub fn cursor(user: UserId, calendar: CalendarId) -> Key {
    Key::new(
        user_partition(user),
        format!("{CALENDAR_PREFIX}{calendar}{CURSOR_SUFFIX}"),
    )
}

/// Start of the sort keys of calendars and their cursors.
pub const CALENDAR_PREFIX: &str = "CAL#";
/// End of the sort keys of cursors.
pub const CURSOR_SUFFIX: &str = "#CURSOR";

/// `calendar`: which calendar is a copy of this source, so that a person connects it once.
pub fn source(user: UserId, source: &str) -> Key {
    Key::new(user_partition(user), format!("SOURCE#{source}"))
}

/// `calendar`: a link to an account.
pub fn connection(user: UserId, connection: ConnectionId) -> Key {
    Key::new(
        user_partition(user),
        format!("{CONNECTION_PREFIX}{connection}"),
    )
}

/// Start of the sort keys of links to accounts.
pub const CONNECTION_PREFIX: &str = "CON#";

/// `calendar`: who has linked this account.
pub fn account(provider: &str, account: &str) -> Key {
    Key::new(format!("ACCOUNT#{provider}#{account}"), "ACCOUNT")
}

/// `calendar`: a sign-in with a provider that is under way, by the digest of its state.
pub fn authorization(state_digest: &str) -> Key {
    Key::new(format!("AUTHORIZATION#{state_digest}"), "AUTHORIZATION")
}

/// `calendar`: calendars that somebody may choose from.
pub fn selection(user: UserId, id: &str) -> Key {
    Key::new(user_partition(user), format!("{SELECTION_PREFIX}{id}"))
}

/// Start of the sort keys of selections.
pub const SELECTION_PREFIX: &str = "SELECTION#";

/// `calendar`: a slot.
pub fn slot(user: UserId, slot: SlotId) -> Key {
    Key::new(user_partition(user), format!("{SLOT_PREFIX}{slot}"))
}

/// Start of the sort keys of slots.
pub const SLOT_PREFIX: &str = "SLOT#";

/// `calendar`: counts the changes of a person's slots, so that two at once are one after the other.
pub fn slot_book(user: UserId) -> Key {
    Key::new(user_partition(user), "SLOTBOOK")
}

/// `calendar`: who pushes changes, and of which calendar.
pub fn channel(channel: &str) -> Key {
    Key::new(format!("CHANNEL#{channel}"), "CHANNEL")
}

/// Partition of the changes of one calendar that are still to be written to its provider.
pub fn edits_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#EDITS#{calendar}")
}

/// `calendar`: an event that has such a change.
pub fn edit(user: UserId, event: &EventId) -> Key {
    Key::new(edits_partition(user, event.calendar()), event.to_string())
}

/// Partition of the other names that a provider has given to one calendar's events.
pub fn aliases_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#ALIASES#{calendar}")
}

/// `calendar`: which event this other name means.
pub fn alias(user: UserId, foreign: &EventId) -> Key {
    Key::new(
        aliases_partition(user, foreign.calendar()),
        foreign.to_string(),
    )
}

/// `calendar`: who may call about an account just now.
pub fn permits(user: UserId, connection: ConnectionId) -> Key {
    Key::new(user_partition(user), format!("PERMITS#{connection}"))
}

/// `calendar`: a removal that is not finished. `subject` is `ACCOUNT` or a calendar's id.
pub fn erasure(user: UserId, subject: &str) -> Key {
    Key::new(user_partition(user), format!("ERASURE#{subject}"))
}

/// Partition of the events of one calendar.
pub fn events_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#CAL#{calendar}")
}

/// `calendar`: an event, a series, or an override (which sorts behind its series).
pub fn event(user: UserId, event: &EventId) -> Key {
    Key::new(events_partition(user, event.calendar()), event.to_string())
}

/// Partition of the agenda index: the events of one person and span.
pub fn agenda_partition(user: UserId, span: &str) -> String {
    format!("USER#{user}#{span}")
}

/// An instant that sorts as text.
pub fn sortable(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sort key of the agenda index: by time, then by event.
pub fn agenda_sort(at: DateTime<Utc>, event: &EventId) -> String {
    format!("{}#{event}", sortable(at))
}

/// How many partitions the due index is spread over.
pub const DUE_SHARDS: u32 = 8;

/// What a job looks for in the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// Calendars whose feed is to be read.
    Feed,
    /// Calendars of accounts that nothing was heard of for long.
    Account,
    /// Grants whose access token is about to expire.
    Grant,
    /// Channels that should be renewed.
    Channel,
    /// Removals that are not finished.
    Erasure,
}

impl DueKind {
    /// Partition of the due index.
    pub fn partition(self, shard: u32) -> String {
        let kind = match self {
            Self::Feed => "FEED",
            Self::Account => "ACCOUNT",
            Self::Grant => "GRANT",
            Self::Channel => "CHANNEL",
            Self::Erasure => "ERASURE",
        };
        format!("DUE#{kind}#{shard}")
    }

    /// The partition that a person's work lies in.
    pub fn partition_of(self, user: UserId) -> String {
        self.partition(
            user.to_bytes()
                .iter()
                .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
                % DUE_SHARDS,
        )
    }
}

/// Sort key of the due index.
pub fn due_sort(at: DateTime<Utc>, subject: &str) -> String {
    format!("{}#{subject}", sortable(at))
}

/// `audit`: one entry of an actor's trail, in order of time.
pub fn audit(actor: &str, at: DateTime<Utc>, entry: &str) -> Key {
    Key::new(
        format!("ACTOR#{actor}"),
        format!("{}#{entry}", at.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
    )
}
