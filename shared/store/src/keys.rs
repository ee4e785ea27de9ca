//! The keys of all tables. No other module formats a key.
//!
//! In the `calendar` table, the partition `USER#…` holds a user's calendars and cursors, and the partition
//! `USER#…#CAL#…` the events of one calendar. The *agenda* index holds each event by its owner and span, the *due*
//! index holds the items that scheduled jobs process, by due time.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use calweave_domain::ids::{CalendarId, ConnectionId, EventId, SessionId, SlotId, UserId};
use chrono::{DateTime, Utc};

/// The SDK's representation of an item.
pub type Item = HashMap<String, AttributeValue>;

/// Attribute name of the partition key, the same in every table.
pub const PK: &str = "pk";
/// Attribute name of the sort key, the same in every table.
pub const SK: &str = "sk";
/// Attribute name of the time to live (DynamoDB TTL), in Unix seconds.
pub const TTL: &str = "expiresAt";

/// The index of events by owner, span and time. Window queries read it.
pub const AGENDA: Index = Index {
    name: "agenda",
    pk: "agendaPk",
    sk: "agendaSk",
};
/// The index of items by due time. Scheduled jobs read it.
pub const DUE: Index = Index {
    name: "due",
    pk: "duePk",
    sk: "dueSk",
};

/// A global secondary index.
#[derive(Clone, Copy)]
pub struct Index {
    /// Index name in the table's definition.
    pub name: &'static str,
    /// Attribute name of the partition key.
    pub pk: &'static str,
    /// Attribute name of the sort key.
    pub sk: &'static str,
}

/// The primary key of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Value of the partition key.
    pub pk: String,
    /// Value of the sort key.
    pub sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    /// Converts the key to the SDK's attribute map.
    pub fn attributes(self) -> Item {
        HashMap::from([
            (PK.to_owned(), AttributeValue::S(self.pk)),
            (SK.to_owned(), AttributeValue::S(self.sk)),
        ])
    }
}

/// Partition key of the items that belong to a user.
pub fn user_partition(user: UserId) -> String {
    format!("USER#{user}")
}

/// `identity`: a user's profile.
pub fn user(user: UserId) -> Key {
    Key::new(user_partition(user), "PROFILE")
}

/// `identity`: the user that an email address belongs to.
pub fn email(email: &str) -> Key {
    Key::new(format!("EMAIL#{email}"), "EMAIL")
}

/// `identity`: one session of a user.
pub fn session(user: UserId, session: SessionId) -> Key {
    Key::new(user_partition(user), format!("{SESSION_PREFIX}{session}"))
}

/// Prefix of the sort keys of a user's sessions.
pub const SESSION_PREFIX: &str = "SESSION#";

/// Returns whether an item of a user's partition is a session.
pub fn is_session(item: &Item) -> bool {
    let sort_key = item.get(SK).and_then(|value| value.as_s().ok());
    sort_key.is_some_and(|sort_key| sort_key.starts_with(SESSION_PREFIX))
}

/// `identity`: the failed sign-ins of a subject, whether or not there is an account.
pub fn lockout(subject: &str) -> Key {
    Key::new(format!("LOCKOUT#{subject}"), "LOCKOUT")
}

/// `identity`: a network from which the owner of an e-mail address has signed in.
pub fn known_network(email_digest: &str, network: &str) -> Key {
    Key::new(
        format!("LOCKOUT#{email_digest}"),
        format!("NETWORK#{network}"),
    )
}

/// `identity`: the count of calls for one rate-limit policy, subject and window.
pub fn rate(policy: &str, subject: &str, window: i64) -> Key {
    Key::new(format!("RATE#{policy}#{subject}"), format!("{window:012}"))
}

/// `identity`: the response stored under an idempotency key.
pub fn idempotency(user: UserId, key_digest: &str) -> Key {
    Key::new(format!("IDEMPOTENCY#{user}"), key_digest)
}

/// `vault`: the wrapped data key of a user.
pub fn data_key(user: UserId) -> Key {
    Key::new(user_partition(user), "DATAKEY")
}

/// `vault`: the sealed grant of a connection.
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

/// `calendar`: the sync state of a calendar. Sorts directly after the calendar, so that one query reads both.
pub fn cursor(user: UserId, calendar: CalendarId) -> Key {
    Key::new(
        user_partition(user),
        format!("{CALENDAR_PREFIX}{calendar}{CURSOR_SUFFIX}"),
    )
}

/// Prefix of the sort keys of calendars and their cursors.
pub const CALENDAR_PREFIX: &str = "CAL#";
/// Suffix of the sort keys of cursors.
pub const CURSOR_SUFFIX: &str = "#CURSOR";

/// `calendar`: the calendar that is connected to a source. Ensures that a user connects each source at most once.
pub fn source(user: UserId, source: &str) -> Key {
    Key::new(user_partition(user), format!("SOURCE#{source}"))
}

/// `calendar`: a connection to an account.
pub fn connection(user: UserId, connection: ConnectionId) -> Key {
    Key::new(
        user_partition(user),
        format!("{CONNECTION_PREFIX}{connection}"),
    )
}

/// Prefix of the sort keys of connections.
pub const CONNECTION_PREFIX: &str = "CON#";

/// `calendar`: the user that has linked an account.
pub fn account(provider: &str, account: &str) -> Key {
    Key::new(format!("ACCOUNT#{provider}#{account}"), "ACCOUNT")
}

