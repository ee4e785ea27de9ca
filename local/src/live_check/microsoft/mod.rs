//! What Calweave assumes about Microsoft (`docs/microsoft.md`, `shared/providers/src/microsoft`).

mod account;
mod delta;
mod details;
mod events;
mod exceptions;
mod series;
mod subscriptions;

use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::report::{Findings, Interruption, conclude};
use super::sign_in::{OAuthUrls, SignIn, SignedIn};
use super::wire::{Call, Reply, below, with};
use super::{Setup, WorkCalendars, random_id};

/// The scopes of the backend. They suffice to create and remove calendars.
const SCOPES: [&str; 7] = [
    "openid",
    "profile",
    "email",
    "offline_access",
    "User.Read",
    "Calendars.ReadWrite",
    "MailboxSettings.Read",
];
/// The preferences that the backend sends.
const PREFER: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text""#;
/// As [`PREFER`], with HTML bodies.
const PREFER_HTML: &str =
    r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="html""#;
/// As [`PREFER`], with the page size that the backend asks for in lists.
const PREFER_PAGE: &str = r#"IdType="ImmutableId", outlook.timezone="UTC", outlook.body-content-type="text", odata.maxpagesize=200"#;
/// The properties that the backend selects (`shared/providers/src/microsoft/fields.rs`).
const FIELDS: &str = "id,changeKey,iCalUId,type,seriesMasterId,originalStart,occurrenceId,transactionId,subject,body,start,end,\
    isAllDay,originalStartTimeZone,originalEndTimeZone,recurrence,location,locations,showAs,sensitivity,importance,categories,\
    isReminderOn,reminderMinutesBeforeStart,attendees,organizer,isOrganizer,responseStatus,isCancelled,isOnlineMeeting,\
    onlineMeeting,onlineMeetingUrl,webLink";

/// Microsoft, as one account reaches it.
struct Microsoft<'a> {
    setup: &'a Setup,
    urls: MicrosoftUrls,
    signed_in: SignedIn,
    calendars: WorkCalendars,
}

struct MicrosoftUrls {
    api: Url,
    oauth: OAuthUrls,
    keys: Url,
    /// The beginning of the issuer of ID tokens.
    issuer: Url,
}

impl MicrosoftUrls {
    fn new(setup: &Setup) -> Result<Self, String> {
        let login = |path: &str| setup.url("login.microsoftonline.com", path);
        let tenant = &setup.tenant;
        Ok(Self {
            api: setup.url("graph.microsoft.com", "/v1.0")?,
            oauth: OAuthUrls {
                authorize: login(&format!("/{tenant}/oauth2/v2.0/authorize"))?,
                token: login(&format!("/{tenant}/oauth2/v2.0/token"))?,
                consent: login("/sandbox/microsoft/consent")?,
            },
            keys: login(&format!("/{tenant}/discovery/v2.0/keys"))?,
            issuer: login("/")?,
        })
    }
}

