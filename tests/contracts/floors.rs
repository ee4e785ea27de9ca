//! A module of `shared` uses only modules on lower floors.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up; what stands together may use each other.
const FLOORS: [&[&str]; 7] = [
    &["clock", "config", "error_chain", "telemetry"],
    &["domain"],
    &["store", "queue"],
    &["providers", "vault"],
    &["app", "agenda"],
    &["http", "sync"],
    &["boot"],
];

fn floor(module: &str) -> usize {
    FLOORS
        .iter()
        .position(|modules| modules.contains(&module))
        .unwrap_or_else(|| panic!("{module} stands on no floor"))
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, out)
        } else {
            out.push(path)
        }
    }
}

#[test]
fn no_module_uses_a_higher_floor() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut looked = 0;
    for path in all.iter().filter(|path| !path.ends_with("lib.rs")) {
        let relative = path.strip_prefix(&source).unwrap();
        let module = relative
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap()
            .trim_end_matches(".rs");
        let text = fs::read_to_string(path).unwrap();
        for used in text.split("crate::").skip(1) {
            let used: String = used
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '_')
                .collect();
            looked += 1;
            assert!(
                floor(&used) <= floor(module),
                "{} uses crate::{used}, which stands higher",
                relative.display()
            );
            if module == "domain" {
                assert!(
                    ["domain", "clock"].contains(&used.as_str()),
                    "{} uses crate::{used}",
                    relative.display()
                );
            }
            if module == "providers" {
                assert!(used != "store", "{} sees the store", relative.display());
            }
        }
        let names_runtime = text.contains("lambda_runtime::") || text.contains("lambda_http::run");
        assert!(
            !names_runtime || module == "boot",
            "{} names the runtime",
            relative.display()
        );
    }
    assert!(looked > 50, "{looked}");
}
