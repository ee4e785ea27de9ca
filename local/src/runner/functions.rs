//! All functions, by the name that the template gives their binaries. The only place that knows more than one of them.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use shared::calendar::{AccountContext, Context};
use shared::config::InvalidConfig;
use shared::in_process::InProcess;
use shared::roles::Role;
use shared::setup::Setup;
use shared::sync::{SyncContext, SyncError};
use utoipa::openapi::OpenApi;

/// A function that answers HTTP requests.
pub struct HttpFunction {
    /// Its name.
    pub name: &'static str,
    /// What its routes say of themselves.
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

/// One run of a job, in time.
pub type Run = BoxFuture<'static, Result<usize, SyncError>>;

/// A function that a schedule starts.
pub struct ScheduledJob {
    /// Its name.
    pub name: &'static str,
    /// One run.
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

// The lists, `HTTP` and `SCHEDULED`.
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

/// A role that a job may have: a part of what the worker holds.
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

/// The function that works on messages.
pub const WORKER: &str = "sync_worker";

/// All HTTP functions, mounted in this process.
///
/// # Errors
/// [`InvalidConfig`] names the variables that a function lacks.
pub fn mount(setup: &mut Setup<'_>) -> Result<BTreeMap<String, InProcess>, InvalidConfig> {
    let mounted = HTTP
        .iter()
        .map(|function| Ok((function.name.to_owned(), (function.mount)(setup)?)));
    mounted.collect()
}

/// Builds what a function holds, as its `main` does.
///
/// # Errors
/// [`InvalidConfig`] names the variables that it lacks.
pub fn check(name: &str, setup: &mut Setup<'_>) -> Result<(), InvalidConfig> {
    if let Some(function) = HTTP.iter().find(|function| function.name == name) {
        return (function.mount)(setup).map(drop);
    }
    if let Some(job) = SCHEDULED.iter().find(|job| job.name == name) {
        return (job.check)(setup);
    }
    setup.role::<SyncContext>().map(drop)
}
