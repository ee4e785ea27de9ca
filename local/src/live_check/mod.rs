//! `live-check`: asks a real provider what Calweave assumes about it (`docs/live-check.md`).
//!
//! The checks send their own requests, so that they compare what the provider sends with what the
//! clients in `shared/providers` expect, and not the clients with themselves. They work in
//! calendars that they create, and remove them at the end.

mod google;
mod inbox;
mod microsoft;
mod openid;
mod report;
mod sign_in;
mod wire;

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use reqwest::Url;
use shared::clock::random_bytes;
use shared::config::Environment;

use self::inbox::{Inbox, NOTIFICATIONS, REFUSING};
use self::report::{Findings, say};
use self::wire::{Answer, Call, Reply, Wire};

/// The beginning of the names of the calendars that the checks create.
const CALENDAR_NAME: &str = "Calweave live check";

/// The providers that can be asked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CheckedProvider {
    /// Google Calendar.
    Google,
    /// Microsoft 365 and Outlook.com.
    Microsoft,
}

/// The arguments of `live-check`.
#[derive(Args, Debug)]
pub struct LiveCheckArguments {
    /// The provider to ask
    #[arg(value_enum)]
    provider: CheckedProvider,
    /// Port of 127.0.0.1 to which the browser returns from the sign-in, and notifications come; 0
    /// takes any free one
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// Public address that a tunnel leads from to this port; without it, no notifications are
    /// checked
    #[arg(long, value_name = "URL")]
    notify: Option<Url>,
    /// At the end, revoke everything that the account has granted to the client's project (Google)
    #[arg(long)]
    revoke: bool,
    /// Sign in to a sandbox as this user, without a browser
    #[arg(long, value_name = "EMAIL")]
    consent_as: Option<String>,
}