/// Signs in, checks the assumptions, and removes what was created.
pub(super) async fn run(setup: &Setup, findings: &mut Findings) -> Result<(), String> {
    let urls = MicrosoftUrls::new(setup)?;
    let sign_in = SignIn {
        setup,
        urls: &urls.oauth,
        scopes: &SCOPES,
        parameters: &[("response_mode", "query"), ("prompt", "select_account")],
        redirect_host: "localhost",
    };
    let signed_in = sign_in.run().await?;
    let mut microsoft = Microsoft {
        setup,
        urls,
        signed_in,
        calendars: WorkCalendars::default(),
    };
    let done = tokio::select! {
        done = microsoft.check(findings) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    microsoft.clean_up().await;
    done
}

impl Microsoft<'_> {
    async fn check(&mut self, findings: &mut Findings) -> Result<(), String> {
        let setup = self.setup;
        for name in &setup.calendar_names {
            self.open_calendar(name).await?;
        }
        let (microsoft, f) = (&*self, findings);
        conclude(account::tokens(microsoft, f).await, f);
        conclude(account::refreshing(microsoft, f).await, f);
        conclude(account::mailbox(microsoft, f).await, f);
        conclude(events::creation(microsoft, f).await, f);
        conclude(events::reading(microsoft, f).await, f);
        conclude(events::versions(microsoft, f).await, f);
        conclude(events::deletions(microsoft, f).await, f);
        conclude(details::times(microsoft, f).await, f);
        conclude(details::fields(microsoft, f).await, f);
        conclude(details::meetings(microsoft, f).await, f);
        conclude(series::rules(microsoft, f).await, f);
        conclude(series::zones(microsoft, f).await, f);
        conclude(series::batches(microsoft, f).await, f);
        conclude(exceptions::reading(microsoft, f).await, f);
        conclude(exceptions::changes(microsoft, f).await, f);
        conclude(delta::rounds(microsoft, f).await, f);
        conclude(delta::changes(microsoft, f).await, f);
        conclude(subscriptions::check(microsoft, f).await, f);
        Ok(())
    }

    /// Creates a calendar to work in.
    async fn open_calendar(&mut self, name: &str) -> Result<(), String> {
        let call = Call::post(self.path(&["me", "calendars"])).json(&json!({ "name": name }));
        let made = self.send(call).await.map_err(Interruption::reason)?;
        self.calendars.add(&made, 201)
    }

    /// Removes the calendars that were created, with all that is in them, and subscriptions that
    /// remain.
    async fn clean_up(&self) {
        if let Err(interruption) = subscriptions::remove_all(self).await {
            let reason = interruption.reason();
            eprintln!("calweave: subscriptions may remain until they expire: {reason}");
        }
        for id in self.calendars.ids() {
            let call = Call::delete(self.path(&["me", "calendars", id]));
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

    /// An address below `/v1.0`.
    fn path(&self, segments: &[&str]) -> Url {
        below(&self.urls.api, segments)
    }

    /// An address below the calendar.
    fn in_calendar(&self, segments: &[&str]) -> Url {
        below(&self.path(&["me", "calendars", self.calendar()]), segments)
    }

    fn event(&self, id: &str) -> Url {
        self.in_calendar(&["events", id])
    }

    async fn send(&self, call: Call) -> Reply {
        self.send_preferring(PREFER, call).await
    }

    /// Sends a request with the headers of the backend and these preferences.
    async fn send_preferring(&self, preferences: &str, call: Call) -> Reply {
        let token = self.signed_in.access_token();
        let call = call
            .header("authorization", format!("Bearer {token}"))
            .header("prefer", preferences)
            .header("client-request-id", uuid());
        self.setup.wire.send(call).await
    }

    async fn get(&self, url: Url) -> Reply {
        self.send(Call::get(url)).await
    }

    /// Reads properties of an event.
    async fn select(&self, id: &str, fields: &str) -> Reply {
        self.send(Call::get(self.event(id)).query("$select", fields))
            .await
    }

    async fn create(&self, body: &Value) -> Reply {
        self.send(Call::post(self.in_calendar(&["events"])).json(body))
            .await
    }

    /// Creates an event that the next checks need.
    async fn make(&self, findings: &mut Findings, body: &Value) -> Reply {
        let made = self.create(body).await?;
        let is_made = made.is(201) && !made.text("id").is_empty();
        findings.need(is_made, &made)?;
        Ok(made)
    }

    async fn patch(&self, id: &str, body: &Value, version: Option<&str>) -> Reply {
        let call = Call::new(Method::PATCH, self.event(id)).if_match(version);
        self.send(call.json(body)).await
    }

    async fn delete(&self, id: &str, version: Option<&str>) -> Reply {
        self.send(Call::delete(self.event(id)).if_match(version))
            .await
    }

    /// Searches the calendar.
    async fn search(&self, filter: &str) -> Reply {
        let call = Call::get(self.in_calendar(&["events"])).query("$filter", filter);
        self.send(call.query("$select", FIELDS)).await
    }

    /// Reads the calendar's view of January 2030.
    async fn view(&self) -> Reply {
        let call = Call::get(self.in_calendar(&["calendarView"]))
            .query("startDateTime", "2030-01-01T00:00:00Z")
            .query("endDateTime", "2030-02-01T00:00:00Z")
            .query("$select", "id,seriesMasterId")
            .query("$top", "500");
        self.send(call).await
    }
}

/// A UUID (RFC 9562, version 4).
fn uuid() -> String {
    let hex = random_id();
    let part = |range| hex.get::<std::ops::Range<usize>>(range).unwrap_or_default();
    format!(
        "{}-{}-4{}-a{}-{}",
        part(0..8),
        part(8..12),
        part(13..16),
        part(17..20),
        part(20..32)
    )
}

/// A time in Berlin, by the Windows name of its zone.
fn berlin(local: &str) -> Value {
    json!({ "dateTime": local, "timeZone": "W. Europe Standard Time" })
}

/// An event from nine to ten o'clock in Berlin on a Monday in January 2030, with more properties.
fn event(title: &str, more: Value) -> Value {
    let (start, end) = (berlin("2030-01-07T09:00:00"), berlin("2030-01-07T10:00:00"));
    with(
        json!({ "subject": title, "start": start, "end": end }),
        more,
    )
}

/// Whether a time is in UTC, and begins with this text.
fn is_utc(time: &Value, text: &str) -> bool {
    let written = time["dateTime"].as_str().unwrap_or_default();
    time["timeZone"] == "UTC" && written.starts_with(text)
}
