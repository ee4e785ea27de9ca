//! A fake Microsoft: accounts, a consent page, mailboxes with calendars, and subscriptions. It
//! speaks the wire protocols of Microsoft Graph v1.0 and of the Microsoft identity platform, and
//! can check requests and responses against Microsoft's types.
//!
//! Not implemented: `events/delta`, attachments, `findMeetingTimes`, open extensions, calendar
//! groups, `cancel`.

mod calendars;
mod contract;
mod control;
mod delta;
mod errors;
mod events;
mod oauth;
mod oddities;
mod page;
mod shape;
mod state;
mod subscriptions;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};
use shared::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::contract::GraphContract;
use self::errors::Refusal;
use self::state::Person;
use self::view::Preferences;
use crate::parts::{Deliveries, SigningKey, bearer, decoded, garble, query_of};

/// The state of the router.
type Shared = Arc<MicrosoftSandbox>;
/// The result of a call; `None` for a response without a body.
type Answer = Result<Option<Value>, Refusal>;

/// A running sandbox.
pub struct MicrosoftSandbox {
    /// The base URL, which replaces all of Microsoft's hosts.
    pub url: String,
    state: Mutex<state::State>,
    clock: Clock,
    key: SigningKey,
    contract: Option<GraphContract>,
    client: reqwest::Client,
    deliveries: Deliveries,
}

const SERVICE: &str = "/v1.0/";
/// The client id of tokens with which tests act as a user (`/sandbox/microsoft/token`).
const OWN_CLIENT: &str = "sandbox";
/// The maximum number of concurrent calls per mailbox.
const CONCURRENT: usize = 4;
/// The maximum number of requests in a batch.
const BATCH: usize = 20;

impl MicrosoftSandbox {
    /// Starts the sandbox on a free loopback port. With a contract, violations of it are recorded.
    ///
    /// # Errors
    /// Returns a message if no port can be bound, or if a key or HTTP client cannot be created.
    pub async fn start(
        clock: Clock,
        contract: Option<GraphContract>,
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
        let microsoft = Arc::new(Self {
            url,
            state: Mutex::new(state::State::new(clock.clone())),
            clock,
            key: SigningKey::of_process().map_err(|_| "could not generate a signing key")?,
            contract,
            client: client.map_err(|error| error.to_string())?,
            deliveries: Deliveries::default(),
        });
        let router = router(Arc::clone(&microsoft));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!("the Microsoft sandbox stopped: {error}");
            }
        });
        Ok((microsoft, server))
    }

    /// Adds a user with a work account, the default calendar and the named ones.
    pub fn add_person(&self, email: &str, name: &str, calendars: &[&str]) {
        let mut state = self.state();
        control::add_person(&mut state, control::worker(email, name));
        for name in calendars {
            control::add_calendar(&mut state, email, name, false);
        }
    }

    fn state(&self) -> MutexGuard<'_, state::State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violated(&self, what: String) {
        self.state().violations.push(what);
    }
}

/// All routes: identity platform, control, and Graph.
fn router(microsoft: Shared) -> Router {
    Router::new()
        .route("/{tenant}/oauth2/v2.0/authorize", get(oauth::authorize))
        .route("/{tenant}/oauth2/v2.0/token", post(oauth::token))
        .route("/{tenant}/discovery/v2.0/keys", get(oauth::keys))
        .route("/{tenant}/v2.0/adminconsent", get(oauth::admin))
        .route(page::PATH, get(page::show).post(page::act))
        .route("/sandbox/microsoft/consent", post(oauth::consent))
        .route("/sandbox/microsoft/people", post(control::person))
        .route("/sandbox/microsoft/calendars", post(control::calendar))
        .route("/sandbox/microsoft/token", post(control::token))
        .route("/sandbox/microsoft/revoke", post(control::revoke))
        .route("/sandbox/microsoft/lifecycle", post(control::lifecycle))
        .route("/sandbox/microsoft/expire", post(oddities::expire))
        .route("/sandbox/microsoft/renumber", post(oddities::renumber))
        .route("/sandbox/microsoft/silence", post(oddities::silence))
        .route("/sandbox/microsoft/garble", post(oddities::garble))
        .route("/sandbox/microsoft/endless", post(oddities::endless))
        .route("/sandbox/microsoft/days", post(oddities::days))
        .route("/sandbox/microsoft/move", post(oddities::relocate))
        .route("/sandbox/microsoft/invite", post(control::invite))
        .route("/sandbox/microsoft/faults", post(control::faults))
        .route("/sandbox/microsoft/mute", post(control::mute))
        .route("/sandbox/microsoft/fault-rates", post(control::fault_rates))
        .route("/sandbox/microsoft/quota", post(control::quota))
        .route("/sandbox/microsoft/budget", post(control::budget))
        .route("/sandbox/microsoft/hold", post(control::hold))
        .route("/sandbox/microsoft/latency", post(control::latency))
        .route("/sandbox/microsoft/pages", post(control::pages))
        .route("/sandbox/microsoft/longest", post(control::longest))
        .route("/sandbox/microsoft/watchable", post(control::watchable))
        .route("/sandbox/microsoft/secret", post(control::secret))
        .route("/sandbox/microsoft/forgive", post(control::forgive))
        .route("/sandbox/microsoft/report", get(control::report))
        .fallback(api)
        .with_state(microsoft)
}

