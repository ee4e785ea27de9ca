//! What can be derived is derived. `CALWEAVE_BLESS=1 cargo test --workspace --test all -- derived` writes it; without the
//! variable this compares.
//!
//! From `template.yaml`: the functions' entries in the manifests, the list of functions in `local`, the routes of
//! `cargo lambda watch`, the sample events of jobs, and the tables of the documents. From the code: the OpenAPI document, and the paths of the API. From
//! the manifests: the picture of the crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use local::{TEMPLATE, openapi};
use serde_json::json;
use serde_yaml_ng::Value;

use super::layers::{FLOORS, crates_used_by};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What starts a function.
#[derive(Clone, Debug, PartialEq)]
enum Trigger {
    Http,
    Queue,
    /// As in `15 minutes`.
    Every(String),
}

/// A function of the template.
struct Function {
    name: String,
    description: String,
    trigger: Trigger,
    /// Method and path, in the template's order.
    routes: Vec<(String, String)>,
    /// Actions by the logical name of a resource.
    permissions: BTreeMap<String, BTreeSet<String>>,
}

fn text(value: &Value) -> String {
    match value {
        Value::Tagged(tagged) => text(&tagged.value),
        value => value.as_str().unwrap_or_default().to_owned(),
    }
}

fn function(resource: &Value) -> Function {
    let properties = &resource["Properties"];
    let mut function = Function {
        name: text(&resource["Metadata"]["BuildProperties"]["Binary"]),
        description: text(&properties["Description"]),
        trigger: Trigger::Http,
        routes: vec![],
        permissions: BTreeMap::new(),
    };
    for event in properties["Events"].as_mapping().unwrap().values() {
        let of = &event["Properties"];
        match event["Type"].as_str().unwrap() {
            "HttpApi" => function
                .routes
                .push((text(&of["Method"]), text(&of["Path"]))),
            "SQS" => function.trigger = Trigger::Queue,
            _ => {
                let rate = text(&of["ScheduleExpression"]);
                let rate = rate.trim_start_matches("rate(").trim_end_matches(')');
                function.trigger = Trigger::Every(rate.replace("1 hour", "hour"));
            }
        }
    }
    for policy in properties["Policies"].as_sequence().into_iter().flatten() {
        for statement in policy["Statement"].as_sequence().into_iter().flatten() {
            let resource = text(&statement["Resource"]);
            let name = resource.trim_start_matches("${");
            let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
            let index = resource.rsplit_once("/index/").map(|(_, index)| index);
            for action in statement["Action"].as_sequence().unwrap() {
                let action = text(action);
                let (_, action) = action.split_once(':').unwrap();
                let action = index.map_or_else(
                    || action.to_owned(),
                    |index| format!("{action} of `{index}`"),
                );
                let actions = function.permissions.entry(name.clone()).or_default();
                actions.insert(action);
            }
        }
    }
    function
}

/// All functions, in the template's order.
fn functions() -> Vec<Function> {
    let template: Value = serde_yaml_ng::from_str(TEMPLATE).unwrap();
    let resources = template["Resources"].as_mapping().unwrap().values();
    let functions = resources.filter(|one| one["Type"] == "AWS::Serverless::Function");
    functions.map(function).collect()
}

/// The file's text with the lines between two markers replaced.
fn between(file: &str, begin: &str, end: &str, lines: &str) -> (PathBuf, String) {
    let path = root().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let missing = || panic!("{file} lacks {begin:?}");
    let (before, rest) = text.split_once(begin).unwrap_or_else(missing);
    let (_, after) = rest.split_once(end).unwrap();
    let text = format!("{before}{begin}\n{}\n{end}{after}", lines.trim_end());
    (path, text)
}

fn manifest(functions: &[Function]) -> (PathBuf, String) {
    let mut names: Vec<&str> = functions.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    let lines = names
        .iter()
        .map(|name| format!("{name} = {{ path = \"functions/{name}\" }}\n"));
    let lines: String = lines.collect();
    let (path, text) = between(
        "Cargo.toml",
        "# Functions (derived)",
        "# End of functions",
        &lines,
    );
    let header = "[workspace.metadata.lambda.watch.router]\n";
    let (before, _) = text.split_once(header).unwrap();
    (path, format!("{before}{header}{}", router(functions)))
}

