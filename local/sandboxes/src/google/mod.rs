//! A fake Google: accounts, a consent page, calendars, events, and push notifications. It speaks
//! the wire protocols of Google Calendar API v3 and of Google's OAuth 2.0, and can check requests
//! and responses against the discovery document.
//!
//! Not implemented: sync tokens with `singleEvents`, `acl`, `colors`, `events.import`
//! and `quickAdd`, batches.

mod calendars;
mod contract;
mod control;
mod errors;
mod events;
mod expand;
mod oauth;
mod page;
mod properties;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use shared::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::parts::{
    Deliveries, Fault, SigningKey, Turn, bearer, decoded, garble, query_of, random_id,
};

pub use self::contract::GoogleContract;
use self::errors::Refusal;
use self::events::Query;
use self::state::Channel;

/// The state of the router.
type Shared = Arc<GoogleSandbox>;

/// A running sandbox.
pub struct GoogleSandbox {
    /// The base URL, which replaces all of Google's hosts.
    pub url: String,
    state: Mutex<state::State>,
    key: SigningKey,
    contract: Option<GoogleContract>,
    client: reqwest::Client,
    deliveries: Deliveries,
}

const SERVICE: &str = "/calendar/v3/";
/// The client id of tokens with which tests act as a user (`/sandbox/google/token`).
const OWN_CLIENT: &str = "sandbox";
/// The longest lifetime of a channel, and its default.
const CHANNEL: TimeDelta = TimeDelta::days(7);

impl GoogleSandbox {
    /// Starts the sandbox on a free loopback port. With a contract, violations of it are recorded.
    ///
    /// # Errors
    /// Returns a message if no port can be bound, or if a key or HTTP client cannot be created.
    pub async fn start(
        clock: Clock,
        contract: Option<GoogleContract>,
    ) -> Result<(Arc<Self>, JoinHandle<()>), String> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| error.to_string())?;
        let url = format!(
            "http://{}",
            listener.local_addr().map_err(|error| error.to_string())?
        );
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let client = client.map_err(|error| error.to_string())?;
        let google = Arc::new(Self {
            url,
            state: Mutex::new(state::State::new(clock)),
            key: SigningKey::of_process().map_err(|_| "could not generate a signing key")?,
            contract,
            client,
            deliveries: Deliveries::default(),
        });
        let router = Router::new()
            .route("/o/oauth2/v2/auth", get(oauth::authorize))
            .route("/o/oauth2/v2/consent", post(oauth::consent))
            .route("/token", post(oauth::token))
            .route("/revoke", post(oauth::revoke))
            .route("/oauth2/v3/certs", get(oauth::certs))
            .route("/v1/userinfo", get(oauth::userinfo))
            .route(page::PATH, get(page::show).post(page::act))
            .route("/sandbox/google/people", post(control::person))
            .route("/sandbox/google/calendars", post(control::calendar))
            .route("/sandbox/google/token", post(control::token))
            .route("/sandbox/google/revoke", post(control::revoke))
            .route("/sandbox/google/expire", post(control::expire))
            .route("/sandbox/google/faults", post(control::faults))
            .route("/sandbox/google/silence", post(control::silence))
            .route("/sandbox/google/garble", post(control::garble))
            .route("/sandbox/google/mute", post(control::mute))
            .route("/sandbox/google/fault-rates", post(control::fault_rates))
            .route("/sandbox/google/quota", post(control::quota))
            .route("/sandbox/google/budget", post(control::budget))
            .route("/sandbox/google/hold", post(control::hold))
            .route("/sandbox/google/latency", post(control::latency))
            .route("/sandbox/google/pages", post(control::pages))
            .route("/sandbox/google/forgive", post(control::forgive))
            .route("/sandbox/google/report", get(control::report))
            .fallback(api)
            .with_state(Arc::clone(&google));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the Google sandbox stopped: {error}");
            }
        });
        Ok((google, server))
    }

    /// Adds a user with a primary calendar and the named ones.
    pub fn add_person(&self, email: &str, name: &str, time_zone: &str, calendars: &[&str]) {
        control::add_person(&mut self.state(), email, name, time_zone, calendars);
    }

    /// Adds `count` events of one hour to a user's primary calendar.
    pub fn add_events(&self, email: &str, count: u32) {
        control::add_events(&mut self.state(), email, count);
    }

    /// Renames the first event of a user's primary calendar, and notifies the calendar's channels.
    /// Returns the event's id.
    pub fn rename_first(&self, email: &str, title: &str) -> String {
        let id = control::rename_first(&mut self.state(), email, title);
        self.notify(email);
        id
    }

    /// Returns a channel of a calendar: its id, resource id and token; `None` when there is none.
    pub fn channel_of(&self, calendar: &str) -> Option<(String, String, String)> {
        let state = self.state();
        let channel = state
            .channels
            .values()
            .find(|channel| channel.calendar == calendar)?;
        Some((
            channel.id.clone(),
            channel.resource_id.clone(),
            channel.token.clone().unwrap_or_default(),
        ))
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notifies all channels of a calendar of a change, as Google does: a POST without a body,
    /// which does not name the change.
    fn notify(&self, calendar: &str) {
        let mut state = self.state();
        let now = state.now();
        state.channels.retain(|_, channel| channel.expires > now);
        for channel in state
            .channels
            .values_mut()
            .filter(|channel| channel.calendar == calendar)
        {
            channel.messages += 1;
            self.push(channel, "exists");
        }
    }

    fn push(&self, channel: &Channel, kind: &'static str) {
        let mut request = self
            .client
            .post(&channel.address)
            .header("content-length", "0")
            .header("x-goog-channel-id", &channel.id)
            .header(
                "x-goog-channel-expiration",
                channel
                    .expires
                    .format("%a, %d %b %Y %H:%M:%S GMT")
                    .to_string(),
            )
            .header("x-goog-resource-id", &channel.resource_id)
            .header("x-goog-resource-uri", channel.resource_uri(&self.url))
            .header("x-goog-resource-state", kind)
            .header("x-goog-message-number", channel.messages.to_string());
        if let Some(token) = &channel.token {
            request = request.header("x-goog-channel-token", token);
        }
        self.deliveries.send(request);
    }
}

