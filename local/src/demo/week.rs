//! The week that the demo begins with: an account of each provider, linked as in a browser, and events of the next seven days
//! in its calendars.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, Utc};
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, Url, redirect};
use serde_json::{Value, json};
use shared::clock::Clock;

use super::{EMAIL, PASSWORD, ZONE};

/// An account of a sandbox.
struct Account<'a> {
    provider: &'static str,
    sandbox: &'a str,
    /// Path of the form of its consent page.
    consent: &'static str,
    email: &'static str,
    events: &'static [Entry],
}

/// An event: the name of its calendar, days from today, start and end, title.
type Entry = (&'static str, u64, &'static str, &'static str, &'static str);

const AT_GOOGLE: [Entry; 8] = [
    ("grace@example.org", 0, "12:30", "13:30", "Lunch with Ada"),
    ("grace@example.org", 2, "17:00", "18:00", "Dentist"),
    ("Team", 1, "10:00", "11:30", "Sprint planning"),
    ("Team", 3, "15:00", "15:30", "Interview: backend engineer"),
    ("Team", 4, "16:00", "17:00", "Retrospective"),
    ("Garden", 5, "09:00", "11:00", "Plant the apple tree"),
    ("Garden", 6, "18:00", "19:30", "Garden club"),
    ("grace@example.org", 6, "11:00", "12:00", "Call home"),
];
const AT_MICROSOFT: [Entry; 6] = [
    ("Calendar", 0, "15:00", "16:00", "Budget review"),
    ("Calendar", 1, "14:00", "14:45", "One-to-one with Alan"),
    ("Calendar", 3, "11:00", "12:00", "Supplier call"),
    ("Project", 2, "10:00", "12:00", "Project workshop"),
    ("Project", 4, "09:30", "10:30", "Release review"),
    ("Project", 5, "13:00", "14:00", "Roadmap notes"),
];

/// Links the sandboxes' accounts to the demo user, connects their calendars and fills them. `api` is the address of the API.
///
/// # Errors
/// Returns the response that is not the expected one.
pub async fn fill(api: &str, google: &str, microsoft: &str) -> Result<(), String> {
    let browser = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .map_err(|error| error.to_string())?;
    let mut demo = Demo {
        browser,
        api,
        token: String::new(),
    };
    let credentials = json!({ "email": EMAIL, "password": PASSWORD });
    let tokens = demo.post("/auth/login", &credentials).await?;
    demo.token = text(&tokens["accessToken"]);
    let accounts = [
        Account {
            provider: "google",
            sandbox: google,
            consent: "/o/oauth2/v2/consent",
            email: "grace@example.org",
            events: &AT_GOOGLE,
        },
        Account {
            provider: "microsoft",
            sandbox: microsoft,
            consent: "/sandbox/microsoft/consent",
            email: "grace@contoso.test",
            events: &AT_MICROSOFT,
        },
    ];
    for account in accounts {
        let calendars = demo.link(&account).await?;
        for entry in account.events {
            demo.add(&calendars, entry).await?;
        }
    }
    Ok(())
}

struct Demo<'a> {
    browser: Client,
    api: &'a str,
    token: String,
}

impl Demo<'_> {
    /// Links an account, and connects all its calendars. Returns their ids by their names.
    async fn link(&self, account: &Account<'_>) -> Result<BTreeMap<String, String>, String> {
        let provider = account.provider;
        let url = format!("{}/api/v1/calendar/oauth/{provider}/login", self.api);
        let login = self.browser.get(url).bearer_auth(&self.token);
        let login = login.send().await.map_err(|error| error.to_string())?;
        let cookie = header(&login, SET_COOKIE.as_str())?;
        let login = value(login).await?;
        let consent = Url::parse(&text(&login["authUrl"])).map_err(|error| error.to_string())?;
        let form = form(&consent, account.email);
        let request = self
            .browser
            .post(format!("{}{}", account.sandbox, account.consent));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let consent = request.body(form).send().await;
        let callback = header(
            &consent.map_err(|error| error.to_string())?,
            LOCATION.as_str(),
        )?;
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        let back = self
            .browser
            .get(callback)
            .header(COOKIE, cookie)
            .send()
            .await;
        let page = header(&back.map_err(|error| error.to_string())?, LOCATION.as_str())?;
        let page = Url::parse(&page).map_err(|error| error.to_string())?;
        let mut parameters = page.query_pairs();
        let session = parameters.find(|(name, _)| name == "session");
        let session = session
            .ok_or_else(|| format!("{provider} is not linked: {page}"))?
            .1;
        let offered = self
            .get(&format!("/calendar/oauth/session/{session}"))
            .await?;
        let offered = offered["calendars"].as_array().cloned().unwrap_or_default();
        let ids: Vec<String> = offered.iter().map(|one| text(&one["id"])).collect();
        let choice = json!({ "sessionId": session, "selectedCalendarIds": ids });
        let path = format!("/calendar/oauth/{provider}/select");
        let selected = self.post(&path, &choice).await?;
        let calendars = selected["calendars"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let named = calendars
            .iter()
            .map(|one| (text(&one["name"]), text(&one["id"])));
        Ok(named.collect())
    }

    async fn add(&self, calendars: &BTreeMap<String, String>, entry: &Entry) -> Result<(), String> {
        let (calendar, day, start, end, title) = *entry;
        let now: DateTime<Utc> = Clock::System.now();
        let today = now.with_timezone(&ZONE).date_naive();
        let date = today.checked_add_days(Days::new(day)).unwrap_or(today);
        let event = json!({
            "calendarId": calendars.get(calendar),
            "title": title,
            "startTime": format!("{date}T{start}:00"),
            "endTime": format!("{date}T{end}:00"),
            "timezone": ZONE.name(),
        });
        self.post("/calendar/events?wait=0", &event).await.map(drop)
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let request = self.browser.get(format!("{}/api/v1{path}", self.api));
        let answer = request.bearer_auth(&self.token).send().await;
        value(answer.map_err(|error| error.to_string())?).await
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.browser.post(format!("{}/api/v1{path}", self.api));
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = request.bearer_auth(&self.token).body(body.to_string());
        value(request.send().await.map_err(|error| error.to_string())?).await
    }
}

/// Returns the form of a consent page with all scopes granted.
fn form(consent: &Url, email: &str) -> String {
    let mut form = consent.clone();
    form.set_query(None);
    let scopes = consent.query_pairs().filter(|(name, _)| name == "scope");
    let scopes: Vec<String> = scopes
        .flat_map(|(_, list)| list.split(' ').map(str::to_owned).collect::<Vec<_>>())
        .collect();
    form.query_pairs_mut()
        .extend_pairs(consent.query_pairs())
        .append_pair("email", email)
        .append_pair("answer", "allow")
        .extend_pairs(scopes.iter().map(|scope| ("granted", scope)));
    form.query().unwrap_or_default().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn header(answer: &Response, name: &str) -> Result<String, String> {
    let value = answer
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok());
    let missing = || {
        format!(
            "{} answers {} without {name}",
            answer.url(),
            answer.status()
        )
    };
    value.map(str::to_owned).ok_or_else(missing)
}

/// Returns the body of a successful response.
async fn value(answer: Response) -> Result<Value, String> {
    let (url, status) = (answer.url().clone(), answer.status());
    let body = answer.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("{url} answers {status}: {body}"));
    }
    serde_json::from_str(&body).map_err(|error| format!("{url} answers {body:?}: {error}"))
}
