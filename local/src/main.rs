//! `cargo run`: the whole backend on 127.0.0.1.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use local::gateway::DEMO_PATH;
use local::live_check::{self, LiveCheckArguments};
use local::services::Services;
use local::stack::{Options, Stack};
use local::template::Template;
use local::{demo, openapi};

/// Calweave on this machine: the API, with DynamoDB, KMS, SQS and the schedules behind it.
#[derive(Parser)]
#[command(name = "calweave", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Port of the API on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Keep everything in memory
    #[arg(long, conflicts_with_all = ["data", "reset"])]
    memory: bool,
    /// Folder that keeps the data
    #[arg(long, value_name = "DIR", default_value = ".calweave")]
    data: PathBuf,
    /// Remove the data of earlier runs first
    #[arg(long)]
    reset: bool,
    /// Also accept feeds from this machine, at any port and over plain HTTP
    #[arg(long)]
    allow_loopback_feeds: bool,
    /// Disable the rate limits
    #[arg(long)]
    no_rate_limits: bool,
    /// Add a demo user with a bundled feed, and accounts at Google and Microsoft sandboxes (implies
    /// --allow-loopback-feeds)
    #[arg(long)]
    demo: bool,
    /// Start only the Google sandbox, and print the variables that functions need to use it
    #[arg(long, conflicts_with_all = ["port", "demo", "emulators_only"])]
    google_only: bool,
    /// Start only the Microsoft sandbox, and print the variables that functions need to use it
    #[arg(long, conflicts_with_all = ["port", "demo", "emulators_only", "google_only"])]
    microsoft_only: bool,
    /// Start only DynamoDB, KMS and SQS, and print the variables that functions need to use them
    #[arg(long, conflicts_with_all = ["port", "demo"])]
    emulators_only: bool,
    /// Read this template instead of the built-in one
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Print the OpenAPI document of all functions, and exit
    #[arg(long)]
    print_openapi: bool,
}

/// What to do instead of running the backend.
#[derive(Subcommand)]
enum Command {
    /// Ask a real provider what Calweave assumes about it (docs/live-check.md)
    LiveCheck(LiveCheckArguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    #[expect(
        clippy::disallowed_methods,
        reason = "the log level is not part of the backend's configuration"
    )]
    shared::telemetry::init_terminal(
        std::env::var("LOG_LEVEL")
            .ok()
            .as_deref()
            .or(Some("warn,dynoxide=error")),
    );
    if let Some(Command::LiveCheck(check)) = arguments.command.take() {
        return live_check::run(check).await;
    }
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("calweave: {reason}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    if arguments.print_openapi {
        say(&openapi::document()
            .to_pretty_json()
            .map_err(|error| error.to_string())?);
        return Ok(());
    }
    let template = template(&arguments)?;
    let options = Options {
        port: arguments.port,
        reset: arguments.reset,
        data: (!arguments.memory).then(|| arguments.data.clone()),
        allow_loopback_feeds: arguments.allow_loopback_feeds || arguments.demo,
        rate_limits: !arguments.no_rate_limits,
        ..Options::default()
    };
    if arguments.emulators_only {
        return emulators_only(&template, &options).await;
    }
    if arguments.google_only {
        return sandbox_only("GOOGLE", &demo::google().await?.url).await;
    }
    if arguments.microsoft_only {
        return sandbox_only("MICROSOFT", &demo::microsoft().await?.url).await;
    }
    let loopback = options.allow_loopback_feeds;
    let sandboxes = if arguments.demo {
        Some((demo::google().await?, demo::microsoft().await?))
    } else {
        None
    };
    let urls = sandboxes
        .as_ref()
        .map(|(google, microsoft)| (google.url.clone(), microsoft.url.clone()));
    let (google, microsoft) = urls.clone().unzip();
    let options = Options {
        google,
        microsoft,
        variables: real_providers(urls.is_none()),
        ..options
    };
    let stack = Stack::start(&template, options)
        .await
        .map_err(|error| error.to_string())?;
    if let Some((google, microsoft)) = &urls {
        demo::prepare(&stack, google, microsoft).await?;
    }
    say(&welcome(&stack, loopback, urls.as_ref()));
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| error.to_string())?;
    say("\nStopping …");
    stack.stop().await;
    Ok(())
}