/// One request to Graph.
struct Call<'a> {
    verb: &'a str,
    /// The path segments below `/v1.0/`, percent-decoded.
    parts: Vec<String>,
    query: Vec<(String, String)>,
    body: Option<Value>,
    if_match: Option<String>,
    preferences: Preferences,
}

/// Returns the method name of a request, such as `events.list`, from its verb and path.
fn name_of(verb: &str, parts: &[&str]) -> String {
    let scope = |rest: &[&str]| match (verb, rest) {
        ("GET", ["events"]) => "events.list",
        ("POST", ["events"]) => "events.create",
        ("GET", ["events", _]) => "events.get",
        ("PATCH", ["events", _]) => "events.update",
        ("DELETE", ["events", _]) => "events.delete",
        ("GET", ["events", _, "instances"]) => "events.instances",
        ("POST", ["events", _, "accept" | "decline" | "tentativelyAccept"]) => "events.respond",
        ("GET", ["calendarView", "delta"]) => "calendarView.delta",
        ("GET", ["calendarView"]) => "calendarView.list",
        _ => "unknown",
    };
    match (verb, parts) {
        ("GET", ["me"]) => "me",
        ("GET", ["me", "mailboxSettings"]) => "mailboxSettings",
        ("GET", ["me", "calendars"]) => "calendars.list",
        ("POST", ["me", "calendars"]) => "calendars.create",
        ("DELETE", ["me", "calendars", _]) => "calendars.delete",
        ("GET", ["subscriptions"]) => "subscriptions.list",
        ("POST", ["subscriptions"]) => "subscriptions.create",
        ("PATCH", ["subscriptions", _]) => "subscriptions.update",
        ("DELETE", ["subscriptions", _]) => "subscriptions.delete",
        ("POST", ["$batch"]) => "batch",
        (
            _,
            ["me", "calendars", _, rest @ ..] | ["me", "calendar", rest @ ..] | ["me", rest @ ..],
        ) => scope(rest),
        _ => "unknown",
    }
    .to_owned()
}