/// `calendar`: a pending authorization at a provider, by the digest of its OAuth `state`.
pub fn authorization(state_digest: &str) -> Key {
    Key::new(format!("AUTHORIZATION#{state_digest}"), "AUTHORIZATION")
}

/// `calendar`: the calendars that a user can choose from after linking an account.
pub fn selection(user: UserId, id: &str) -> Key {
    Key::new(user_partition(user), format!("{SELECTION_PREFIX}{id}"))
}

/// Prefix of the sort keys of selections.
pub const SELECTION_PREFIX: &str = "SELECTION#";

/// `calendar`: a slot.
pub fn slot(user: UserId, slot: SlotId) -> Key {
    Key::new(user_partition(user), format!("{SLOT_PREFIX}{slot}"))
}

/// Prefix of the sort keys of slots.
pub const SLOT_PREFIX: &str = "SLOT#";

/// `calendar`: the revision of a user's slots, by which concurrent changes are serialized.
pub fn slot_book(user: UserId) -> Key {
    Key::new(user_partition(user), "SLOTBOOK")
}

/// `calendar`: a push channel, with its owner and the watched resource.
pub fn channel(channel: &str) -> Key {
    Key::new(format!("CHANNEL#{channel}"), "CHANNEL")
}

/// Partition key of the edit markers of a calendar.
pub fn edits_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#EDITS#{calendar}")
}

/// `calendar`: marks an event with an edit, a local change that the provider does not have yet.
pub fn edit(user: UserId, event: &EventId) -> Key {
    Key::new(edits_partition(user, event.calendar()), event.to_string())
}

/// Partition key of the aliases of a calendar's events.
pub fn aliases_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#ALIASES#{calendar}")
}

/// `calendar`: the event that an alias stands for.
pub fn alias(user: UserId, foreign: &EventId) -> Key {
    Key::new(
        aliases_partition(user, foreign.calendar()),
        foreign.to_string(),
    )
}

/// `calendar`: until when all calls of a provider are paused.
pub fn provider_pause(provider: &str) -> Key {
    Key::new(format!("PROVIDER#{provider}"), "PAUSE")
}

/// Partition key of the records of a calendar's full syncs.
pub fn full_sync_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#FULLSYNC#{calendar}")
}

/// Prefix of the sort keys of one full sync's records.
pub fn full_sync_prefix(generation: u64) -> String {
    format!("{generation:012}#")
}

/// Prefix of the sort keys of one record, whose items are numbered.
pub fn full_sync_record_prefix(generation: u64, number: u32) -> String {
    format!("{}{number:06}", full_sync_prefix(generation))
}

/// `calendar`: an item of a record of a full sync.
pub fn full_sync_record(
    user: UserId,
    calendar: CalendarId,
    generation: u64,
    number: u32,
    index: usize,
) -> Key {
    let record = full_sync_record_prefix(generation, number);
    Key::new(
        full_sync_partition(user, calendar),
        format!("{record}#{index:03}"),
    )
}

/// `calendar`: the permits of an account, and until when its calls are paused.
pub fn permits(user: UserId, connection: ConnectionId) -> Key {
    Key::new(user_partition(user), format!("PERMITS#{connection}"))
}

/// `calendar`: an unfinished erasure. `subject` is `ACCOUNT` or a calendar's id.
pub fn erasure(user: UserId, subject: &str) -> Key {
    Key::new(user_partition(user), format!("ERASURE#{subject}"))
}

/// Partition key of the events of a calendar.
pub fn events_partition(user: UserId, calendar: CalendarId) -> String {
    format!("USER#{user}#CAL#{calendar}")
}

/// `calendar`: an event, a series, or an override (which sorts after its series).
pub fn event(user: UserId, event: &EventId) -> Key {
    Key::new(events_partition(user, event.calendar()), event.to_string())
}

/// Partition key of the agenda index: the events of one user and span.
pub fn agenda_partition(user: UserId, span: &str) -> String {
    format!("USER#{user}#{span}")
}

/// Formats an instant, to the second, so that text order is time order.
pub fn sortable(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Sort key of the agenda index: by time, then by event id.
pub fn agenda_sort(at: DateTime<Utc>, event: &EventId) -> String {
    format!("{}#{event}", sortable(at))
}

/// Number of partitions of the due index for each kind.
pub const DUE_SHARDS: u32 = 8;

/// The kinds of items in the due index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DueKind {
    /// Calendars whose feed is due to be fetched.
    Feed,
    /// Calendars of accounts that are due to be polled.
    Account,
    /// Connections whose access token is due to be renewed.
    Grant,
    /// Channels that are due to be renewed.
    Channel,
    /// Unfinished erasures.
    Erasure,
}

impl DueKind {
    /// Returns the partition key of a shard of the due index.
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

    /// Returns the partition key of the shard that holds a user's items.
    pub fn partition_of(self, user: UserId) -> String {
        self.partition(
            user.to_bytes()
                .iter()
                .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)))
                % DUE_SHARDS,
        )
    }
}

/// Sort key of the due index: by due time, then by subject.
pub fn due_sort(at: DateTime<Utc>, subject: &str) -> String {
    format!("{}#{subject}", sortable(at))
}

/// `audit`: one entry of an actor's audit log, sorted by time.
pub fn audit(actor: &str, at: DateTime<Utc>, entry: &str) -> Key {
    Key::new(
        format!("ACTOR#{actor}"),
        format!("{}#{entry}", at.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
    )
}
