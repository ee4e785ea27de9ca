//! The OpenAPI document of all functions.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, Schema,
    ServerBuilder,
};

use crate::functions::{HTTP, HttpFunction};

/// The media type of problem details (RFC 9457).
const PROBLEM: &str = "application/problem+json";

/// Returns the OpenAPI document of all functions. Identical problem responses of several operations
/// become one component.
pub fn document() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("Calweave")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "One API over a person's Google, Microsoft and ICS calendars.",
        ))
        .license(Some(license));
    let server = ServerBuilder::new()
        .url("/")
        .description(Some("The deployment that serves this document"));
    let mut document = OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([server.build()]))
        .tags(Some(TAGS.map(|(name, description)| {
            TagBuilder::new()
                .name(name)
                .description(Some(description))
                .build()
        })))
        .build();
    for HttpFunction { openapi, .. } in HTTP {
        document.merge(openapi());
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let mut components = document.components.take().unwrap_or_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    let examples = examples();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        share_problems(operation, &mut components);
        describe(operation);
        give_example(operation, &examples);
    }
    document.components = Some(components);
    document
}

/// The groups of operations.
const TAGS: [(&str, &str); 9] = [
    ("auth", "Accounts and sessions"),
    ("oauth", "Linking Google and Microsoft accounts"),
    ("ics", "Connecting feeds"),
    ("calendars", "Connected calendars"),
    ("events", "Events, series and their occurrences"),
    ("slots", "Bookable times"),
    ("sync", "Syncing on request"),
    ("webhooks", "Notifications of providers"),
    ("health", "Health checks, and this document"),
];

/// Returns the examples of request bodies, by the id of their operation. A test sends each of them.
///
/// # Panics
/// When `examples.json` is not valid.
#[expect(
    clippy::expect_used,
    reason = "the file is compiled in, and each test reads it"
)]
pub fn examples() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("examples.json")).expect("examples by operation")
}

fn give_example(operation: &mut Operation, examples: &BTreeMap<String, Value>) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    // The alias of an operation has the same body.
    let id = id.split("At").next().unwrap_or(id);
    let (Some(RefOr::T(body)), Some(example)) = (&mut operation.request_body, examples.get(id))
    else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

/// Adds what every operation says: a description of each response, the form of the ids in its path, and that it needs no token
/// if it does not name one.
fn describe(operation: &mut Operation) {
    operation.security.get_or_insert_default();
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            let description = match status.as_str() {
                "200" => "Done; the result",
                "201" => "Created",
                "202" => "Accepted; it is carried out in the background",
                "204" => "Done",
                _ => "See the status code",
            };
            description.clone_into(&mut response.description);
        }
    }
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else {
            continue;
        };
        let description = parameter.description.as_deref().unwrap_or_default();
        let pattern = match parameter.parameter_in {
            ParameterIn::Path if description.starts_with("Calendar id") => "^cal_[0-9A-Z]{26}$",
            ParameterIn::Path if description.starts_with("Connection id") => "^con_[0-9A-Z]{26}$",
            ParameterIn::Path if description.starts_with("Slot id") => "^slt_[0-9A-Z]{26}$",
            ParameterIn::Path if description.starts_with("Event id") => "^evt_.+$",
            ParameterIn::Path if description.starts_with("Provider") => "^(google|microsoft)$",
            _ => continue,
        };
        if let Some(RefOr::T(Schema::Object(schema))) = &mut parameter.schema {
            schema.pattern = Some(pattern.to_owned());
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// Replaces each problem response of an operation with a reference to the component for its status.
/// A response that differs from the component stays in the operation.
fn share_problems(operation: &mut Operation, components: &mut Components) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(problem) = &*response else {
            continue;
        };
        if !problem.content.contains_key(PROBLEM) {
            continue;
        }
        let name = format!("Problem{status}");
        let shared = components.responses.entry(name.clone());
        let shared = shared.or_insert_with(|| RefOr::T(problem.clone()));
        if matches!(shared, RefOr::T(shared) if shared == problem) {
            *response = RefOr::Ref(Ref::from_response_name(name));
        }
    }
}
