//! The whole backend on one machine: emulators, gateway, queue poller and schedules, as the
//! template defines them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::SharedHttpClient;
use axum::Router;
use shared::calendar::{AccountContext, Context};
use shared::clock::Clock;
use shared::config::{Environment, InvalidConfig, ScheduleConfig};
use shared::http::HttpContext;
use shared::in_process::InProcess;
use shared::roles::HandlerState;
use shared::setup::Setup;
use shared::sync::{ScheduleContext, SyncContext};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::background::{receive, run_in_background, stopped, work_on};
use crate::emulators::EmulatorError;
use crate::functions;
use crate::gateway::{Gateway, handle};
use crate::services::Services;
use crate::template::{BadTemplate, Template};

/// The options of a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// The port of the gateway. 0 selects a free port.
    pub port: u16,
    /// The folder of the data. `None` keeps the data in memory.
    pub data: Option<PathBuf>,
    /// Whether to remove the data of earlier runs first.
    pub reset: bool,
    /// Whether feeds on loopback addresses are allowed.
    pub allow_loopback_feeds: bool,
    /// Whether rate limits apply.
    pub rate_limits: bool,
    /// The source of the current time.
    pub clock: Clock,
    /// Whether the queue poller and the schedules run. A test can turn them off and call
    /// [`Stack::work`] and the jobs itself.
    pub background: bool,
    /// Environment variables that override those of the template.
    pub variables: BTreeMap<String, String>,
    /// The URL of a Google sandbox. Without it, Google accounts can only be linked if `variables`
    /// configures the provider.
    pub google: Option<String>,
    /// The URL of a Microsoft sandbox. Without it, Microsoft accounts can only be linked if
    /// `variables` configures the provider.
    pub microsoft: Option<String>,
    /// The endpoint of another AWS implementation, used instead of the emulators.
    pub elsewhere: Option<String>,
    /// The HTTP client for the functions' requests to AWS. A test can pass one that lets requests
    /// fail.
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

/// The stack failed to start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway cannot listen on its port.
    #[error("cannot listen on 127.0.0.1:{port}: {reason}; choose another with --port")]
    Port {
        /// The port.
        port: u16,
        /// The reason.
        reason: std::io::Error,
    },
    /// The template is invalid.
    #[error("{0}")]
    Template(#[from] BadTemplate),
    /// An emulator did not start.
    #[error("{0}")]
    Emulator(#[from] EmulatorError),
    /// The template does not define a variable that a function needs, or its value is invalid.
    #[error("{0}")]
    Config(#[from] InvalidConfig),
    /// A resource of the template could not be created.
    #[error("cannot create {what}: {reason}")]
    Make {
        /// The resource.
        what: String,
        /// The reason.
        reason: String,
    },
}

/// A running backend.
pub struct Stack {
    /// The base URL of the API, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// The context of the worker. It contains the contexts of all other functions.
    pub context: SyncContext,
    /// The context of the HTTP layers.
    pub http: HttpContext,
    /// The HTTP functions, by name.
    pub functions: BTreeMap<String, InProcess>,
    /// The emulated AWS services.
    pub services: Services,
    stop_gateway: watch::Sender<bool>,
    gateway: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
}

/// Builds the gateway from the routes of the template.
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
        tracing::error!("the gateway stopped: {error}");
    }
}

impl Stack {
    /// Starts the services, the functions, the gateway and the background tasks of a template.
    ///
    /// # Errors
    /// Returns [`StartError`], whose text is one line that names the cause.
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

    /// Returns the context of jobs that request syncs.
    pub fn jobs(&self) -> Context {
        self.accounts().context
    }

    /// Returns the context of jobs that request what is due.
    pub fn schedule(&self) -> ScheduleContext {
        ScheduleContext {
            context: self.jobs(),
            config: ScheduleConfig::default(),
        }
    }

    /// Returns the context of functions that call providers.
    pub fn accounts(&self) -> AccountContext {
        self.context.accounts.clone()
    }

    /// Builds the context of another worker: with a clock and clients of its own, on the same
    /// services.
    ///
    /// # Errors
    /// Returns [`StartError::Config`], as [`Stack::start`] does.
    pub fn worker(&self, clock: Clock) -> Result<SyncContext, StartError> {
        let lookup = |name: &str| self.services.variables.get(name).cloned();
        let mut setup = Setup::new(Environment::new(&lookup), clock);
        Ok(setup.role()?)
    }

    /// Processes messages until none is visible in the queue. Returns the number of messages
    /// received.
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

    /// Stops the stack after the requests and messages in progress. Waits up to 30 seconds for the
    /// background tasks, and up to 2 seconds for the gateway.
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
                "work in progress did not finish in time; it continues after the next start"
            );
        }
        // A browser can keep its connection open for longer.
        drop(tokio::time::timeout(Duration::from_secs(2), self.gateway).await);
        self.services.stop().await;
    }
}

/// Returns the variables that configure a provider to use its sandbox at `url`. `address` is the
/// gateway's.
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
