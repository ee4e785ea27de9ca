//! All functions, by the name that the template gives their binaries. The only place that knows more than one of them.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use shared::app::App;
use shared::boot::InProcess;
use shared::sync::SyncError;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

type Routes = fn() -> OpenApiRouter<App>;

/// Functions that answer HTTP requests.
pub const HTTP: [(&str, Routes); 9] = [
    ("health", health::routes),
    ("auth", auth::routes),
    ("oauth", oauth::routes),
    ("ics", ics::routes),
    ("calendars", calendars::routes),
    ("events", events::routes),
    ("slots", slots::routes),
    ("sync", sync::routes),
    ("webhooks", webhooks::routes),
];

/// A scheduled run.
pub type Run = fn(App) -> Pin<Box<dyn Future<Output = Result<usize, SyncError>> + Send>>;

/// Functions that a schedule starts.
pub const SCHEDULED: [(&str, Run); 5] = [
    ("refresh_feeds", |app| Box::pin(refresh_feeds::run(app))),
    ("reconcile", |app| Box::pin(reconcile::run(app))),
    ("refresh_tokens", |app| Box::pin(refresh_tokens::run(app))),
    ("renew_channels", |app| Box::pin(renew_channels::run(app))),
    ("cleanup_expired", |app| Box::pin(cleanup_expired::run(app))),
];

/// The function that works on messages.
pub const WORKER: &str = "sync_worker";

/// All HTTP functions, mounted in this process.
pub fn mount(app: &App) -> BTreeMap<String, InProcess> {
    HTTP.iter()
        .map(|(name, routes)| ((*name).to_owned(), InProcess::new(routes(), app.clone())))
        .collect()
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
    for (name, routes) in HTTP {
        let mut part = routes().into_openapi();
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