fn template(arguments: &Arguments) -> Result<Template, String> {
    let Some(path) = &arguments.template else {
        return Template::bundled().map_err(|error| error.to_string());
    };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    Template::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Runs only the emulators, for functions in other processes, such as those of `cargo lambda
/// watch`.
async fn emulators_only(template: &Template, options: &Options) -> Result<(), String> {
    let services = Services::start(template, options)
        .await
        .map_err(|error| error.to_string())?;
    for (name, value) in &services.variables {
        say(&format!("export {name}='{}'", value.replace('\'', r"'\''")));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| error.to_string())?;
    services.stop().await;
    Ok(())
}

/// Runs only a provider sandbox, for functions in other processes.
async fn sandbox_only(provider: &str, url: &str) -> Result<(), String> {
    for (name, value) in [
        ("CLIENT_ID", "calweave"),
        ("CLIENT_SECRET", "sandbox"),
        ("ENDPOINT", url),
    ] {
        say(&format!("export {provider}_{name}='{value}'"));
    }
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| error.to_string())
}

/// Returns the environment variables that configure the providers (docs/google.md,
/// docs/microsoft.md), or none unless `wanted`. An endpoint replaces all of a provider's hosts, so
/// it can point to a fake of the provider.
fn real_providers(wanted: bool) -> BTreeMap<String, String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "locally, the developer's environment configures the OAuth clients, not the template"
    )]
    let read = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|value| (name.to_owned(), value))
    };
    let of = |provider: &str| {
        ["CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI", "ENDPOINT"]
            .map(|name| format!("{provider}_{name}"))
    };
    let names = of("GOOGLE")
        .into_iter()
        .chain(of("MICROSOFT"))
        .chain(["MICROSOFT_TENANT".to_owned()]);
    names
        .filter(|_| wanted)
        .filter_map(|name| read(&name))
        .collect()
}

fn say(text: &str) {
    // The reader of stdout may have exited.
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn welcome(stack: &Stack, loopback: bool, sandboxes: Option<&(String, String)>) -> String {
    let url = &stack.url;
    // The bundled feed is served by this machine, so it requires that loopback feeds are allowed.
    let feed = if loopback {
        format!("{url}{DEMO_PATH}")
    } else {
        "https://www.gov.uk/bank-holidays/england-and-wales.ics".to_owned()
    };
    let demo = |(google, microsoft): &(String, String)| {
        let (page, user, password) = (demo::PATH, demo::EMAIL, demo::PASSWORD);
        format!(
            "\n  demo       {url}{page}   two-way sync in the browser, as {user} / {password}\n  Google     {google}/sandbox/google\n  \
             Microsoft  {microsoft}/sandbox/microsoft"
        )
    };
    let user = sandboxes.map(demo).unwrap_or_default();
    format!(
        r#"Calweave is up.

  API        {url}/api/v1
  browser    {url}/docs
  health     {url}/api/v1/health/ready{user}

Commands to paste:

  TOKEN=$(curl -s {url}/api/v1/auth/signup -H 'content-type: application/json' \
    -d "{{\"email\":\"you-$RANDOM@example.org\",\"password\":\"correct horse battery\"}}" | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
  curl -s {url}/api/v1/calendar/ics/connect -H "authorization: Bearer $TOKEN" -H 'content-type: application/json' \
    -d '{{"url":"{feed}"}}'; echo
  curl -s -X POST "{url}/api/v1/calendar/calendars/sync-all?wait=20" -H "authorization: Bearer $TOKEN"; echo
  curl -s "{url}/api/v1/calendar/events?start=2026-01-01&end=2027-01-01&limit=5" -H "authorization: Bearer $TOKEN"; echo

Ctrl-C stops it."#
    )
}
