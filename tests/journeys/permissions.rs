//! What the functions do with AWS is what `template.yaml` permits them: the actions, the tables, and the partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use local::stack::Options;
use local::{TEMPLATE, functions};
use serde_json::{Value, json};
use serde_yaml_ng::Value as Yaml;

use super::examples::send_all;
use crate::harness::feeds::daily;
use crate::harness::{ProviderHarness, World, options};

/// What a function has done: an action on a resource, and the partition or the encryption context that it named.
type Deed = (String, String, String, String);

/// Notes the requests that the functions send to AWS, and passes them on.
#[derive(Clone)]
struct Recorder<Real = SharedHttpClient> {
    seen: Arc<Mutex<BTreeSet<Deed>>>,
    real: Real,
}

impl<Real> std::fmt::Debug for Recorder<Real> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recorder")
    }
}

impl HttpClient for Recorder {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Recorder {
            seen: Arc::clone(&self.seen),
            real: self.real.http_connector(settings, components),
        })
    }
}

impl HttpConnector for Recorder<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let (service, action) = target.rsplit_once('.').unwrap_or_default();
        let body: Value =
            serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or_default();
        if let Some(function) = functions::running() {
            let deeds = deeds(service, action, &body);
            let mut seen = self.seen.lock().unwrap();
            seen.extend(
                deeds
                    .into_iter()
                    .map(|(action, resource, key)| (function.clone(), action, resource, key)),
            );
        }
        self.real.call(request)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns action, resource and key of each part of a request.
fn deeds(service: &str, action: &str, body: &Value) -> Vec<(String, String, String)> {
    if service.contains("KMS") || service.contains("Trent") {
        return vec![(
            format!("kms:{action}"),
            "Key".to_owned(),
            text(&body["EncryptionContext"]["user"]),
        )];
    }
    if service.contains("SQS") {
        return vec![(
            format!("sqs:{action}"),
            "SyncQueue".to_owned(),
            String::new(),
        )];
    }
    let table = |value: &Value| text(&value["TableName"]);
    let dynamodb = |action: &str| format!("dynamodb:{action}");
    match action {
        "BatchGetItem" | "BatchWriteItem" => {
            let of_table = |(table, items): (&String, &Value)| {
                let items = items
                    .get("Keys")
                    .unwrap_or(items)
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let key = |item: &Value| {
                    let put = &item["PutRequest"]["Item"]["pk"]["S"];
                    let deletion = &item["DeleteRequest"]["Key"]["pk"]["S"];
                    [&item["pk"]["S"], put, deletion].map(text).concat()
                };
                items
                    .iter()
                    .map(|item| (dynamodb(action), table.clone(), key(item)))
                    .collect::<Vec<_>>()
            };
            body["RequestItems"]
                .as_object()
                .into_iter()
                .flatten()
                .flat_map(of_table)
                .collect()
        }
        "TransactWriteItems" => {
            let parts = body["TransactItems"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let part = |part: Value| {
                let (kind, item) = part.as_object()?.iter().next()?;
                let action = if kind == "ConditionCheck" {
                    "ConditionCheckItem".to_owned()
                } else {
                    format!("{kind}Item")
                };
                let key = [&item["Key"]["pk"]["S"], &item["Item"]["pk"]["S"]]
                    .map(text)
                    .concat();
                Some((dynamodb(&action), table(item), key))
            };
            parts.into_iter().filter_map(part).collect()
        }
        _ => {
            let index = body["IndexName"]
                .as_str()
                .map(|index| format!("/index/{index}"));
            let values = &body["ExpressionAttributeValues"][":pk"]["S"];
            let key = [&body["Key"]["pk"]["S"], &body["Item"]["pk"]["S"], values]
                .map(text)
                .concat();
            vec![(
                dynamodb(action),
                table(body) + &index.unwrap_or_default(),
                key,
            )]
        }
    }
}

/// A statement of a function's policy.
struct Permission {
    actions: BTreeSet<String>,
    /// The logical name of the resource, and the index.
    resource: String,
    /// Patterns of partition keys, or of the user in the encryption context; all if empty.
    keys: Vec<String>,
}

impl Permission {
    fn allows(&self, action: &str, resource: &str, key: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == pattern,
        };
        self.actions.contains(action)
            && self.resource == resource
            && (self.keys.is_empty() || self.keys.iter().any(matches))
    }
}

