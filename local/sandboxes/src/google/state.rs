//! What the sandbox remembers: people, their calendars, what they have granted, and who wants to be told.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use shared::clock::Clock;

use super::SERVICE;
use crate::parts::{Fault, FaultRates};

/// Everything, behind one lock.
#[derive(Debug)]
pub(super) struct State {
    pub clock: Clock,
    /// By `sub`.
    pub people: BTreeMap<String, Person>,
    pub calendars: BTreeMap<String, Calendar>,
    /// By what a client holds: authorisation codes, refresh tokens, access tokens.
    pub codes: HashMap<String, Code>,
    pub grants: HashMap<String, Grant>,
    pub access: HashMap<String, Access>,
    pub channels: BTreeMap<String, Channel>,
    /// Answers to be given in place of the right ones, by method.
    pub faults: VecDeque<Fault>,
    /// Where a request or an answer was not what Google describes.
    pub violations: Vec<String>,
    /// How often each method was called.
    pub calls: BTreeMap<String, u64>,
    /// Random faults, by seed.
    pub fault_rates: Option<FaultRates>,
    /// How many calls a person may make in a minute, and how many were made in the present one.
    pub quota: Option<u64>,
    pub minutes: HashMap<String, (i64, u64)>,
    /// The most items of a page of events: Google's pages may be as short as it likes.
    pub page: usize,
    /// Who was told of a change by mail, each time.
    pub mails: Vec<String>,
    /// Counts every change of every calendar: etags and sync tokens are made of it.
    pub version: u64,
}

/// Somebody with a Google account.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub sub: String,
    pub email: String,
    pub name: String,
    pub time_zone: String,
    /// Calendars as this person's list shows them: access role, colour, hidden, deleted.
    pub list: BTreeMap<String, Map<String, Value>>,
    /// Scopes once granted, by client: Google hands out a refresh token at the first consent only.
    pub consented: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Calendar {
    pub id: String,
    pub summary: String,
    pub time_zone: String,
    pub events: BTreeMap<String, Stored>,
    /// Sync tokens of before this version have expired.
    pub tokens_since: u64,
    /// Whether `events.watch` is refused, as for calendars of holidays.
    pub unwatchable: bool,
}

/// An event as it is answered, and when it last changed.
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

/// What may go wrong by chance.
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
    /// The id of the calendar that this person calls `name`: `primary` is the one named like the account.
    pub fn calendar_id<'a>(&'a self, name: &'a str) -> &'a str {
        if name == "primary" { &self.email } else { name }
    }
}

impl Channel {
    /// What is watched, as Google names it.
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
            faults: VecDeque::new(),
            violations: Vec::new(),
            calls: BTreeMap::new(),
            fault_rates: None,
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

    /// Takes the first fault that is meant for this method, or one that the fault_rates brings.
    pub fn fault(&mut self, method: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|fault| {
            fault
                .method
                .as_deref()
                .is_none_or(|wanted| method.ends_with(wanted))
        });
        let conditional = ["events.update", "events.patch", "events.delete"]
            .iter()
            .any(|wanted| method.ends_with(wanted));
        at.and_then(|at| self.faults.remove(at)).or_else(|| {
            self.fault_rates
                .as_mut()?
                .fault(method, &KINDS, conditional)
        })
    }

    /// Counts a call of a person; true when it is one too many for this minute.
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
