//! A Google for tests: the sandbox, a person with an account there, and that person's browser.

use local::google::{Contract, Google};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use shared::clock::Clock;

/// A sandbox with one person in it, and that person's browser.
pub struct Sandbox {
    pub url: String,
    pub client: reqwest::Client,
    pub token: String,
}

pub const EMAIL: &str = "grace@example.org";

impl Sandbox {
    pub async fn new() -> Self {
        Self::at(Clock::System).await
    }

    pub async fn at(clock: Clock) -> Self {
        let contract =
            crate::data::folder().map(|folder| std::fs::read_to_string(folder.join("contracts/google-calendar.v3.json")).unwrap());
        let (google, _) = Google::start(clock, contract.map(|text| Contract::parse(&text).unwrap())).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut sandbox = Self { url: google.url.clone(), client, token: String::new() };
        sandbox.control("people", json!({ "email": EMAIL, "name": "Grace", "timeZone": "Europe/Berlin" })).await;
        sandbox.sign_in().await;
        sandbox
    }

    /// A new token of the person's own, as one lasts an hour and ends with all others when it is taken back.
    pub async fn sign_in(&mut self) {
        let token = self.control("token", json!({ "email": EMAIL })).await;
        token["accessToken"].as_str().unwrap().clone_into(&mut self.token);
    }

    pub async fn control(&self, what: &str, body: Value) -> Value {
        let request = self.client.post(format!("{}/sandbox/google/{what}", self.url)).header("content-type", "application/json");
        let text = request.body(body.to_string()).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub async fn call(&self, method: Method, path: &str, if_match: Option<&str>, body: Option<Value>) -> (StatusCode, Value) {
        let mut request = self.client.request(method, format!("{}/calendar/v3/{path}", self.url)).bearer_auth(&self.token);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn insert(&self, id: &str, hour: u32) -> (StatusCode, Value) {
        let time = |hour| json!({ "dateTime": format!("2026-03-02T{hour:02}:00:00+01:00"), "timeZone": "Europe/Berlin" });
        let body = json!({ "id": id, "summary": id, "start": time(hour), "end": time(hour + 1) });
        self.call(Method::POST, "calendars/primary/events?sendUpdates=none", None, Some(body)).await
    }

    /// How often each method was called by clients, what strayed from the contract, how many channels are open, who got mail.
    pub async fn report(&self) -> Value {
        let report = self.client.get(format!("{}/sandbox/google/report", self.url)).send().await.unwrap().text().await.unwrap();
        serde_json::from_str(&report).unwrap()
    }

    pub async fn violations(&self) -> Vec<Value> {
        self.report().await["violations"].as_array().unwrap().clone()
    }

    /// How often a method was called.
    pub async fn calls(&self, method: &str) -> u64 {
        self.report().await["calls"][method].as_u64().unwrap_or(0)
    }

    /// Follows the consent page as the person's browser does: answers with where it is sent back to.
    pub async fn consent(&self, auth_url: &str, email: &str, answer: &str, unticked: &[&str]) -> String {
        let page = self.client.get(auth_url).send().await.unwrap();
        assert_eq!(page.status(), 200, "the consent page");
        let url = reqwest::Url::parse(auth_url).unwrap();
        let mut form = reqwest::Url::parse("http://localhost/").unwrap();
        {
            let mut pairs = form.query_pairs_mut();
            pairs.extend_pairs(url.query_pairs());
            pairs.append_pair("email", email).append_pair("answer", answer);
            for (_, scopes) in url.query_pairs().filter(|(name, _)| name == "scope") {
                for scope in scopes.split(' ').filter(|scope| !unticked.contains(scope)) {
                    pairs.append_pair("granted", scope);
                }
            }
        }
        let request = self.client.post(format!("{}/o/oauth2/v2/consent", self.url));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.query().unwrap().to_owned());
        let answer = request.send().await.unwrap();
        answer.headers()["location"].to_str().unwrap().to_owned()
    }
}

pub fn reason(body: &Value) -> &str {
    body["error"]["errors"][0]["reason"].as_str().unwrap_or_default()
}