/// Handles a request to the Calendar API: checks it against the contract, draws its fault, routes
/// it, checks the response.
#[expect(
    clippy::too_many_lines,
    reason = "one request, from parsing to the contract checks"
)]
async fn api(State(google): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(path) = parts.uri.path().strip_prefix(SERVICE).map(str::to_owned) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(body) = to_bytes(body, 1 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body = match (body.is_empty(), serde_json::from_slice::<Value>(&body)) {
        (true, _) => None,
        (false, Ok(body)) => Some(body),
        (false, Err(_)) => return Refusal::new(400, "parseError", "Parse Error").into_response(),
    };
    let query = query_of(parts.uri.query());
    let method = google
        .contract
        .as_ref()
        .and_then(|contract| contract.method(parts.method.as_str(), &path));
    let name = method.map_or_else(
        || format!("{} {path}", parts.method),
        |method| method.id().to_owned(),
    );
    // Faults, quotas and call counts do not apply when a test acts as the user.
    let own = {
        let state = google.state();
        bearer(&parts.headers)
            .and_then(|token| state.holder(token))
            .is_some_and(|(access, _)| access.grant.client == OWN_CLIENT)
    };
    let turn = if own {
        Some(Turn::default())
    } else {
        google.state().budget.take()
    };
    let Some(turn) = turn else {
        return std::future::pending().await;
    };
    let fault = {
        let mut state = google.state();
        if !own {
            *state.calls.entry(name.clone()).or_default() += 1;
        }
        if let (Some(contract), Some(method)) = (&google.contract, method) {
            state
                .violations
                .extend(contract.request(method, &query, body.as_ref()));
        } else if google.contract.is_some() {
            state
                .violations
                .push(format!("Google has no method {name}"));
        }
        if own { None } else { state.fault(&name) }
    };
    let call = Call {
        verb: parts.method.as_str(),
        path: &path,
        query: &query,
        body,
        headers: &parts.headers,
    };
    let refusal = |fault: Fault| Refusal {
        retry_after: fault.retry_after,
        ..Refusal::new(fault.status, &fault.reason, fault.reason.as_str())
    };
    let answer = match fault {
        Some(fault) if !fault.after => Err(refusal(fault)),
        Some(fault) => answer(&google, call, method).and(Err(refusal(fault))),
        None => answer(&google, call, method),
    };
    turn.wait().await;
    match answer {
        Ok(answer) => {
            if let (Some(contract), Some(method)) = (&google.contract, method) {
                let wrong = contract.answer(method, answer.as_ref());
                google.state().violations.extend(wrong);
            }
            match answer {
                Some(mut answer) => {
                    garble(&mut answer, &google.state().garbled);
                    axum::Json(answer).into_response()
                }
                None => StatusCode::NO_CONTENT.into_response(),
            }
        }
        Err(refusal) => refusal.into_response(),
    }
}

struct Call<'a> {
    verb: &'a str,
    path: &'a str,
    query: &'a Query,
    body: Option<Value>,
    headers: &'a HeaderMap,
}

