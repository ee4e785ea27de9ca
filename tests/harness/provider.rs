//! The other side of a calendar: a provider, and somebody who has an account there. What every provider has to be good for
//! is written for this trait and run for each of them (`journeys/conformance.rs`, `simulations/both_ways.rs`); another
//! provider joins by implementing it.

use local::stack::Options;
use reqwest::StatusCode;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::providers::CalendarProvider;

/// An event as the other side has it.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteSnapshot {
    pub id: String,
    pub title: String,
    pub location: String,
    pub is_series: bool,
    /// RFC 3339 without an offset, in Berlin; a date when it is all-day.
    pub start: String,
    /// As the provider writes it.
    pub raw: Value,
}

/// What is changed of an event over there.
#[derive(Clone, Debug)]
pub enum EventChange<'a> {
    Title(&'a str),
    Location(&'a str),
    Description(&'a str),
    /// Start and end in Berlin: `2027-01-04T09:00:00`, or dates.
    Times(&'a str, &'a str),
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug)]
pub enum InjectedFault {
    Broken,
    /// It is carried out, and the answer is lost.
    Lost,
    Throttled,
    /// Carried out, and then answered as if there had been too many.
    ThrottledAfter,
    Conflict,
    Forbidden,
}

/// What follows no redirect, to show where it leads.
pub fn browser() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

/// A provider and somebody who has an account there.
pub trait ProviderHarness: Sized + Sync {
    const PATH: &'static str;
    /// Where the consent page's form goes.
    const CONSENT: &'static str;
    const EMAIL: &'static str;
    /// What people call the provider.
    const NAME: &'static str;
    /// Calls that a sync makes when nothing has changed.
    const CALLS_AT_REST: usize;

    async fn at(clock: Clock) -> Self;
    /// Makes the sandbox known to a backend.
    fn attach(&self, options: &mut Options);
    fn url(&self) -> &str;
    fn client(&self) -> &reqwest::Client;
    /// A new token of the person's own, as one lasts an hour and ends with all others when it is taken back.
    async fn sign_in(&mut self);
    /// The person's own calendar.
    fn primary(&self) -> String;
    /// Another person with an account.
    async fn add_person(&self, email: &str);
    /// The scope without which nothing can be synced.
    fn needed_scope() -> &'static str;
    /// A new event, which repeats by a rule where there is one.
    async fn insert(&self, title: &str, start: &str, end: &str, rule: Option<&str>) -> String;
    /// Somebody else invites the person.
    async fn invite(&self, title: &str, start: &str, end: &str) -> String;
    /// What the person has answered to an invitation, as the provider says it.
    async fn answer(&self, id: &str) -> String;
    async fn change(&self, id: &str, what: EventChange<'_>) -> StatusCode;
    async fn remove(&self, id: &str) -> StatusCode;
    /// The id of the occurrence that a rule places at a wall-clock time in Berlin.
    fn occurrence(series: &str, start: &str) -> String;
    /// Events, series and changed occurrences of the own calendar.
    async fn all(&self) -> Vec<RemoteSnapshot>;
    /// How many events and occurrences take place in January 2027.
    async fn in_january(&self) -> usize;
    /// What the provider calls one of `changes`, `insert`, `update`, `delete`, `read`, `watch`, `stop`, `token`.
    fn method(name: &str) -> &'static str;
    fn fault(name: &str, trouble: InjectedFault) -> Value;
    /// The provider as our own code calls it, as the person themselves.
    fn session(&self) -> Box<dyn CalendarProvider>;

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

    /// Follows the consent page as the person's browser does; answers with where it is sent back to.
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

    /// How often each method was called by clients, what strayed from the contract, how many channels are open, who got mail,
    /// how many notifications are on their way.
    async fn report(&self) -> Value {
        let report = self
            .client()
            .get(format!("{}/sandbox/{}/report", self.url(), Self::PATH));
        serde_json::from_str(&report.send().await.unwrap().text().await.unwrap()).unwrap()
    }

    /// Waits until each notification has been taken.
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

    /// How often a method was called.
    async fn calls(&self, name: &str) -> u64 {
        let calls = self.report().await["calls"].clone();
        calls
            .get(name)
            .unwrap_or(&calls[Self::method(name)])
            .as_u64()
            .unwrap_or(0)
    }

    async fn faults(&self, name: &str, trouble: InjectedFault) {
        self.control("faults", json!([Self::fault(name, trouble)]))
            .await;
    }

    /// The titles of what is there, in order.
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

/// A token of a sandbox that stands in a text: how it begins, and then more letters and digits of its kind than chance gives.
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

/// A form as a browser sends it.
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
