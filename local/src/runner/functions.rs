//! A table of all functions, by the name of their binary in the template. This is the only module
//! that depends on more than one function.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use shared::calendar::{AccountContext, Context};
use shared::config::{InvalidConfig, ScheduleConfig};
use shared::in_process::InProcess;
use shared::roles::Role;
use shared::setup::Setup;
use shared::sync::{ScheduleContext, SyncContext, SyncError};
use utoipa::openapi::OpenApi;

/// A function that handles HTTP requests.
pub struct HttpFunction {
    /// The name of its binary.
    pub name: &'static str,
    /// Returns the OpenAPI description of its routes.
    pub openapi: fn() -> OpenApi,
    mount: fn(&mut Setup<'_>) -> Result<InProcess, InvalidConfig>,
}

macro_rules! http {
    ($($name:ident),+ $(,)?) => {
        &[$(HttpFunction {
            name: stringify!($name),
            openapi: || $name::routes().into_openapi(),
            mount: |setup| Ok(InProcess::new($name::routes(), setup.role()?)),
        }),+]
    };
}

/// The future of one run of a job.
pub type Run = BoxFuture<'static, Result<usize, SyncError>>;

/// A function that runs on a schedule.
pub struct ScheduledJob {
    /// The name of its binary.
    pub name: &'static str,
    /// Starts one run.
    pub run: fn(SyncContext) -> Run,
    check: fn(&mut Setup<'_>) -> Result<(), InvalidConfig>,
}

macro_rules! jobs {
    ($($name:ident),+ $(,)?) => {
        &[$(ScheduledJob {
            name: stringify!($name),
            run: |context| run($name::run, &context),
            check: |setup| check_role($name::run, setup),
        }),+]
    };
}

// Defines the lists `HTTP` and `SCHEDULED`.
include!("registry.rs");

fn run<R, F>(job: impl Fn(R) -> F, context: &SyncContext) -> Run
where
    R: JobRole,
    F: Future<Output = Result<usize, SyncError>> + Send + 'static,
{
    Box::pin(job(R::of(context)))
}

fn check_role<R: JobRole, F>(
    _: impl Fn(R) -> F,
    setup: &mut Setup<'_>,
) -> Result<(), InvalidConfig> {
    setup.role::<R>().map(drop)
}

/// A role that a job can have. Each is a part of the worker's context.
trait JobRole: Role {
    fn of(context: &SyncContext) -> Self;
}

impl JobRole for SyncContext {
    fn of(context: &SyncContext) -> Self {
        context.clone()
    }
}

impl JobRole for AccountContext {
    fn of(context: &SyncContext) -> Self {
        context.accounts.clone()
    }
}

impl JobRole for Context {
    fn of(context: &SyncContext) -> Self {
        context.accounts.context.clone()
    }
}

impl JobRole for ScheduleContext {
    fn of(context: &SyncContext) -> Self {
        ScheduleContext {
            context: context.accounts.context.clone(),
            config: ScheduleConfig::default(),
        }
    }
}

tokio::task_local! {
    /// The function that runs in the current task.
    static RUNNING: String;
}

/// Runs a function's work as that function.
pub(super) async fn run_as<T>(name: &str, work: impl Future<Output = T>) -> T {
    RUNNING.scope(name.to_owned(), work).await
}

/// Returns the name of the function that runs in the current task, so that a test can tell which one calls AWS.
pub fn running() -> Option<String> {
    RUNNING.try_with(Clone::clone).ok()
}

/// The name of the function that processes the queue's messages.
pub const WORKER: &str = "sync_worker";

/// Sets up all HTTP functions in this process. Returns them by name.
///
/// # Errors
/// Returns [`InvalidConfig`] with the variables that a function needs and `setup` does not have.
pub fn mount(setup: &mut Setup<'_>) -> Result<BTreeMap<String, InProcess>, InvalidConfig> {
    let mounted = HTTP
        .iter()
        .map(|function| Ok((function.name.to_owned(), (function.mount)(setup)?)));
    mounted.collect()
}

/// Builds the context of a function, as its `main` does, and drops it.
///
/// # Errors
/// Returns [`InvalidConfig`] with the variables that the function needs and `setup` does not have.
pub fn check(name: &str, setup: &mut Setup<'_>) -> Result<(), InvalidConfig> {
    if let Some(function) = HTTP.iter().find(|function| function.name == name) {
        return (function.mount)(setup).map(drop);
    }
    if let Some(job) = SCHEDULED.iter().find(|job| job.name == name) {
        return (job.check)(setup);
    }
    setup.role::<SyncContext>().map(drop)
}
