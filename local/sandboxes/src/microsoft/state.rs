//! What the sandbox remembers: people, their mailboxes, what they have granted, and who wants to be told.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value};
use shared::clock::Clock;

use crate::parts::{Fault, FaultRates};

/// Everything, behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub clock: Clock,
    /// By address.
    pub people: BTreeMap<String, Person>,
    pub calendars: BTreeMap<String, Calendar>,
    /// By what a client holds: authorisation codes, refresh tokens, access tokens.
    pub codes: HashMap<String, Code>,
    pub grants: HashMap<String, Held>,
    pub access: HashMap<String, Access>,
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Tenants whose administrator has consented for everybody.
    pub consented: BTreeSet<String>,
    /// Answers to be given in place of the right ones, by method.
    pub faults: VecDeque<Fault>,
    /// Where a request or an answer was not what Microsoft describes.
    pub violations: Vec<String>,
    /// How often each method was called.
    pub calls: BTreeMap<String, u64>,
    /// Random faults, by seed.
    pub fault_rates: Option<FaultRates>,
    /// How many calls a mailbox takes in a minute, and how many were made in the present one.
    pub quota: Option<u64>,
    pub minutes: HashMap<String, (i64, u64)>,
    /// How long each call takes, in milliseconds.
    pub latency: u64,
    /// Calls under way, by mailbox, and the most that ever were.
    pub in_flight: HashMap<String, usize>,
    pub most_in_flight: usize,
    /// The most items of a page of changes.
    pub page: usize,
    /// The longest life of a subscription, in minutes.
    pub longest: i64,
    /// Whether the client's secret has expired.
    pub is_secret_expired: bool,
    /// Who was told of something by mail, each time.
    pub mails: Vec<String>,
    /// How many lists of changes were begun.
    pub deltas: u64,
    /// Counts every change: etags and delta tokens are made of it.
    pub version: u64,
}

/// Somebody with a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub email: String,
    pub name: String,
    pub tenant: String,
    pub object: String,
    /// By Windows' name.
    pub time_zone: String,
    /// Whether only an administrator may consent.
    pub needs_admin: bool,
    /// Their own calendars and those that others share with them, in order: the id, and whether they may edit.
    pub list: Vec<(String, bool)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    pub id: String,
    pub name: String,
    /// Whose it is: an address.
    pub owner: String,
    pub is_default: bool,
    pub events: BTreeMap<String, Stored>,
    /// What was removed, and when.
    pub removed: Vec<(u64, String)>,
    /// Delta tokens of before this version are not known any more.
    pub tokens_since: u64,
}

/// A single event, a series, or a changed occurrence, in the zone that it was written in; and when it last changed.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub version: u64,
    pub event: Value,
    /// Of a series: dates whose occurrence does not take place.
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

/// A refresh token: each use gives another, and the one before the last is taken no more.
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

/// What may go wrong by chance.
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
            consented: BTreeSet::new(),
            faults: VecDeque::new(),
            violations: Vec::new(),
            calls: BTreeMap::new(),
            fault_rates: None,
            quota: None,
            minutes: HashMap::new(),
            latency: 0,
            in_flight: HashMap::new(),
            most_in_flight: 0,
            page: 100,
            longest: 10_080,
            is_secret_expired: false,
            mails: Vec::new(),
            deltas: 0,
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

    /// Takes the first fault that is meant for this method, or one that the fault_rates brings.
    pub fn fault(&mut self, method: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|fault| {
            fault
                .method
                .as_deref()
                .is_none_or(|wanted| method == wanted)
        });
        let conditional = ["events.update", "events.delete"].contains(&method);
        at.and_then(|at| self.faults.remove(at)).or_else(|| {
            self.fault_rates
                .as_mut()?
                .fault(method, &KINDS, conditional)
        })
    }

    /// Counts a call about a mailbox; when it is one too many for this minute, how many seconds are left of that.
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