/// Authenticates, authorises and routes a request. Returns the response body, if any.
#[expect(clippy::too_many_lines, reason = "one arm for each route of the API")]
fn answer(
    google: &GoogleSandbox,
    call: Call<'_>,
    method: Option<contract::Method<'_>>,
) -> Result<Option<Value>, Refusal> {
    let invalid = || Refusal::new(401, "authError", "Invalid Credentials");
    let (person, scopes) = {
        let mut state = google.state();
        let (access, person) = bearer(call.headers)
            .and_then(|token| state.holder(token))
            .ok_or_else(invalid)?;
        let (person, scopes, own) = (
            person.clone(),
            access.grant.scopes.clone(),
            access.grant.client == OWN_CLIENT,
        );
        if !own && state.is_over_quota(&person.sub) {
            return Err(Refusal::new(
                403,
                "rateLimitExceeded",
                "Rate Limit Exceeded",
            ));
        }
        (person, scopes)
    };
    if method.is_some_and(|method| !method.allows(&scopes)) {
        return Err(Refusal::new(
            403,
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
        ));
    }
    let parts: Vec<String> = call.path.split('/').map(decoded).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let if_match = call
        .headers
        .get("if-match")
        .and_then(|tag| tag.to_str().ok());
    let body = call.body.unwrap_or(Value::Null);
    let mut state = google.state();
    let (answer, changed) = match (call.verb, parts.as_slice()) {
        ("GET", ["users", "me", "calendarList"]) => (
            Some(control::calendar_list(&state, &person, call.query)),
            vec![],
        ),
        ("GET", ["calendars", calendar, "events"]) if events::flag(call.query, "singleEvents") => (
            Some(expand::single_events(
                &state, &person, calendar, call.query,
            )?),
            vec![],
        ),
        ("GET", ["calendars", calendar, "events"]) => (
            Some(events::list(&state, &person, calendar, call.query)?),
            vec![],
        ),
        ("GET", ["calendars", calendar, "events", id, "instances"]) => (
            Some(expand::instances(
                &state, &person, calendar, id, call.query,
            )?),
            vec![],
        ),
        ("GET", ["calendars", calendar, "events", id]) => {
            (Some(events::get(&state, &person, calendar, id)?), vec![])
        }
        ("POST", ["calendars", calendar, "events"]) => (
            Some(events::insert(
                &mut state, &person, calendar, call.query, body,
            )?),
            vec![*calendar],
        ),
        ("POST", ["calendars", calendar, "events", "watch"]) => {
            let answer = watch(google, &mut state, &person, calendar, &body)?;
            return Ok(Some(answer));
        }
        ("PUT" | "PATCH", ["calendars", calendar, "events", id]) => {
            let change = (body, call.verb == "PUT", if_match);
            (
                Some(events::change(
                    &mut state, &person, calendar, id, call.query, change,
                )?),
                vec![*calendar],
            )
        }
        ("DELETE", ["calendars", calendar, "events", id]) => {
            events::delete(&mut state, &person, calendar, id, if_match)?;
            (None, vec![*calendar])
        }
        ("POST", ["calendars", calendar, "events", id, "move"]) => {
            let to = events::parameter(call.query, "destination").unwrap_or_default();
            (
                Some(events::relocate(&mut state, &person, calendar, id, to)?),
                vec![*calendar, to],
            )
        }
        ("POST", ["calendars"]) => (Some(calendars::insert(&mut state, &person, &body)?), vec![]),
        ("GET", ["calendars", calendar]) => {
            (Some(calendars::get(&state, &person, calendar)?), vec![])
        }
        ("DELETE", ["calendars", calendar]) => {
            calendars::delete(&mut state, &person, calendar)?;
            (None, vec![])
        }
        ("POST", ["freeBusy"]) => (Some(expand::free_busy(&state, &person, &body)?), vec![]),
        ("GET", ["users", "me", "settings"]) => {
            (Some(expand::settings(&state, &person, None)?), vec![])
        }
        ("GET", ["users", "me", "settings", id]) => {
            (Some(expand::settings(&state, &person, Some(id))?), vec![])
        }
        ("POST", ["channels", "stop"]) => {
            let id = body["id"].as_str().unwrap_or_default();
            let known = state.channels.get(id).is_some_and(|channel| {
                body["resourceId"] == channel.resource_id && channel.sub == person.sub
            });
            if !known {
                return Err(Refusal::new(404, "notFound", "Channel not found"));
            }
            state.channels.remove(id);
            (None, vec![])
        }
        _ => return Err(Refusal::not_found()),
    };
    if !changed.is_empty()
        && matches!(
            events::parameter(call.query, "sendUpdates"),
            Some("all" | "externalOnly")
        )
    {
        let invited = answer
            .as_ref()
            .and_then(|event| event["attendees"].as_array().cloned())
            .unwrap_or_default();
        state.mails.extend(
            invited
                .iter()
                .filter_map(|one| one["email"].as_str())
                .filter(|email| *email != person.email)
                .map(str::to_owned),
        );
    }
    drop(state);
    for calendar in changed {
        google.notify(person.calendar_id(calendar));
    }
    Ok(answer)
}

