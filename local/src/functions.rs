//! All functions, by the name that the template gives their binaries. The only place that knows more than one of them.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use shared::calendar::{AccountContext, Context};
use shared::config::InvalidConfig;
use shared::in_process::InProcess;
use shared::setup::Setup;
use shared::sync::{SyncContext, SyncError};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

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
        [$(HttpFunction {
            name: stringify!($name),
            openapi: || $name::routes().into_openapi(),
            mount: |setup| Ok(InProcess::new($name::routes(), setup.role()?)),
        }),+]
    };
}

/// Functions that answer HTTP requests.
pub const HTTP: [HttpFunction; 9] = http![
    health, auth, oauth, ics, calendars, events, slots, sync, webhooks,
];

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
    ($($name:ident: $role:ty = $context:expr),+ $(,)?) => {
        [$(ScheduledJob {
            name: stringify!($name),
            run: |context| {
                let narrow: fn(SyncContext) -> $role = $context;
                Box::pin($name::run(narrow(context)))
            },
            check: |setup| setup.role::<$role>().map(drop),
        }),+]
    };
}

/// Functions that a schedule starts.
pub const SCHEDULED: [ScheduledJob; 5] = jobs![
    refresh_feeds: Context = |context| context.accounts.context,
    reconcile: Context = |context| context.accounts.context,
    refresh_tokens: AccountContext = |context| context.accounts,
    renew_channels: Context = |context| context.accounts.context,
    cleanup_expired: Context = |context| context.accounts.context,
];

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

/// The OpenAPI document of all functions together.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Calweave")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One API over a person's Google, Microsoft and ICS calendars.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    for HttpFunction { name, openapi, .. } in HTTP {
        let mut part = openapi();
        // A handler's name is unique in its function only.
        for item in part.paths.paths.values_mut() {
            for operation in [
                &mut item.get,
                &mut item.put,
                &mut item.post,
                &mut item.delete,
                &mut item.patch,
            ]
            .into_iter()
            .flatten()
            {
                operation.operation_id = operation
                    .operation_id
                    .take()
                    .map(|id| format!("{name}_{id}"));
            }
        }
        document.merge(part);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    document
        .components
        .get_or_insert_default()
        .add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document
}