/// Checks what Calweave assumes about a provider, and prints what is found. The exit status is 0 if
/// nothing differs, 1 if something does, and 2 if the check cannot be carried out.
pub async fn run(arguments: LiveCheckArguments) -> ExitCode {
    let provider = arguments.provider;
    let setup = match Setup::new(arguments).await {
        Ok(setup) => setup,
        Err(reason) => return failed(&reason),
    };
    let mut findings = Findings::new(setup.endpoint.is_some());
    let done = match provider {
        CheckedProvider::Google => google::run(&setup, &mut findings).await,
        CheckedProvider::Microsoft => microsoft::run(&setup, &mut findings).await,
    };
    say(&format!("\n{}", findings.summary()));
    match done {
        Err(reason) => failed(&reason),
        Ok(()) if findings.has_differences() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn failed(reason: &str) -> ExitCode {
    eprintln!("calweave: {reason}");
    ExitCode::from(2)
}

/// What the checks of both providers need.
struct Setup {
    client_id: String,
    client_secret: String,
    /// Base URL that replaces all of the provider's hosts.
    endpoint: Option<String>,
    /// The tenant whose accounts can sign in; Microsoft only.
    tenant: String,
    /// The address at which the provider reaches the inbox.
    notify: Option<Url>,
    revoke: bool,
    consent_as: Option<String>,
    /// The names of the calendars to create. They are new in each run, because Microsoft refuses a
    /// name that is taken.
    calendar_names: [String; 2],
    wire: Wire,
    inbox: Inbox,
}

impl Setup {
    /// Reads the variables with which the backend is configured too.
    async fn new(arguments: LiveCheckArguments) -> Result<Self, String> {
        let prefix = match arguments.provider {
            CheckedProvider::Google => "GOOGLE",
            CheckedProvider::Microsoft => "MICROSOFT",
        };
        let env = Environment::process();
        let required = |name: &str| {
            let name = format!("{prefix}_{name}");
            env.optional(&name).ok_or(format!("{name} is missing"))
        };
        let endpoint = env.optional(&format!("{prefix}_ENDPOINT"));
        if arguments.consent_as.is_some() && !endpoint.as_deref().is_some_and(is_loopback) {
            return Err(format!(
                "--consent-as is for sandboxes: {prefix}_ENDPOINT has to be an address of this machine"
            ));
        }
        let client_id = required("CLIENT_ID")?;
        let client_secret = required("CLIENT_SECRET")?;
        let tenant = env.optional("MICROSOFT_TENANT");
        let inbox = Inbox::open(arguments.port).await?;
        let mut notify = arguments.notify;
        if let Some(url) = notify.as_mut().filter(|url| url.port() == Some(0)) {
            // The port is not known before the inbox is open.
            url.set_port(Some(inbox.port))
                .map_err(|()| "--notify has no port")?;
        }
        Ok(Self {
            client_id,
            client_secret,
            endpoint,
            tenant: tenant.unwrap_or_else(|| "common".to_owned()),
            notify,
            revoke: arguments.revoke,
            consent_as: arguments.consent_as,
            calendar_names: [(); 2].map(|()| format!("{CALENDAR_NAME} {}", &random_id()[..6])),
            wire: Wire::new()?,
            inbox,
        })
    }

    /// Returns an address of the provider. An endpoint replaces the host, as in the backend.
    fn url(&self, host: &str, path: &str) -> Result<Url, String> {
        let base = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://{host}"),
        };
        let url = format!("{base}{path}");
        Url::parse(&url).map_err(|error| format!("{url}: {error}"))
    }

    /// Sends a request to a token endpoint, with the client's id and secret.
    async fn request_tokens(&self, token: &Url, fields: &[(&str, &str)]) -> Reply {
        let mut form = vec![
            ("client_id", self.client_id.as_str()),
            ("client_secret", self.client_secret.as_str()),
        ];
        form.extend_from_slice(fields);
        self.wire.send(Call::post(token.clone()).form(&form)).await
    }

    /// Refreshes the grant.
    async fn refresh(&self, token: &Url, refresh_token: &str) -> Reply {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
        ];
        self.request_tokens(token, &fields).await
    }

    /// Refreshes the grant with a secret that is not the client's.
    async fn refresh_wrongly(&self, token: &Url, refresh_token: &str) -> Reply {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", self.client_id.as_str()),
            ("client_secret", "wrong"),
        ];
        self.wire
            .send(Call::post(token.clone()).form(&fields))
            .await
    }

    /// The address for notifications, if the provider can reach one.
    fn notification_url(&self) -> Option<String> {
        self.notify_at(NOTIFICATIONS)
    }

    /// An address that does not pass a validation.
    fn refusing_url(&self) -> Option<String> {
        self.notify_at(REFUSING)
    }

    fn notify_at(&self, path: &str) -> Option<String> {
        let base = self.notify.as_ref()?.as_str();
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }
}

/// The calendars that a check has created to work in.
#[derive(Default)]
struct WorkCalendars(Vec<String>);

impl WorkCalendars {
    /// Takes the answer to a creation, whose status has to be `created`.
    fn add(&mut self, made: &Answer, created: u16) -> Result<(), String> {
        if !made.is(created) || made.text("id").is_empty() {
            return Err(format!("no calendar can be created: {made}"));
        }
        self.0.push(made.text("id").to_owned());
        Ok(())
    }

    /// Returns the id of a calendar; empty if there is none.
    fn id(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }

    fn ids(&self) -> &[String] {
        &self.0
    }

    /// Says so if a calendar could not be removed.
    fn note_removal(id: &str, removed: Reply) {
        let problem = match removed {
            Ok(gone) if gone.is(204) => return,
            Ok(answer) => answer.to_string(),
            Err(interruption) => interruption.reason(),
        };
        eprintln!("calweave: remove the calendar {id} yourself: {problem}");
    }
}

/// Whether an address is one of this machine.
fn is_loopback(address: &str) -> bool {
    let url = Url::parse(address).ok();
    let host = url.as_ref().and_then(Url::host_str);
    host.is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"))
}

/// Returns 32 random hexadecimal digits. They are valid as an id at Google.
fn random_id() -> String {
    let bytes: [u8; 16] = random_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_sandbox() {
        for address in ["http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"] {
            assert!(is_loopback(address), "{address}");
        }
        for address in [
            "https://accounts.google.com",
            "http://127.0.0.1.example.org",
            "",
        ] {
            assert!(!is_loopback(address), "{address}");
        }
    }
}