/// The routes of `cargo lambda watch`.
fn router(functions: &[Function]) -> String {
    let mut routes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for function in functions {
        // `cargo lambda watch` answers preflights and what no route matches by itself.
        let all = function.routes.iter();
        let routed = all.filter(|(_, path)| !path.ends_with("{proxy+}"));
        for (method, path) in routed {
            let name = &function.name;
            let entry = format!("{{ method = \"{method}\", function = \"{name}\" }}");
            routes.entry(path).or_default().insert(entry);
        }
    }
    let lines = routes.iter().map(|(path, functions)| {
        let functions: Vec<&str> = functions.iter().map(String::as_str).collect();
        format!("\"{path}\" = [{}]\n", functions.join(", "))
    });
    lines.collect()
}

fn local_manifest(functions: &[Function]) -> (PathBuf, String) {
    let mut names: Vec<&str> = functions.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    let lines: String = names
        .iter()
        .map(|name| format!("{name}.workspace = true\n"))
        .collect();
    between(
        "local/Cargo.toml",
        "# Functions (derived)",
        "# End of functions",
        &lines,
    )
}

/// The functions that tests call without the gateway: all but those that answer HTTP requests.
fn tests_manifest(functions: &[Function]) -> (PathBuf, String) {
    let called = functions.iter().filter(|one| one.trigger != Trigger::Http);
    let mut names: Vec<&str> = called.map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    let lines = names
        .iter()
        .map(|name| format!("{name}.workspace = true\n"));
    between(
        "tests/Cargo.toml",
        "# Functions (derived)",
        "# End of functions",
        &lines.collect::<String>(),
    )
}

/// The list of functions that `local` mounts.
fn registry(functions: &[Function]) -> (PathBuf, String) {
    let list = |wanted: &dyn Fn(&Trigger) -> bool| -> String {
        let chosen = functions.iter().filter(|one| wanted(&one.trigger));
        chosen.map(|one| format!("    {},\n", one.name)).collect()
    };
    let http = list(&|trigger| *trigger == Trigger::Http);
    let scheduled = list(&|trigger| matches!(trigger, Trigger::Every(_)));
    let text = format!(
        "// Derived from template.yaml: `CALWEAVE_BLESS=1 cargo test --workspace --test all -- derived` writes this file.\n\n\
         /// Functions that answer HTTP requests.\n\
         pub const HTTP: &[HttpFunction] = http![\n{http}];\n\n\
         /// Functions that a schedule starts.\n\
         pub const SCHEDULED: &[ScheduledJob] = jobs![\n{scheduled}];\n"
    );
    (root().join("local/src/runner/registry.rs"), text)
}

/// The sample event of a job: what EventBridge Scheduler sends.
fn sample(job: &Function) -> (PathBuf, String) {
    let event = json!({
        "version": "0",
        "id": "11111111-2222-3333-4444-555555555555",
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "account": "000000000000",
        "time": "2026-11-21T04:00:00Z",
        "region": "us-east-1",
        "resources": [],
        "detail": "{}",
    });
    let path = root().join("events").join(format!("{}.json", job.name));
    (
        path,
        format!("{}\n", serde_json::to_string_pretty(&event).unwrap()),
    )
}

fn readme(functions: &[Function]) -> (PathBuf, String) {
    let row = |one: &Function| {
        let trigger = match &one.trigger {
            Trigger::Http => "HTTP".to_owned(),
            Trigger::Queue => "queue".to_owned(),
            Trigger::Every(rate) => format!("every {rate}"),
        };
        format!("| `{}` | {trigger} | {} |\n", one.name, one.description)
    };
    let rows: String = functions.iter().map(row).collect();
    let table = format!("| function | starts on | does |\n|---|---|---|\n{rows}");
    between(
        "README.md",
        "<!-- functions (derived) -->",
        "<!-- end -->",
        &table,
    )
}

/// The resources that functions are given permissions for, and what the documents call them.
const RESOURCES: [(&str, &str); 6] = [
    ("IdentityTable", "identity"),
    ("VaultTable", "vault"),
    ("CalendarTable", "calendar"),
    ("AuditTable", "audit"),
    ("Key", "KMS"),
    ("SyncQueue", "queue"),
];