/// `events.watch`. The first message is `sync`; it may arrive before the response.
fn watch(
    google: &GoogleSandbox,
    state: &mut state::State,
    person: &state::Person,
    calendar: &str,
    body: &Value,
) -> Result<Value, Refusal> {
    let calendar = person.calendar_id(calendar);
    let watched = state
        .calendars
        .get(calendar)
        .filter(|_| person.list.contains_key(calendar))
        .ok_or_else(Refusal::not_found)?;
    if watched.unwatchable {
        return Err(Refusal::new(
            400,
            "pushNotSupportedForRequestedResource",
            "Push notifications are not supported by this resource.",
        ));
    }
    let id = body["id"]
        .as_str()
        .filter(|id| !id.is_empty() && id.len() <= 64)
        .ok_or_else(|| Refusal::invalid("Invalid channel id"))?;
    let address = body["address"]
        .as_str()
        .filter(|address| address.starts_with("http"))
        .ok_or_else(|| Refusal::invalid("Invalid address"))?;
    if body["type"] != "web_hook" {
        return Err(Refusal::invalid("Unknown channel type"));
    }
    if state.channels.contains_key(id) {
        return Err(Refusal::new(
            400,
            "channelIdNotUnique",
            format!("Channel id {id} not unique"),
        ));
    }
    let asked = body["expiration"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .and_then(DateTime::from_timestamp_millis);
    let latest = state.now() + CHANNEL;
    let channel = Channel {
        id: id.to_owned(),
        resource_id: random_id(27),
        calendar: calendar.to_owned(),
        sub: person.sub.clone(),
        address: address.to_owned(),
        token: body["token"].as_str().map(str::to_owned),
        expires: asked.map_or(latest, |asked: DateTime<Utc>| asked.min(latest)),
        messages: 1,
    };
    google.push(&channel, "sync");
    let mut answer = json!({
        "kind": "api#channel", "id": channel.id, "resourceId": channel.resource_id, "resourceUri": channel.resource_uri(&google.url),
        "expiration": channel.expires.timestamp_millis().to_string()
    });
    if let Some(token) = &channel.token {
        answer["token"] = token.as_str().into();
    }
    state.channels.insert(channel.id.clone(), channel);
    Ok(answer)
}
