//! The `--demo` option: a user with a connected feed, and an account at each provider's sandbox with a filled week.

mod week;

use std::sync::Arc;

use chrono_tz::Tz;
use sandboxes::google::GoogleSandbox;
use sandboxes::microsoft::MicrosoftSandbox;
use serde_json::json;
use shared::clock::Clock;
use shared::in_process::InProcess;

use crate::gateway::DEMO_PATH;
use crate::stack::Stack;

/// The email address of the demo user.
pub const EMAIL: &str = "demo@example.org";
/// The password of the demo user.
pub const PASSWORD: &str = "demo calendar";

/// The time zone of the demo user.
const ZONE: Tz = Tz::Europe__Berlin;

/// The path of the demo page.
pub const PATH: &str = "/demo";
/// The bundled iCalendar feed.
pub const FEED: &str = include_str!("demo.ics");
/// The demo page: an agenda whose events can be changed in Calweave and at the provider.
pub const PAGE: &str = include_str!("demo.html");

/// Starts a Google sandbox with one user.
///
/// # Errors
/// Returns a message if no port is available.
pub async fn google() -> Result<Arc<GoogleSandbox>, String> {
    let (google, _) = GoogleSandbox::start(Clock::System, None).await?;
    google.add_person(
        "grace@example.org",
        "Grace",
        ZONE.name(),
        &["Team", "Garden"],
    );
    Ok(google)
}

/// Starts a Microsoft sandbox with one user.
///
/// # Errors
/// Returns a message if no port is available.
pub async fn microsoft() -> Result<Arc<MicrosoftSandbox>, String> {
    let (microsoft, _) = MicrosoftSandbox::start(Clock::System, None).await?;
    microsoft.add_person("grace@contoso.test", "Grace", &["Project"]);
    Ok(microsoft)
}

/// Creates the demo user and connects the bundled feed, unless they exist from an earlier run. Links the accounts of the
/// sandboxes, which forget everything when they stop, and fills their calendars.
///
/// # Errors
/// Returns the API's response if it refuses a request.
pub async fn prepare(stack: &Stack, google: &str, microsoft: &str) -> Result<(), String> {
    let (auth, ics) = (&stack.functions["auth"], &stack.functions["ics"]);
    let credentials = json!({ "email": EMAIL, "password": PASSWORD, "fullName": "Demo", "timezone": ZONE.name() });
    let mut answer = post(auth, "/api/v1/auth/signup", None, &credentials).await?;
    if answer.0 == 409 {
        answer = post(auth, "/api/v1/auth/login", None, &credentials).await?;
    }
    let token = answer.1["accessToken"]
        .as_str()
        .ok_or_else(|| format!("cannot sign the demo user in: {}", answer.1))?
        .to_owned();
    let feed = json!({ "url": format!("{}{DEMO_PATH}", stack.url), "displayName": "Demo" });
    match post(ics, "/api/v1/calendar/ics/connect", Some(&token), &feed).await? {
        (201 | 409, _) => {}
        (_, problem) => return Err(format!("cannot connect the demo feed: {problem}")),
    }
    week::fill(&stack.url, google, microsoft).await
}

async fn post(
    function: &InProcess,
    path: &str,
    token: Option<&str>,
    body: &serde_json::Value,
) -> Result<(u64, serde_json::Value), String> {
    let mut headers = json!({ "host": "127.0.0.1", "content-type": "application/json" });
    if let Some(token) = token {
        headers["authorization"] = format!("Bearer {token}").into();
    }
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "", "headers": headers, "body": body.to_string(),
        "requestContext": { "requestId": "demo", "stage": "$default", "timeEpoch": 0, "http": { "method": "POST", "path": path } },
        "isBase64Encoded": false,
    });
    let answer = function
        .invoke(event)
        .await
        .map_err(|error| error.to_string())?;
    let body = serde_json::from_str(answer["body"].as_str().unwrap_or("null")).unwrap_or_default();
    Ok((answer["statusCode"].as_u64().unwrap_or(0), body))
}