fn yaml_text(value: &Yaml) -> String {
    match value {
        Yaml::Tagged(tagged) => yaml_text(&tagged.value),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn texts(value: &Yaml) -> Vec<String> {
    match value {
        Yaml::Sequence(all) => all.iter().map(yaml_text).collect(),
        Yaml::Null => vec![],
        one => vec![yaml_text(one)],
    }
}

fn permissions() -> BTreeMap<String, Vec<Permission>> {
    let template: Yaml = serde_yaml_ng::from_str(TEMPLATE).unwrap();
    let mut all = BTreeMap::new();
    for resource in template["Resources"].as_mapping().unwrap().values() {
        if resource["Type"].as_str() != Some("AWS::Serverless::Function") {
            continue;
        }
        let name = yaml_text(&resource["Metadata"]["BuildProperties"]["Binary"]);
        let statements = resource["Properties"]["Policies"][0]["Statement"]
            .as_sequence()
            .unwrap();
        let permission = |statement: &Yaml| {
            let condition = &statement["Condition"];
            let mut keys = texts(&condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]);
            keys.extend(texts(
                &condition["StringLike"]["kms:EncryptionContext:user"],
            ));
            let resource = yaml_text(&statement["Resource"]);
            Permission {
                actions: texts(&statement["Action"]).into_iter().collect(),
                resource: resource
                    .replace(".Arn", "")
                    .replace("${", "")
                    .replace('}', ""),
                keys,
            }
        };
        all.insert(name, statements.iter().map(permission).collect());
    }
    all
}

/// Uses what the examples leave unused: reading, jobs, and everything that ends something.
async fn use_the_rest(world: &World, person: &crate::harness::Person) {
    for path in [
        "/api/v1/auth/me",
        "/api/v1/calendar/calendars",
        "/api/v1/calendar/calendars/stats",
        "/api/v1/calendar/events?start=2030-03-01&end=2030-04-01",
        "/api/v1/calendar/events/upcoming",
        "/api/v1/calendar/oauth/connections",
        "/api/v1/slots",
        "/api/v1/sync/status",
        "/api/v1/health/ready",
        "/api/v1/nowhere",
    ] {
        world.get(person, path).await;
    }
    let listed = world.get(person, "/api/v1/calendar/calendars").await.body;
    for calendar in listed["calendars"].as_array().unwrap() {
        let id = calendar["id"].as_str().unwrap();
        world
            .feeds
            .set_ics("f.ics", daily(2, "2030-03-02", "changed"));
        for (method, path) in [
            (
                "POST",
                format!("/api/v1/calendar/calendars/{id}/sync?wait=10"),
            ),
            ("DELETE", format!("/api/v1/calendar/calendars/{id}/webhook")),
            ("POST", format!("/api/v1/calendar/calendars/{id}/webhook")),
            ("DELETE", format!("/api/v1/calendar/calendars/{id}")),
        ] {
            let headers = [
                ("idempotency-key", path.clone()),
                ("authorization", format!("Bearer {}", person.token)),
            ];
            let body = Some("{}".to_owned());
            let answer = world.send(method, &path, &headers, body).await;
            assert!(answer.status < 500, "{method} {path}: {answer:?}");
        }
    }
    for path in [
        "/api/v1/sync/trigger",
        "/api/v1/sync/push-all",
        "/api/v1/webhooks/setup",
    ] {
        world.post(person, path, json!({})).await;
    }
    let deleted = world.call(
        "DELETE",
        "/api/v1/auth/account",
        Some(&person.token),
        Some(json!({ "password": "correct horse battery" })),
    );
    assert!(deleted.await.status < 300);
    // The worker erases what is left.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_do_is_permitted() {
    let recorder = Recorder {
        seen: Arc::default(),
        real: aws_smithy_http_client::Builder::new().build_http(),
    };
    let options = Options {
        http: Some(SharedHttpClient::new(recorder.clone())),
        rate_limits: true,
        ..options()
    };
    let (world, google, person) = send_all(options).await;
    google.delivered().await;
    // Fewer calendars, one of which shows a slot.
    let listed = world.get(&person, "/api/v1/calendar/calendars").await.body;
    let calendars = listed["calendars"].as_array().unwrap();
    let own = calendars
        .iter()
        .find(|one| one["provider"] == "GOOGLE")
        .unwrap();
    let slot = json!({ "title": "Shown", "startTime": "2030-01-01T12:00:00Z", "endTime": "2030-01-01T13:00:00Z", "calendarId": own["id"] });
    assert_eq!(world.post(&person, "/api/v1/slots", slot).await.status, 201);
    let team = google.add_calendar("Team").await;
    let linked = world
        .get(&person, "/api/v1/calendar/oauth/connections")
        .await
        .body;
    let id = linked["connections"][0]["id"].as_str().unwrap();
    let path = format!("/api/v1/calendar/oauth/connections/{id}/calendars");
    let choice = json!({ "selectedCalendarIds": [team] });
    let chosen = world
        .call("PUT", &path, Some(&person.token), Some(choice))
        .await;
    assert_eq!(chosen.status, 200, "{chosen:?}");
    use_the_rest(&world, &person).await;

    let names: BTreeMap<String, String> = [
        ("IDENTITY_TABLE", "IdentityTable"),
        ("VAULT_TABLE", "VaultTable"),
        ("CALENDAR_TABLE", "CalendarTable"),
        ("AUDIT_TABLE", "AuditTable"),
    ]
    .into_iter()
    .map(|(variable, resource)| {
        (
            world.stack.services.variables[variable].clone(),
            resource.to_owned(),
        )
    })
    .collect();
    let permissions = permissions();
    let seen = recorder.seen.lock().unwrap();
    let mut forbidden = BTreeSet::new();
    for (function, action, resource, key) in seen.iter() {
        let (table, index) = resource
            .split_once('/')
            .map_or((resource.as_str(), ""), |(table, index)| (table, index));
        let logical = names.get(table).map_or(table, String::as_str);
        let resource = if index.is_empty() {
            logical.to_owned()
        } else {
            format!("{logical}/{index}")
        };
        let allowed = permissions[function]
            .iter()
            .any(|one| one.allows(action, &resource, key));
        if !allowed {
            let partition = key.split('#').next().unwrap_or_default().to_owned();
            forbidden.insert((function.clone(), action.clone(), resource, partition));
        }
    }
    assert!(forbidden.is_empty(), "{forbidden:#?}");
    let functions: BTreeSet<&String> = seen.iter().map(|(function, ..)| function).collect();
    assert!(
        functions.len() >= 9 && seen.len() > 60,
        "{functions:?} {}",
        seen.len()
    );
}
