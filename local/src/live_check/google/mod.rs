//! What Calweave assumes about Google (`docs/google.md`, `shared/providers/src/google`).

mod account;
mod channels;
mod details;
mod events;
mod series;
mod sync;

use chrono::{DateTime, Utc};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::report::{Findings, Interruption, conclude};
use super::sign_in::{OAuthUrls, SignIn, SignedIn};
use super::wire::{Call, Reply, below, with};
use super::{Setup, WorkCalendars};

/// The scopes of the backend, and one with which calendars can be created and removed.
const SCOPES: [&str; 6] = [
    "openid",
    "email",
    "profile",
    "https://www.googleapis.com/auth/calendar.events",
    "https://www.googleapis.com/auth/calendar.calendarlist.readonly",
    "https://www.googleapis.com/auth/calendar.app.created",
];

/// Google, as one account reaches it.
struct Google<'a> {
    setup: &'a Setup,
    urls: GoogleUrls,
    signed_in: SignedIn,
    calendars: WorkCalendars,
}

struct GoogleUrls {
    api: Url,
    oauth: OAuthUrls,
    keys: Url,
    userinfo: Url,
    revoke: Url,
}

impl GoogleUrls {
    fn new(setup: &Setup) -> Result<Self, String> {
        Ok(Self {
            api: setup.url("www.googleapis.com", "/calendar/v3")?,
            oauth: OAuthUrls {
                authorize: setup.url("accounts.google.com", "/o/oauth2/v2/auth")?,
                token: setup.url("oauth2.googleapis.com", "/token")?,
                consent: setup.url("accounts.google.com", "/o/oauth2/v2/consent")?,
            },
            keys: setup.url("www.googleapis.com", "/oauth2/v3/certs")?,
            userinfo: setup.url("openidconnect.googleapis.com", "/v1/userinfo")?,
            revoke: setup.url("oauth2.googleapis.com", "/revoke")?,
        })
    }
}

/// Signs in, checks the assumptions, and removes what was created.
pub(super) async fn run(setup: &Setup, findings: &mut Findings) -> Result<(), String> {
    let urls = GoogleUrls::new(setup)?;
    let sign_in = SignIn {
        setup,
        urls: &urls.oauth,
        scopes: &SCOPES,
        parameters: &[
            ("access_type", "offline"),
            ("prompt", "consent select_account"),
        ],
        redirect_host: "127.0.0.1",
    };
    let signed_in = sign_in.run().await?;
    let mut google = Google {
        setup,
        urls,
        signed_in,
        calendars: WorkCalendars::default(),
    };
    let done = tokio::select! {
        done = google.check(findings) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    google.clean_up().await;
    if done.is_ok() {
        conclude(account::revocation(&google, findings).await, findings);
    }
    done
}

impl Google<'_> {
    async fn check(&mut self, findings: &mut Findings) -> Result<(), String> {
        let setup = self.setup;
        for name in &setup.calendar_names {
            self.open_calendar(name).await?;
        }
        let (google, f) = (&*self, findings);
        conclude(account::tokens(google, f).await, f);
        conclude(account::refreshing(google, f).await, f);
        conclude(account::calendars(google, f).await, f);
        conclude(events::ids(google, f).await, f);
        conclude(events::versions(google, f).await, f);
        conclude(events::deletions(google, f).await, f);
        conclude(events::moves(google, f).await, f);
        conclude(details::times(google, f).await, f);
        conclude(details::fields(google, f).await, f);
        conclude(details::attendees(google, f).await, f);
        conclude(details::conferences(google, f).await, f);
        conclude(series::rules(google, f).await, f);
        conclude(series::dates(google, f).await, f);
        conclude(series::exceptions(google, f).await, f);
        conclude(sync::lists(google, f).await, f);
        conclude(sync::changes(google, f).await, f);
        conclude(sync::refusals(google, f).await, f);
        conclude(channels::check(google, f).await, f);
        Ok(())
    }

    /// Creates a calendar to work in.
    async fn open_calendar(&mut self, name: &str) -> Result<(), String> {
        let body = json!({ "summary": name, "timeZone": "Europe/Berlin" });
        let call = Call::post(below(&self.urls.api, &["calendars"])).json(&body);
        let made = self.send(call).await.map_err(Interruption::reason)?;
        self.calendars.add(&made, 200)
    }

    /// Removes the calendars that were created, with all that is in them.
    async fn clean_up(&self) {
        for id in self.calendars.ids() {
            let call = Call::delete(below(&self.urls.api, &["calendars", id]));
            WorkCalendars::note_removal(id, self.send(call).await);
        }
    }

    /// The id of the calendar that most checks work in.
    fn calendar(&self) -> &str {
        self.calendars.id(0)
    }

    /// The id of another calendar.
    fn other_calendar(&self) -> &str {
        self.calendars.id(1)
    }

    fn events(&self) -> Url {
        below(&self.urls.api, &["calendars", self.calendar(), "events"])
    }

    fn event(&self, id: &str) -> Url {
        below(&self.events(), &[id])
    }

    async fn send(&self, call: Call) -> Reply {
        let token = self.signed_in.access_token();
        let call = call.header("authorization", format!("Bearer {token}"));
        self.setup.wire.send(call).await
    }

    async fn get(&self, url: Url) -> Reply {
        self.send(Call::get(url)).await
    }

    async fn insert(&self, body: &Value) -> Reply {
        self.send(quietly(Call::post(self.events())).json(body))
            .await
    }

    /// Creates an event that the next checks need.
    async fn make(&self, findings: &mut Findings, body: &Value) -> Reply {
        let made = self.insert(body).await?;
        let is_made = made.is(200) && !made.text("id").is_empty();
        findings.need(is_made, &made)?;
        Ok(made)
    }

    /// `PUT`: replaces an event.
    async fn update(&self, id: &str, body: &Value, version: Option<&str>) -> Reply {
        let call = Call::new(Method::PUT, self.event(id)).if_match(version);
        self.send(quietly(call).json(body)).await
    }

    async fn patch(&self, id: &str, body: &Value, version: Option<&str>) -> Reply {
        let call = Call::new(Method::PATCH, self.event(id)).if_match(version);
        self.send(quietly(call).json(body)).await
    }

    async fn delete(&self, id: &str, version: Option<&str>) -> Reply {
        let call = Call::delete(self.event(id)).if_match(version);
        self.send(call.query("sendUpdates", "none")).await
    }
}

/// Adds the parameters with which the backend writes. Nobody is notified.
fn quietly(call: Call) -> Call {
    call.query("sendUpdates", "none")
        .query("conferenceDataVersion", "1")
}

/// An event from nine to ten o'clock in Berlin on a Monday in January 2030, with more fields.
fn event(title: &str, more: Value) -> Value {
    let body = json!({
        "summary": title,
        "start": { "dateTime": "2030-01-07T09:00:00+01:00", "timeZone": "Europe/Berlin" },
        "end": { "dateTime": "2030-01-07T10:00:00+01:00", "timeZone": "Europe/Berlin" },
    });
    with(body, more)
}

/// Returns the instant of `{dateTime}`, whatever its offset.
fn instant(time: &Value) -> Option<DateTime<Utc>> {
    at(time["dateTime"].as_str()?)
}

/// Parses an instant (RFC 3339).
fn at(text: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.to_utc())
}