fn permissions(functions: &[Function]) -> (PathBuf, String) {
    let row = |one: &Function| {
        let cell = |(resource, _): &(&str, &str)| {
            let actions = one.permissions.get(*resource).into_iter().flatten();
            let actions: Vec<&str> = actions.map(String::as_str).collect();
            format!(" {} |", actions.join(", "))
        };
        let cells: String = RESOURCES.iter().map(cell).collect();
        format!("| `{}` |{cells}\n", one.name)
    };
    let rows: String = functions.iter().map(row).collect();
    let names: Vec<&str> = RESOURCES.iter().map(|(_, name)| *name).collect();
    let table = format!(
        "| function | {} |\n|---|{}\n{rows}",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    let begin = "<!-- permissions (derived) -->";
    between("docs/operations.md", begin, "<!-- end -->", &table)
}

/// The pictures of architecture.md: functions with what starts them and what they use, and the crates.
fn pictures(functions: &[Function]) -> (PathBuf, String) {
    let names = |wanted: &dyn Fn(&Function) -> bool| -> String {
        let chosen = functions.iter().filter(|one| wanted(one));
        let chosen: Vec<&str> = chosen.map(|one| one.name.as_str()).collect();
        chosen.join(" & ")
    };
    let mut lines = format!("  api --> {}\n", names(&|one| one.trigger == Trigger::Http));
    lines += &format!(
        "  queue --> {}\n",
        names(&|one| one.trigger == Trigger::Queue)
    );
    let rates: BTreeSet<String> = functions
        .iter()
        .filter_map(|one| match &one.trigger {
            Trigger::Every(rate) => Some(rate.clone()),
            _ => None,
        })
        .collect();
    for (number, rate) in rates.iter().enumerate() {
        let jobs = names(&|one| one.trigger == Trigger::Every(rate.clone()));
        lines += &format!("  timer{number}([every {rate}]) --> {jobs}\n");
    }
    for (resource, name) in RESOURCES {
        let uses = names(&|one| one.permissions.contains_key(resource));
        let node = match name {
            "KMS" => "kms[KMS key]".to_owned(),
            "queue" => "queue[[sync queue]]".to_owned(),
            table => format!("{table}[({table})]"),
        };
        lines += &format!("  {uses} --> {node}\n");
    }
    let file = "docs/architecture.md";
    let (path, text) = between(
        file,
        "%% functions (derived)",
        "%% end of functions",
        &lines,
    );
    let (begin, end) = ("%% crates (derived)", "%% end of crates");
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    (path, format!("{before}{begin}\n{}{end}{after}", crates()))
}

/// The crates of `shared`, each with an arrow to those that it uses and none of these uses.
fn crates() -> String {
    let used: BTreeMap<&str, BTreeSet<String>> = FLOORS
        .iter()
        .map(|name| (*name, crates_used_by(name)))
        .collect();
    let mut lines = String::new();
    for name in FLOORS.iter().rev() {
        for other in &used[name] {
            let is_indirect =
                |between: &&String| *between != other && used[between.as_str()].contains(other);
            if !used[name].iter().any(|between| is_indirect(&between)) {
                lines += &format!("  {name} --> {other}\n");
            }
        }
    }
    lines
}

/// The paths of the API with their methods, for requests that no route matches.
fn paths() -> (PathBuf, String) {
    let document = serde_json::to_value(openapi::document()).unwrap();
    let mut lines = String::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys();
        let methods: BTreeSet<String> = methods.map(|method| method.to_uppercase()).collect();
        let methods: Vec<String> = methods.into_iter().collect();
        lines += &format!("    (\"{path}\", \"{}\"),\n", methods.join(", "));
    }
    let count = lines.lines().count();
    let text = format!(
        "//! The paths of the API with their methods (derived).\n\n/// Path pattern, and its methods as in the `Allow` header.\n#[rustfmt::skip]\npub const PATHS: [(&str, &str); {count}] = [\n{lines}];\n"
    );
    (root().join("functions/health/src/paths.rs"), text)
}

#[test]
fn what_is_derived_is_up_to_date() {
    let functions = functions();
    let mut files = vec![
        manifest(&functions),
        local_manifest(&functions),
        tests_manifest(&functions),
        registry(&functions),
        readme(&functions),
        permissions(&functions),
        pictures(&functions),
    ];
    let jobs = functions
        .iter()
        .filter(|one| matches!(one.trigger, Trigger::Every(_)));
    files.extend(jobs.map(sample));
    let document = openapi::document().to_pretty_json().unwrap();
    let openapi = root().join("functions/health/src/openapi.json");
    files.push((openapi, format!("{document}\n")));
    files.push(paths());
    let is_stale =
        |(path, text): &(PathBuf, String)| fs::read_to_string(path).ok().as_ref() != Some(text);
    let stale: Vec<_> = files.into_iter().filter(is_stale).collect();
    if std::env::var_os("CALWEAVE_BLESS").is_some() {
        for (path, text) in &stale {
            fs::write(path, text).unwrap();
        }
        return;
    }
    let stale: Vec<_> = stale
        .iter()
        .map(|(path, _)| path.strip_prefix(root()).unwrap_or(path))
        .collect();
    assert!(
        stale.is_empty(),
        "out of date: {stale:?}; CALWEAVE_BLESS=1 cargo test --workspace --test all -- derived writes them"
    );
}
