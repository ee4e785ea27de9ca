//! The state of the sandbox: users, mailboxes, grants and subscriptions.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use shared::clock::Clock;

use crate::parts::{CallBudget, Fault, FaultRates, take_fault};

/// The whole state, behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub clock: Clock,
    /// By email address.
    pub people: BTreeMap<String, Person>,
    pub calendars: BTreeMap<String, Calendar>,
    /// By authorisation code.
    pub codes: HashMap<String, Code>,
    /// By refresh token.
    pub grants: HashMap<String, Held>,
    /// By access token.
    pub access: HashMap<String, Access>,
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Deleted events, by id. They are in the folder *Deleted Items* of their owner's mailbox,
    /// where they can still be read by their immutable id.
    pub deleted: BTreeMap<String, Deleted>,
    /// Tenants whose administrator has consented for all users.
    pub consented: BTreeSet<String>,
    /// The ids of events that are returned without their times.
    pub garbled: BTreeSet<String>,
    /// Queued faults.
    pub faults: VecDeque<Fault>,
    /// Requests and responses that do not conform to Microsoft's documentation.
    pub violations: Vec<String>,
    /// How often each method was called.
    pub calls: BTreeMap<String, u64>,
    /// Random faults, if enabled.
    pub fault_rates: Option<FaultRates>,
    /// Which calls are answered, and how slowly.
    pub budget: CallBudget,
    /// The maximum number of calls per mailbox and minute.
    pub quota: Option<u64>,
    /// The last minute in which a mailbox was called (since the Unix epoch), and its calls in that
    /// minute.
    pub minutes: HashMap<String, (i64, u64)>,
    /// Concurrent calls, by mailbox.
    pub in_flight: HashMap<String, usize>,
    /// The highest number of concurrent calls of any mailbox so far.
    pub most_in_flight: usize,
    /// The page size of delta queries.
    pub page: usize,
    /// The maximum lifetime of a subscription, in minutes.
    pub longest: i64,
    /// Whether single calendars can be subscribed to.
    pub watches_calendars: bool,
    /// Whether the client's secret has expired.
    pub is_secret_expired: bool,
    /// The recipients of all mails sent.
    pub mails: Vec<String>,
    /// The number of delta rounds begun.
    pub deltas: u64,
    /// The number of delta rounds begun without a token.
    pub full_reads: u64,
    /// How all-day events are returned.
    pub days: Days,
    /// Incremented by every change; ETags and delta tokens derive from it.
    pub version: u64,
}

/// A user with a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub email: String,
    pub name: String,
    pub tenant: String,
    pub object: String,
    /// The Windows name of the zone.
    pub time_zone: String,
    /// Whether only an administrator may consent.
    pub needs_admin: bool,
    /// The ids of their own and of shared calendars, in order, and whether they may edit each.
    pub list: Vec<(String, bool)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    pub id: String,
    pub name: String,
    /// The owner's email address.
    pub owner: String,
    pub is_default: bool,
    pub events: BTreeMap<String, Stored>,
    /// The ids of removed events, with the version of the removal.
    pub removed: Vec<(u64, String)>,
    /// Delta tokens older than this version have expired.
    pub tokens_since: u64,
    /// Whether rounds of delta queries repeat their last page under new tokens, and never end.
    pub is_endless: bool,
}

/// How all-day events are returned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Days {
    /// Whether they begin at midnight of the requested zone. Their original zone is then the
    /// requested zone too, but `originalStart` is the real midnight (microsoft-graph-docs#2804).
    pub are_in_requested_zone: bool,
    /// Whether `occurrenceId` is missing.
    pub lack_occurrence_id: bool,
}

/// A deleted event.
#[derive(Clone, Debug)]
pub(super) struct Deleted {
    /// The email address of the mailbox's owner.
    pub owner: String,
    pub stored: Stored,
}

/// A single event, a series, or an override, in the time zone in which it was written.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub version: u64,
    pub event: Value,
    /// The original dates of a series' cancelled occurrences.
    pub cancelled: BTreeSet<NaiveDate>,
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    pub grant: Grant,
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub nonce: Option<String>,
    pub expires: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub email: String,
    pub client: String,
    pub scopes: String,
}

/// A refresh token. Each use issues the next generation; the previous generation remains valid,
/// older ones do not.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub grant: Grant,
    pub family: String,
    pub generation: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Access {
    pub grant: Grant,
    pub expires: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub id: String,
    pub email: String,
    pub body: Map<String, Value>,
    pub expires: DateTime<Utc>,
}

/// The random faults.
const KINDS: [(u16, &str); 6] = [
    (503, "ErrorInternalServerTransientError"),
    (500, "ErrorInternalServerTransientError"),
    (429, "ApplicationThrottled"),
    (504, "UnknownError"),
    (401, "InvalidAuthenticationToken"),
    (412, "ErrorIrresolvableConflict"),
];

impl State {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            people: BTreeMap::new(),
            calendars: BTreeMap::new(),
            codes: HashMap::new(),
            grants: HashMap::new(),
            access: HashMap::new(),
            subscriptions: BTreeMap::new(),
            deleted: BTreeMap::new(),
            consented: BTreeSet::new(),
            garbled: BTreeSet::new(),
            faults: VecDeque::new(),
            violations: Vec::new(),
            calls: BTreeMap::new(),
            fault_rates: None,
            budget: CallBudget::default(),
            quota: None,
            minutes: HashMap::new(),
            in_flight: HashMap::new(),
            most_in_flight: 0,
            page: 100,
            longest: 10_080,
            watches_calendars: true,
            is_secret_expired: false,
            mails: Vec::new(),
            deltas: 0,
            full_reads: 0,
            days: Days::default(),
            version: 0,
        }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Takes the first queued fault for this method, or else draws a random one.
    pub fn fault(&mut self, method: &str) -> Option<Fault> {
        let queued = take_fault(&mut self.faults, |wanted| method == wanted);
        let conditional = ["events.update", "events.delete"].contains(&method);
        queued.or_else(|| {
            self.fault_rates
                .as_mut()?
                .fault(method, &KINDS, conditional)
        })
    }

    /// Counts a call of a mailbox. Over the quota, returns the seconds until the next minute.
    pub fn over_quota(&mut self, email: &str) -> Option<u64> {
        let quota = self.quota?;
        let now = self.now().timestamp();
        let counted = self
            .minutes
            .entry(email.to_owned())
            .or_insert((now / 60, 0));
        if counted.0 != now / 60 {
            *counted = (now / 60, 0);
        }
        counted.1 += 1;
        (counted.1 > quota).then(|| u64::try_from(60 - now % 60).unwrap_or(60))
    }
}
