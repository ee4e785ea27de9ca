//! The state of the sandbox: users, calendars, grants and push channels.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use shared::clock::Clock;

use super::SERVICE;
use crate::parts::{CallBudget, Fault, FaultRates, take_fault};

/// The whole state, behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub clock: Clock,
    /// By `sub`.
    pub people: BTreeMap<String, Person>,
    /// By id.
    pub calendars: BTreeMap<String, Calendar>,
    /// By authorisation code.
    pub codes: HashMap<String, Code>,
    /// By refresh token.
    pub grants: HashMap<String, Grant>,
    /// By access token.
    pub access: HashMap<String, Access>,
    /// By channel id.
    pub channels: BTreeMap<String, Channel>,
    /// The ids of events that are returned without their times.
    pub garbled: BTreeSet<String>,
    /// Queued faults.
    pub faults: VecDeque<Fault>,
    /// Requests and responses that do not conform to Google's discovery document.
    pub violations: Vec<String>,
    /// How often each method was called.
    pub calls: BTreeMap<String, u64>,
    /// Random faults, if enabled.
    pub fault_rates: Option<FaultRates>,
    /// The number of calls that still get a response.
    pub budget: CallBudget,
    /// The maximum number of calls per user and minute.
    pub quota: Option<u64>,
    /// By `sub`: the last minute with a call (since the Unix epoch), and the calls in that minute.
    pub minutes: HashMap<String, (i64, u64)>,
    /// The maximum number of events on a page, regardless of `maxResults`. Google can return short
    /// pages too.
    pub page: usize,
    /// The recipients of all mails sent.
    pub mails: Vec<String>,
    /// Incremented by every change of any calendar; ETags and sync tokens derive from it.
    pub version: u64,
}

/// A user with a Google account.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub sub: String,
    pub email: String,
    pub name: String,
    pub time_zone: String,
    /// The entries of this user's calendar list, by calendar id: access role, colours, hidden,
    /// deleted.
    pub list: BTreeMap<String, Map<String, Value>>,
    /// Granted scopes, by client. Google issues a refresh token only at the first consent.
    pub consented: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    pub id: String,
    pub summary: String,
    pub time_zone: String,
    pub events: BTreeMap<String, Stored>,
    /// Sync tokens older than this version have expired.
    pub tokens_since: u64,
    /// Whether `events.watch` is refused, as for holiday calendars.
    pub unwatchable: bool,
}

/// An event as responses contain it, and the version of its last change.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub version: u64,
    pub event: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Code {
    pub grant: Grant,
    pub redirect_uri: String,
    pub challenge: Option<String>,
    pub nonce: Option<String>,
    pub offline: bool,
    pub expires: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub sub: String,
    pub client: String,
    pub scopes: String,
}

#[derive(Clone, Debug)]
pub(super) struct Access {
    pub grant: Grant,
    pub expires: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub id: String,
    pub resource_id: String,
    pub calendar: String,
    pub sub: String,
    pub address: String,
    pub token: Option<String>,
    pub expires: DateTime<Utc>,
    pub messages: u64,
}

/// The random faults.
const KINDS: [(u16, &str); 7] = [
    (503, "backendError"),
    (500, "backendError"),
    (403, "rateLimitExceeded"),
    (403, "userRateLimitExceeded"),
    (429, "rateLimitExceeded"),
    (401, "authError"),
    (412, "conditionNotMet"),
];

impl Person {
    /// Resolves `primary` to the calendar whose id is the account's address; other names are ids.
    pub fn calendar_id<'a>(&'a self, name: &'a str) -> &'a str {
        if name == "primary" { &self.email } else { name }
    }
}

impl Channel {
    /// Returns the URI of the watched resource (`X-Goog-Resource-URI`).
    pub fn resource_uri(&self, google: &str) -> String {
        format!(
            "{google}{SERVICE}calendars/{}/events?alt=json",
            self.calendar
        )
    }
}

impl State {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            people: BTreeMap::new(),
            calendars: BTreeMap::new(),
            codes: HashMap::new(),
            grants: HashMap::new(),
            access: HashMap::new(),
            channels: BTreeMap::new(),
            garbled: BTreeSet::new(),
            faults: VecDeque::new(),
            violations: Vec::new(),
            calls: BTreeMap::new(),
            fault_rates: None,
            budget: CallBudget::default(),
            quota: None,
            minutes: HashMap::new(),
            page: 2_500,
            mails: Vec::new(),
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

    pub fn person_by_email(&self, email: &str) -> Option<&Person> {
        self.people
            .values()
            .find(|person| person.email.eq_ignore_ascii_case(email))
    }

    /// Takes the first queued fault for this method, or else draws a random one.
    pub fn fault(&mut self, method: &str) -> Option<Fault> {
        let queued = take_fault(&mut self.faults, |wanted| method.ends_with(wanted));
        let conditional = ["events.update", "events.patch", "events.delete"]
            .iter()
            .any(|wanted| method.ends_with(wanted));
        queued.or_else(|| {
            self.fault_rates
                .as_mut()?
                .fault(method, &KINDS, conditional)
        })
    }

    /// Counts a call of a user. Returns whether it is over the quota.
    pub fn is_over_quota(&mut self, sub: &str) -> bool {
        let Some(quota) = self.quota else {
            return false;
        };
        let minute = self.now().timestamp() / 60;
        let counted = self.minutes.entry(sub.to_owned()).or_insert((minute, 0));
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        counted.1 > quota
    }
}
