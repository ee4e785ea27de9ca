//! The provider side of a calendar: a sandbox, and a user with an account there. The conformance tests (`conformance`)
//! and simulations (`simulations/both_ways.rs`) are generic over this trait, and run for each provider that implements
//! it.

use local::stack::Options;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::providers::CalendarProvider;

/// An event as stored at the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSnapshot {
    pub id: String,
    pub title: String,
    pub location: String,
    pub is_series: bool,
    /// The local time in Berlin, as RFC 3339 without an offset; a date for an all-day event.
    pub start: String,
    /// The provider's resource.
    pub raw: Value,
}

/// A change of an event at the provider.
#[derive(Clone, Debug)]
pub enum EventChange<'a> {
    Title(&'a str),
    Location(&'a str),
    Description(&'a str),
    /// Start and end, as local times in Berlin such as `2027-01-04T09:00:00`, or as dates.
    Times(&'a str, &'a str),
}

/// How a call fails.
#[derive(Clone, Copy, Debug)]
pub enum InjectedFault {
    Broken,
    /// The request is processed, and its response is lost (500).
    Lost,
    Throttled,
    /// The request is processed, and then answered as throttled.
    ThrottledAfter,
    Conflict,
    Forbidden,
    /// The access token is rejected.
    Rejected,
}

/// Returns an HTTP client that does not follow redirects, so that tests can read their targets.
pub fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// The sandbox of a provider, and a user with an account there.
pub trait ProviderHarness: Sized + Sync {
    /// The provider's name in paths.
    const PATH: &'static str;
    /// The path to which the consent page's form is posted.
    const CONSENT: &'static str;
    /// The user's email address.
    const EMAIL: &'static str;
    /// The provider's display name.
    const NAME: &'static str;
    /// The number of provider calls of a sync without changes.
    const CALLS_AT_REST: usize;
    /// The control that has the rounds of a calendar's changes never end; `None` if the provider's rounds always do.
    const ENDLESS_ROUNDS: Option<&'static str>;

    /// Starts a sandbox with this clock, and signs the user in.
    async fn at(clock: Clock) -> Self;
    /// Configures a backend to use this sandbox.
    fn attach(&self, options: &mut Options);
    fn url(&self) -> &str;
    fn client(&self) -> &reqwest::Client;
    /// Renews the user's own token, which expires after an hour and is revoked with the user's grants.
    async fn sign_in(&mut self);
    /// Returns the remote id of the user's primary calendar.
    fn primary(&self) -> String;
    /// Adds another account.
    async fn add_person(&self, email: &str);
    /// Returns the scope that syncing requires.
    fn needed_scope() -> &'static str;
    /// Creates an event, or a series if there is a rule. Returns its remote id.
    async fn insert(&self, title: &str, start: &str, end: &str, rule: Option<&str>) -> String;
    /// Adds an invitation of another organizer to the primary calendar. Returns its remote id.
    async fn invite(&self, title: &str, start: &str, end: &str) -> String;
    /// Returns the user's response to an invitation, in the provider's terms.
    async fn answer(&self, id: &str) -> String;
    async fn change(&self, id: &str, what: EventChange<'_>) -> StatusCode;
    async fn remove(&self, id: &str) -> StatusCode;
    /// Moves an event that is no series between two calendars.
    async fn relocate(&self, id: &str, from: &str, to: &str) -> StatusCode;
    /// Returns the remote id of the occurrence with this original start, a local time in Berlin.
    fn occurrence(series: &str, start: &str) -> String;
    /// Returns the events, series and overrides of the primary calendar.
    async fn all(&self) -> Vec<RemoteSnapshot>;
    /// Returns the number of events and occurrences in January 2027.
    async fn in_january(&self) -> usize;
    /// Returns the sandbox's method name for `changes`, `insert`, `update`, `delete`, `read`, `watch`, `stop` or
    /// `token`.
    fn method(name: &str) -> &'static str;
    /// Returns the body of the `faults` control for a method, named as in [`method`](Self::method).
    fn fault(name: &str, trouble: InjectedFault) -> Value;
    /// Returns a session of the backend's own provider client, with the user's token.
    fn session(&self) -> Box<dyn CalendarProvider>;

    /// Calls a control endpoint of the sandbox. Returns its response, or null without one.
    async fn control(&self, what: &str, body: Value) -> Value {
        let request = self
            .client()
            .post(format!("{}/sandbox/{}/{what}", self.url(), Self::PATH))
            .header("content-type", "application/json");
        let text = request
            .body(body.to_string())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    async fn add_calendar(&self, name: &str) -> String {
        self.control(
            "calendars",
            json!({ "owner": Self::EMAIL, "summary": name }),
        )
        .await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Submits the consent page as a browser does, without the `unticked` scopes. Returns the target of the redirect.
    async fn consent(
        &self,
        auth_url: &str,
        email: &str,
        answer: &str,
        unticked: &[&str],
    ) -> String {
        assert_eq!(
            self.client().get(auth_url).send().await.unwrap().status(),
            200,
            "the consent page"
        );
        let request = self
            .client()
            .post(format!("{}{}", self.url(), Self::CONSENT));
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form(auth_url, email, answer, unticked));
        request.send().await.unwrap().headers()["location"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// Returns the sandbox's report: calls by method, contract violations, open channels, mails, notifications in
    /// flight.
    async fn report(&self) -> Value {
        let report = self
            .client()
            .get(format!("{}/sandbox/{}/report", self.url(), Self::PATH));
        serde_json::from_str(&report.send().await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Waits until all notifications are delivered.
    async fn delivered(&self) {
        while self.report().await["underWay"] != 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn violations(&self) -> Vec<Value> {
        self.report().await["violations"]
            .as_array()
            .unwrap()
            .clone()
    }

    /// Returns how often a method was called; the name is one of [`method`](Self::method) or the sandbox's own.
    async fn calls(&self, name: &str) -> u64 {
        let calls = self.report().await["calls"].clone();
        calls
            .get(name)
            .unwrap_or(&calls[Self::method(name)])
            .as_u64()
            .unwrap_or(0)
    }

    async fn faults(&self, name: &str, trouble: InjectedFault) {
        // A read is sent four times before its failure counts.
        let is_read = ["changes", "read"].contains(&name);
        let is_repeated = matches!(trouble, InjectedFault::Broken | InjectedFault::Lost);
        let times = if is_read && is_repeated { 4 } else { 1 };
        let faults: Vec<Value> = (0..times).map(|_| Self::fault(name, trouble)).collect();
        self.control("faults", faults.into()).await;
    }

    /// Returns the titles of all events, sorted.
    async fn titles(&self) -> Vec<String> {
        let mut titles: Vec<String> = self
            .all()
            .await
            .into_iter()
            .map(|event| event.title)
            .collect();
        titles.sort();
        titles
    }

    async fn read(&self, id: &str) -> RemoteSnapshot {
        self.all()
            .await
            .into_iter()
            .find(|event| event.id == id)
            .unwrap_or_else(|| panic!("{id} is not there"))
    }
}

/// Finds a token of a sandbox in a text: its prefix, followed by 40 characters of its alphabet.
pub fn token_in(text: &str) -> Option<&str> {
    let starts = ["ya29.", "1//", "EwB.", "M.C5_"];
    starts
        .iter()
        .flat_map(|start| text.match_indices(start))
        .find_map(|(at, start)| {
            let token = text.get(at..at + start.len() + 40)?;
            token[start.len()..]
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'))
                .then_some(token)
        })
}

/// Encodes the consent form as a browser does.
fn form(auth_url: &str, email: &str, answer: &str, unticked: &[&str]) -> String {
    let url = reqwest::Url::parse(auth_url).unwrap();
    let mut form = reqwest::Url::parse("http://localhost/").unwrap();
    {
        let mut pairs = form.query_pairs_mut();
        pairs.extend_pairs(url.query_pairs());
        pairs
            .append_pair("email", email)
            .append_pair("answer", answer);
        for (_, scopes) in url.query_pairs().filter(|(name, _)| name == "scope") {
            for scope in scopes.split(' ').filter(|scope| !unticked.contains(scope)) {
                pairs.append_pair("granted", scope);
            }
        }
    }
    form.query().unwrap().to_owned()
}