#[expect(
    clippy::too_many_lines,
    reason = "one request, from parsing to the contract checks"
)]
async fn api(State(microsoft): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(path) = parts.uri.path().strip_prefix(SERVICE) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(body) = to_bytes(body, 1 << 20).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body = match (body.is_empty(), serde_json::from_slice::<Value>(&body)) {
        (true, _) => None,
        (false, Ok(body)) => Some(body),
        (false, Err(_)) => {
            return Refusal::new(400, "BadRequest", "Unable to read JSON request payload.")
                .into_response();
        }
    };
    let found = bearer(&parts.headers).and_then(|token| {
        let state = microsoft.state();
        state.holder(token).map(|(access, person)| {
            (
                person.clone(),
                access.grant.client == OWN_CLIENT,
                access.grant.scopes.clone(),
            )
        })
    });
    let Some((person, is_own, scopes)) = found else {
        return Refusal::new(
            401,
            "InvalidAuthenticationToken",
            "Access token has expired or is not yet valid.",
        )
        .into_response();
    };
    let call = Call {
        verb: parts.method.as_str(),
        parts: path.split('/').map(decoded).collect(),
        query: query_of(parts.uri.query()),
        body,
        if_match: parts
            .headers
            .get("if-match")
            .and_then(|tag| tag.to_str().ok())
            .map(str::to_owned),
        preferences: Preferences {
            days: microsoft.state().days,
            ..preferences(&parts.headers)
        },
    };
    let names: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    let name = name_of(call.verb, &names);
    // Faults, quotas and call counts do not apply when a test acts as the user.
    if is_own {
        return answered(&microsoft, &name, answer(&microsoft, &person, call).await);
    }
    if !scopes
        .split(' ')
        .any(|scope| scope == "Calendars.ReadWrite")
        && name != "me"
    {
        return Refusal::new(
            403,
            "ErrorAccessDenied",
            "Access is denied. Check credentials and try again.",
        )
        .into_response();
    }
    let Some(turn) = microsoft.state().budget.take() else {
        return std::future::pending().await;
    };
    look_at(&microsoft, &name, &call, &parts.headers);
    let admitted = admit(&microsoft, &person.email, &name);
    let done = match admitted {
        Err(refusal) => Err(refusal),
        Ok(None) => answer(&microsoft, &person, call).await,
        Ok(Some(fault)) => {
            let refusal = Refusal {
                retry_after: fault.retry_after,
                ..Refusal::new(fault.status, &fault.reason, fault.reason.as_str())
            };
            if fault.after {
                drop(answer(&microsoft, &person, call).await);
            }
            Err(refusal)
        }
    };
    turn.wait().await;
    if let Some(count) = microsoft.state().in_flight.get_mut(&person.email) {
        *count -= 1;
    }
    answered(&microsoft, &name, done)
}

/// Counts a call that begins. Returns its fault, if any; fails when the mailbox is throttled.
fn admit(
    microsoft: &MicrosoftSandbox,
    email: &str,
    name: &str,
) -> Result<Option<crate::parts::Fault>, Refusal> {
    let mut state = microsoft.state();
    *state.calls.entry(name.to_owned()).or_default() += 1;
    let count = state.in_flight.entry(email.to_owned()).or_default();
    *count += 1;
    let count = *count;
    state.most_in_flight = state.most_in_flight.max(count);
    if count > CONCURRENT {
        let refusal = Refusal::new(
            429,
            "ApplicationThrottled",
            "Application is over its MailboxConcurrency limit.",
        );
        return Err(Refusal {
            retry_after: Some(1),
            ..refusal
        });
    }
    if let Some(seconds) = state.over_quota(email) {
        let refusal = Refusal::new(429, "ApplicationThrottled", "Too many requests.");
        return Err(Refusal {
            retry_after: Some(seconds),
            ..refusal
        });
    }
    Ok(state.fault(name))
}

/// Records violations of a request: missing headers, paths without a calendar, bodies that do not
/// conform to the types.
fn look_at(microsoft: &MicrosoftSandbox, name: &str, call: &Call<'_>, headers: &HeaderMap) {
    if !headers.get_all("prefer").iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.contains("IdType=\"ImmutableId\""))
    }) {
        microsoft.violated(format!("{name} does not prefer immutable ids"));
    }
    if !call.preferences.utc {
        microsoft.violated(format!("{name} does not set outlook.timezone"));
    }
    if !headers.contains_key("client-request-id") {
        microsoft.violated(format!("{name} has no client-request-id"));
    }
    if call
        .parts
        .get(1)
        .is_some_and(|part| part == "events" || part == "calendarView")
    {
        microsoft.violated(format!("{name} does not name the calendar"));
    }
    let kind = match name {
        "events.create" | "events.update" => "Event",
        "subscriptions.create" | "subscriptions.update" => "Subscription",
        _ => return,
    };
    if let (Some(contract), Some(body)) = (&microsoft.contract, &call.body) {
        let wrong = contract.check(kind, body);
        microsoft.state().violations.extend(wrong);
    }
}

fn preferences(headers: &HeaderMap) -> Preferences {
    let values = headers.get_all("prefer").iter();
    preferred(
        &values
            .filter_map(|value| value.to_str().ok())
            .collect::<Vec<_>>(),
    )
}

/// The preferences of one request of a batch. Those of the batch itself do not apply to it.
fn inner_preferences(headers: &Value) -> Preferences {
    let headers = headers.as_object().into_iter().flatten();
    let prefer = headers.filter(|(name, _)| name.eq_ignore_ascii_case("prefer"));
    preferred(
        &prefer
            .filter_map(|(_, value)| value.as_str())
            .collect::<Vec<_>>(),
    )
}

