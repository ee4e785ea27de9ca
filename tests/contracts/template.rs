//! `template.yaml` against the code and the OpenAPI document.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use local::template::Template;
use local::{TEMPLATE, functions, openapi};
use serde_json::Value;

fn routes_of(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .keys()
                .map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[test]
fn every_route_stands_in_template_code_and_openapi() {
    let template = Template::bundled().unwrap();
    for functions::HttpFunction { name, openapi, .. } in functions::HTTP {
        let document = serde_json::to_value(openapi()).unwrap();
        let in_template: BTreeSet<_> = template.functions[*name]
            .routes
            .iter()
            .filter(|(_, path)| !path.ends_with("{proxy+}"))
            .cloned()
            .collect();
        let in_code = routes_of(&document);
        let only_in_code: Vec<_> = in_code.difference(&in_template).collect();
        assert!(
            only_in_code.is_empty(),
            "{name}: {only_in_code:?} below the function's Events in template.yaml is missing"
        );
        let only_in_template: Vec<_> = in_template.difference(&in_code).collect();
        assert!(
            only_in_template.is_empty(),
            "{name}: {only_in_template:?} is in template.yaml only; its handler is not in routes()"
        );
    }
}

#[test]
fn operation_ids_are_unique() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut ids = BTreeSet::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            // They become the names of methods in generated clients.
            let is_name = id.starts_with(|c: char| c.is_ascii_lowercase())
                && id.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(is_name, "{id}: give the operation an id such as listEvents");
            for content in operation["requestBody"]["content"]
                .as_object()
                .into_iter()
                .flatten()
            {
                let has_example = content.1.get("example").is_some();
                assert!(
                    has_example,
                    "{id} has no example in local/src/runner/examples.json"
                );
            }
        }
    }
}

#[test]
fn every_function_has_its_folder_and_its_binary() {
    let template = Template::bundled().unwrap();
    let in_template: BTreeSet<String> = template.functions.keys().cloned().collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let in_code: BTreeSet<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(in_template, in_code);
    let mounted: BTreeSet<String> = functions::HTTP
        .iter()
        .map(|function| function.name)
        .chain(functions::SCHEDULED.iter().map(|job| job.name))
        .chain([functions::WORKER])
        .map(str::to_owned)
        .collect();
    assert_eq!(in_template, mounted);
    for name in in_code {
        let main = fs::read_to_string(folder.join(&name).join("src/main.rs")).unwrap();
        assert!(
            main.lines().count() <= 6 && main.contains("shared::boot::"),
            "{name}/src/main.rs has more to say than it should"
        );
    }
}

#[test]
fn nobody_may_scan_or_reach_everything() {
    assert!(!TEMPLATE.contains("dynamodb:Scan") && !TEMPLATE.contains("dynamodb:*"));
    let stars: Vec<&str> = TEMPLATE
        .lines()
        .filter(|line| line.contains("Resource:") && line.contains('*'))
        .collect();
    assert_eq!(
        stars,
        [r#"            Resource: "*""#],
        "only the key's own policy speaks of itself so"
    );
    for action in TEMPLATE
        .lines()
        .filter(|line| line.trim_start().starts_with("Action:"))
    {
        assert!(
            !action.contains('*') || action.contains("\"kms:*\""),
            "{action}"
        );
    }
    // Who may read secrets, sessions or keys may do so for the partitions that concern them only.
    let lines: Vec<&str> = TEMPLATE.lines().map(str::trim).collect();
    for (number, line) in lines.iter().enumerate() {
        let condition = || {
            lines[number..]
                .iter()
                .skip(1)
                .take(3)
                .copied()
                .collect::<String>()
        };
        if [
            "Resource: !GetAtt IdentityTable.Arn",
            "Resource: !GetAtt VaultTable.Arn",
        ]
        .contains(line)
        {
            assert!(
                condition().contains("dynamodb:LeadingKeys"),
                "line {}",
                number + 1
            );
        }
        if *line == "Resource: !GetAtt Key.Arn" && !lines[number - 1].contains("DescribeKey") {
            assert!(
                condition().contains("kms:EncryptionContext:user"),
                "line {}",
                number + 1
            );
        }
    }
    let tables = Template::bundled().unwrap().tables.len();
    assert_eq!(
        TEMPLATE.matches("PointInTimeRecoveryEnabled: true").count(),
        tables
    );
    assert_eq!(TEMPLATE.matches("TimeToLiveSpecification:").count(), tables);
}
