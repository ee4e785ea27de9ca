//! The crates of `shared` stand in floors: each uses only crates below it. Cargo refuses circles; what it does not know is
//! which way up the house stands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// From the ground up. A crate may use those before it, but for the pairs in [`APART`].
pub(super) const FLOORS: [&str; 10] = [
    "base",
    "domain",
    "store",
    "feeds",
    "egress",
    "vault",
    "providers",
    "calendar",
    "sync",
    "http",
];

/// What has nothing to do with each other, though one stands above the other.
const APART: [(&str, &str); 8] = [
    ("domain", "store"),
    ("feeds", "store"),
    ("egress", "store"),
    ("egress", "feeds"),
    // Providers never see the tables, nor the vault.
    ("providers", "store"),
    ("providers", "vault"),
    ("providers", "egress"),
    // An endpoint calls use cases; the engine is for the worker and the jobs.
    ("http", "sync"),
];

/// The crates of `shared` that one of them uses.
pub(super) fn crates_used_by(name: &str) -> BTreeSet<String> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let used = dependencies(&shared.join(name).join("Cargo.toml"));
    let used = used
        .iter()
        .filter_map(|name| name.strip_prefix("calweave-"));
    used.map(str::to_owned).collect()
}

/// The dependencies that a crate's manifest lists.
fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let (_, rest) = text.split_once("[dependencies]").unwrap();
    let section = rest.split("\n[").next().unwrap();
    let names = section
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next());
    names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_crate_uses_a_higher_floor() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let folders = fs::read_dir(&shared)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let crates = folders
        .filter(|path| path.join("Cargo.toml").exists())
        .count();
    assert_eq!(crates, FLOORS.len(), "each crate has a floor");
    for (above, name) in FLOORS.iter().enumerate() {
        for other in &crates_used_by(name) {
            let below = FLOORS.iter().position(|floor| floor == other).unwrap();
            assert!(below < above, "{name} uses {other}, which stands higher");
            assert!(
                !APART.contains(&(name, other.as_str())),
                "{name} uses {other}"
            );
        }
    }
}

#[test]
fn each_floor_keeps_its_promise() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let uses = |name: &str, prefix: &str| {
        let used = dependencies(&shared.join(name).join("Cargo.toml"));
        used.iter().any(|used| used.starts_with(prefix))
    };
    for name in FLOORS {
        assert!(!uses(name, "lambda_"), "{name} knows the Lambda runtime");
        let is_web = name == "http";
        assert!(is_web || !uses(name, "axum"), "{name} knows HTTP servers");
    }
    for pure in ["domain", "feeds"] {
        for forbidden in ["tokio", "futures", "aws-sdk", "reqwest"] {
            assert!(!uses(pure, forbidden), "{pure} uses {forbidden}");
        }
    }
}