fn preferred(all: &[&str]) -> Preferences {
    let has = |wanted: &str| all.iter().any(|value| value.contains(wanted));
    Preferences {
        utc: has("outlook.timezone=\"UTC\""),
        text: has("outlook.body-content-type=\"text\""),
        ..Preferences::default()
    }
}

fn answered(microsoft: &MicrosoftSandbox, name: &str, answer: Answer) -> Response {
    match answer {
        Ok(Some(mut answer)) => {
            if let Some(contract) = &microsoft.contract {
                let kind = match name {
                    "events.create" | "events.update" | "events.get" => "Event",
                    "subscriptions.create" | "subscriptions.update" => "Subscription",
                    "mailboxSettings" => "MailboxSettings",
                    "calendars.list" => "Calendar[]",
                    "events.list" | "events.instances" | "calendarView.list"
                    | "calendarView.delta" => "Event[]",
                    _ => "unknown",
                };
                let value = if kind.ends_with("[]") {
                    &answer["value"]
                } else {
                    &answer
                };
                let wrong = contract.check(kind, value);
                microsoft.state().violations.extend(wrong);
            }
            garble(&mut answer, &microsoft.state().garbled);
            let status = if name.ends_with(".create") {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            (status, axum::Json(answer)).into_response()
        }
        Ok(None) if name == "events.respond" => StatusCode::ACCEPTED.into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Answers a request with the properties that it selects.
async fn answer(microsoft: &MicrosoftSandbox, person: &Person, call: Call<'_>) -> Answer {
    let query = call.query.clone();
    let mut answer = route(microsoft, person, call).await?;
    if let Some(answer) = &mut answer {
        shape::apply(answer, &query);
    }
    Ok(answer)
}

/// Routes a request to its handler.
async fn route(microsoft: &MicrosoftSandbox, person: &Person, call: Call<'_>) -> Answer {
    let parts: Vec<&str> = call.parts.iter().map(String::as_str).collect();
    let object = |body: &Option<Value>| {
        body.as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    match (call.verb, parts.as_slice()) {
        ("GET", ["me"]) => Ok(Some(
            json!({ "id": person.object, "displayName": person.name, "mail": person.email, "userPrincipalName": person.email }),
        )),
        ("GET", ["me", "mailboxSettings"]) => Ok(Some(json!({ "timeZone": person.time_zone }))),
        ("GET", ["me", "calendars"]) => Ok(Some(calendars::list(microsoft, person, &call.query))),
        ("POST", ["me", "calendars"]) => {
            calendars::create(&mut microsoft.state(), person, &object(&call.body))
        }
        ("DELETE", ["me", "calendars", id]) => {
            calendars::delete(&mut microsoft.state(), person, id)
        }
        ("POST", ["subscriptions"]) => {
            subscriptions::create(microsoft, person, object(&call.body)).await
        }
        ("GET", ["subscriptions"]) => Ok(Some(subscriptions::list(microsoft, person))),
        ("PATCH", ["subscriptions", id]) => {
            subscriptions::renew(microsoft, person, id, &object(&call.body))
        }
        ("DELETE", ["subscriptions", id]) => subscriptions::delete(microsoft, person, id),
        ("POST", ["$batch"]) => {
            batch(
                microsoft,
                person,
                call.body.unwrap_or_default(),
                call.preferences,
            )
            .await
        }
        (_, ["me", "calendars", calendar, rest @ ..]) => {
            of_calendar(microsoft, person, calendar, rest, &call)
        }
        (_, ["me", "calendar", rest @ ..] | ["me", rest @ ..]) => {
            of_calendar(microsoft, person, &person.list[0].0, rest, &call)
        }
        _ => Err(Refusal::new(
            400,
            "BadRequest",
            "Resource not found for the segment.",
        )),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each route of the API")]
fn of_calendar(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    calendar: &str,
    rest: &[&str],
    call: &Call<'_>,
) -> Answer {
    let can_edit = person
        .list
        .iter()
        .find(|(id, _)| id == calendar)
        .map(|(_, can_edit)| *can_edit)
        .ok_or_else(Refusal::not_found)?;
    if call.verb != "GET" && !can_edit {
        return Err(Refusal::new(
            403,
            "ErrorAccessDenied",
            "Access is denied. Check credentials and try again.",
        ));
    }
    let mut state = microsoft.state();
    let (query, preferences, if_match) = (&call.query, call.preferences, call.if_match.as_deref());
    let body = || {
        call.body
            .as_ref()
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_else(Map::new)
    };
    let escaped = |part: &str| part.replace('/', "%2F");
    let answer = match (call.verb, rest) {
        ("GET", ["calendarView", "delta"]) => {
            return delta::changes(&mut state, &microsoft.url, calendar, query, preferences)
                .map(|answer| answer.map(|answer| linked(answer, calendar)));
        }
        ("GET", ["calendarView"]) => {
            let path = format!("/v1.0/me/calendars/{}/calendarView", escaped(calendar));
            return events::between(
                &state,
                (&microsoft.url, &path),
                calendar,
                None,
                query,
                preferences,
            );
        }
        ("GET", ["events"]) => {
            let found = events::list(&state, &microsoft.url, calendar, query, preferences);
            return found.map(|answer| answer.map(|answer| linked(answer, calendar)));
        }
        ("GET", ["events", id]) => return events::get(&state, calendar, id, query, preferences),
        ("GET", ["events", id, "instances"]) => {
            let path = format!(
                "/v1.0/me/calendars/{}/events/{}/instances",
                escaped(calendar),
                escaped(id)
            );
            return events::between(
                &state,
                (&microsoft.url, &path),
                calendar,
                Some(id),
                query,
                preferences,
            );
        }
        ("POST", ["events"]) => events::create(&mut state, person, calendar, body(), preferences),
        ("PATCH", ["events", id]) => events::change(
            &mut state,
            person,
            (calendar, id),
            body(),
            if_match,
            preferences,
        ),
        ("DELETE", ["events", id]) => events::delete(&mut state, person, (calendar, id), if_match),
        (
            "POST",
            [
                "events",
                id,
                action @ ("accept" | "decline" | "tentativelyAccept"),
            ],
        ) => events::respond(
            &mut state,
            person,
            (calendar, id),
            action,
            call.body.as_ref().unwrap_or(&Value::Null),
        ),
        _ => {
            return Err(Refusal::new(
                400,
                "BadRequest",
                "Resource not found for the segment.",
            ));
        }
    };
    let owner = state
        .calendars
        .get(calendar)
        .map(|calendar| calendar.owner.clone())
        .unwrap_or_default();
    drop(state);
    if answer.is_ok() {
        microsoft.notify(&owner, calendar);
    }
    answer
}

/// Escapes the slashes of the calendar's id in the links of a response.
fn linked(mut answer: Value, calendar: &str) -> Value {
    for name in ["@odata.nextLink", "@odata.deltaLink"] {
        if let Some(link) = answer[name]
            .as_str()
            .map(|link| link.replace(calendar, &calendar.replace('/', "%2F")))
        {
            answer[name] = link.into();
        }
    }
    answer
}

/// `POST /$batch`. The responses are in reverse order, as clients must match them by id.
async fn batch(
    microsoft: &MicrosoftSandbox,
    person: &Person,
    body: Value,
    preferences: Preferences,
) -> Answer {
    let requests = body["requests"].as_array().cloned().unwrap_or_default();
    if requests.is_empty() || requests.len() > BATCH {
        return Err(Refusal::new(
            400,
            "BadRequest",
            format!("A batch holds 1 to {BATCH} requests."),
        ));
    }
    let mut responses = Vec::with_capacity(requests.len());
    for request in &requests {
        let (path, query) = request["url"]
            .as_str()
            .unwrap_or_default()
            .split_once('?')
            .unwrap_or((request["url"].as_str().unwrap_or_default(), ""));
        let call = Call {
            verb: request["method"].as_str().unwrap_or("GET"),
            parts: path
                .trim_start_matches('/')
                .split('/')
                .map(decoded)
                .collect(),
            query: query_of(Some(query)),
            body: request.get("body").cloned(),
            if_match: None,
            preferences: Preferences {
                days: preferences.days,
                ..inner_preferences(&request["headers"])
            },
        };
        let is_batch = call.parts.first().is_some_and(|part| part == "$batch");
        let (status, body) = match if is_batch {
            Err(Refusal::not_found())
        } else {
            Box::pin(answer(microsoft, person, call)).await
        } {
            Ok(Some(body)) => (200, body),
            Ok(None) => (204, Value::Null),
            Err(refusal) => (refusal.status, refusal.body()),
        };
        responses.push(json!({ "id": request["id"], "status": status, "body": body }));
    }
    responses.reverse();
    Ok(Some(json!({ "responses": responses })))
}
