//! What the sandbox remembers: people, their calendars, what they have granted, and who wants to be told.

use std::collections::{BTreeMap, HashMap, VecDeque};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use shared::clock::Clock;

use super::SERVICE;

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
    pub weather: Option<Weather>,
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

/// Faults that come by chance, the same ones from the same seed.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Weather {
    seed: u64,
    /// One of so many calls meets one.
    one_in: u64,
}

impl Weather {
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    fn fault(&mut self, method: &str) -> Option<Fault> {
        if self.below(self.one_in) > 0 {
            return None;
        }
        let kinds = [
            (500, "backendError"),
            (503, "backendError"),
            (403, "rateLimitExceeded"),
            (403, "userRateLimitExceeded"),
            (429, "rateLimitExceeded"),
            (401, "authError"),
            (412, "conditionNotMet"),
        ];
        let (status, reason) = kinds[usize::try_from(self.below(kinds.len() as u64)).unwrap_or(0)];
        // A condition fails only where there is one; nobody is unauthorised to ask for a token.
        let has_condition = ["events.update", "events.patch", "events.delete"].iter().any(|wanted| method.ends_with(wanted));
        let (status, reason) = match status {
            412 if !has_condition => (503, "backendError"),
            401 if method == "token" => (503, "backendError"),
            _ => (status, reason),
        };
        // Refused before anything was done, or done and the answer lost.
        let after = status >= 500 && self.below(2) == 0;
        Some(Fault { method: None, status, reason: reason.to_owned(), retry_after: None, after })
    }
}

/// One answer in place of the right one.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fault {
    /// `events.list`; every method without.
    #[serde(default)]
    pub method: Option<String>,
    pub status: u16,
    pub reason: String,
    #[serde(default)]
    pub retry_after: Option<u64>,
    /// Carry the request out all the same: only the answer is lost.
    #[serde(default)]
    pub after: bool,
}

impl Person {
    /// The id of the calendar that this person calls `name`: `primary` is the one named like the account.
    pub fn calendar_id<'a>(&'a self, name: &'a str) -> &'a str {
        if name == "primary" { &self.email } else { name }
    }
}

impl Channel {
    /// What is watched, as Google names it.
    pub fn resource_uri(&self, google: &str) -> String {
        format!("{google}{SERVICE}calendars/{}/events?alt=json", self.calendar)
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
            weather: None,
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
        self.people.values().find(|person| person.email.eq_ignore_ascii_case(email))
    }

    /// Takes the first fault that is meant for this method, or one that the weather brings.
    pub fn fault(&mut self, method: &str) -> Option<Fault> {
        let at = self.faults.iter().position(|fault| fault.method.as_deref().is_none_or(|wanted| method.ends_with(wanted)));
        at.and_then(|at| self.faults.remove(at)).or_else(|| self.weather.as_mut()?.fault(method))
    }

    /// Counts a call of a person; true when it is one too many for this minute.
    pub fn is_over_quota(&mut self, sub: &str) -> bool {
        let Some(quota) = self.quota else { return false };
        let minute = self.now().timestamp() / 60;
        let counted = self.minutes.entry(sub.to_owned()).or_insert((minute, 0));
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 += 1;
        counted.1 > quota
    }
}
