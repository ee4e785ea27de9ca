//! The whole backend on this machine: emulators, gateway, poller and schedules, as the template wants them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::SharedHttpClient;
use axum::Router;
use shared::calendar::{AccountContext, Context};
use shared::clock::Clock;
use shared::config::{Environment, InvalidConfig};
use shared::http::HttpContext;
use shared::in_process::InProcess;
use shared::roles::HandlerState;
use shared::setup::Setup;
use shared::sync::SyncContext;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::background::{receive, run_in_background, stopped, work_on};
use crate::emulators::EmulatorError;
use crate::functions;
use crate::gateway::{Gateway, handle};
use crate::services::Services;
use crate::template::{BadTemplate, Template};

/// How the stack is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port of the gateway; 0 for any.
    pub port: u16,
    /// Where the data is kept; in memory without.
    pub data: Option<PathBuf>,
    /// Whether what earlier runs have left there is removed first.
    pub reset: bool,
    /// Whether feeds may come from this machine.
    pub allow_loopback_feeds: bool,
    /// Whether callers are limited.
    pub rate_limits: bool,
    /// Now.
    pub clock: Clock,
    /// Whether the poller and the schedules run by themselves; a test may want to run them by hand.
    pub background: bool,
    /// Variables in place of the template's.
    pub variables: BTreeMap<String, String>,
    /// Where a Google sandbox answers; without it nobody can link a Google account.
    pub google: Option<String>,
    /// Where a Microsoft sandbox answers; without it nobody can link a Microsoft account.
    pub microsoft: Option<String>,
    /// The endpoint of another AWS, in place of the emulators.
    pub elsewhere: Option<String>,
    /// Sends the functions' requests to AWS; a test may fail some of them.
    pub http: Option<SharedHttpClient>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            data: None,
            reset: false,
            allow_loopback_feeds: true,
            rate_limits: false,
            clock: Clock::System,
            background: true,
            variables: BTreeMap::new(),
            google: None,
            microsoft: None,
            elsewhere: None,
            http: None,
        }
    }
}

/// The stack could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway's port is taken.
    #[error("cannot listen on 127.0.0.1:{port}: {reason}; choose another with --port")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        reason: std::io::Error,
    },
    /// The template cannot be followed.
    #[error("{0}")]
    Template(#[from] BadTemplate),
    /// An emulator did not start.
    #[error("{0}")]
    Emulator(#[from] EmulatorError),
    /// The template leaves a variable out.
    #[error("{0}")]
    Config(#[from] InvalidConfig),
    /// A table or the queue could not be made.
    #[error("cannot make {what}: {reason}")]
    Make {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
}

/// The running backend.
pub struct Stack {
    /// Where the API is, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// Everything that any of the functions holds.
    pub context: SyncContext,
    /// What the layers of the functions hold.
    pub http: HttpContext,
    /// The functions that answer HTTP requests, by name.
    pub functions: BTreeMap<String, InProcess>,
    /// What they run on.
    pub services: Services,
    stop_gateway: watch::Sender<bool>,
    gateway: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
}

/// The routes of the template, each leading to its function.
fn gateway(
    template: &Template,
    functions: &BTreeMap<String, InProcess>,
    options: &Options,
) -> Router {
    let routes = template.functions.iter().flat_map(|(name, function)| {
        let routes = function.routes.iter();
        routes.map(move |(method, path)| (method.clone(), path.clone(), name.clone()))
    });
    let feed = crate::demo::FEED;
    let gateway = Gateway::new(routes, functions.clone(), options.clock.clone(), feed);
    Router::new().fallback(handle).with_state(Arc::new(gateway))
}

async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service)
        .with_graceful_shutdown(async move { stopped(&mut stop).await });
    if let Err(error) = server.await {
        tracing::error!("the gateway ended: {error}");
    }
}

impl Stack {
    /// Starts everything by this template.
    ///
    /// # Errors
    /// One clear line about what is in the way.
    pub async fn start(template: &Template, mut options: Options) -> Result<Self, StartError> {
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await;
        let listener = listener.map_err(|reason| StartError::Port {
            port: options.port,
            reason,
        })?;
        let address = listener.local_addr().map_err(|reason| StartError::Port {
            port: options.port,
            reason,
        })?;
        if let Some(google) = &options.google {
            options
                .variables
                .extend(sandbox_client("google", google, address));
        }
        if let Some(microsoft) = &options.microsoft {
            options
                .variables
                .extend(sandbox_client("microsoft", microsoft, address));
        }
        let services = Services::start(template, &options).await?;
        let lookup = |name: &str| services.variables.get(name).cloned();
        let mut setup =
            Setup::new(Environment::new(&lookup), options.clock.clone()).over(options.http.clone());
        let HandlerState { http, context } = setup.role::<HandlerState<SyncContext>>()?;
        let functions = functions::mount(&mut setup)?;

        let (stop_gateway, _) = watch::channel(false);
        let router = gateway(template, &functions, &options);
        let gateway = tokio::spawn(serve(listener, router, stop_gateway.subscribe()));
        let background = if options.background {
            run_in_background(template, &context, &services, &stop_gateway)
        } else {
            vec![]
        };
        Ok(Self {
            url: format!("http://{address}"),
            context,
            http,
            functions,
            services,
            stop_gateway,
            gateway,
            background,
        })
    }

    /// What jobs hold that request syncs.
    pub fn jobs(&self) -> Context {
        self.accounts().context
    }

    /// What functions hold that call providers.
    pub fn accounts(&self) -> AccountContext {
        self.context.accounts.clone()
    }

    /// Works on the messages that are visible now, until there are none. Answers with how many there were.
    pub async fn work(&self) -> usize {
        let mut worked = 0;
        loop {
            let batch = receive(&self.services.sqs, self.services.queue_url(), 0).await;
            if batch.is_empty() {
                return worked;
            }
            worked += batch.len();
            work_on(
                &self.context,
                &self.services.sqs,
                self.services.queue_url(),
                batch,
            )
            .await;
        }
    }

    /// Stops everything: requests and messages that are under way are finished first.
    pub async fn stop(self) {
        self.stop_gateway.send_replace(true);
        let finish = async {
            for task in self.background {
                drop(task.await);
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), finish)
            .await
            .is_err()
        {
            tracing::warn!(
                "work under way did not finish in time; it is taken up again at the next start"
            );
        }
        // A browser may keep its connection open for as long as it likes.
        drop(tokio::time::timeout(Duration::from_secs(2), self.gateway).await);
        self.services.stop().await;
    }
}

/// What makes this deployment known to a sandbox.
fn sandbox_client(provider: &str, url: &str, address: SocketAddr) -> [(String, String); 4] {
    let callback = format!("http://{address}/api/v1/calendar/oauth/{provider}/callback");
    [
        ("CLIENT_ID", "calweave"),
        ("CLIENT_SECRET", "sandbox"),
        ("REDIRECT_URI", callback.as_str()),
        ("ENDPOINT", url),
    ]
    .map(|(name, value)| {
        (
            format!("{}_{name}", provider.to_uppercase()),
            value.to_owned(),
        )
    })
}
