//! One name for one thing: words that were given up stay away, and no two public types have the same name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Words of this project alone, which neither RFC 5545 nor the providers' documentation uses. `docs/architecture.md` has the
/// glossary.
const RETIRED_WORDS: [(&str, &str); 10] = [
    ("manners", "capabilities"),
    ("riddle", "unexplained removal"),
    ("riddles", "unexplained removals"),
    ("wish", "sync request"),
    ("wishes", "sync requests"),
    ("heed", "honor"),
    ("heeds", "honors"),
    ("seat", "permit"),
    ("seats", "permits"),
    ("verdict", "reconciliation"),
];

/// Names of types that said too little.
const RETIRED_TYPES: [&str; 25] = [
    "Accounts", "Ask", "Asked", "Came", "Ending", "Held", "How", "Kept", "Known", "Look",
    "Manners", "Opened", "Outcome", "Place", "Position", "Provider", "Remote", "Shown", "Standing",
    "Step", "Steps", "Stop", "Trail", "Verdict", "Writing",
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// All Rust files but this one, each with its path from the root.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let mut paths = Vec::new();
    for folder in ["shared", "functions", "local", "tests"] {
        sources(&root.join(folder), &mut paths);
    }
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    let files = paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()));
    files
        .filter(|(name, _)| !name.ends_with("contracts/vocabulary.rs"))
        .collect()
}

#[test]
fn retired_words_stay_away() {
    let mut found = Vec::new();
    for (name, text) in files() {
        for (number, line) in text.lines().enumerate() {
            let words = line
                .split(|c: char| !c.is_ascii_alphabetic())
                .map(str::to_lowercase);
            for word in words {
                let retired = RETIRED_WORDS.iter().find(|(retired, _)| *retired == word);
                if let Some((retired, better)) = retired {
                    found.push(format!("{name}:{}: {better}, not {retired}", number + 1));
                }
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The public structs, enums and traits that a file defines.
fn public_types(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.strip_prefix("pub ")?;
        let name = ["struct ", "enum ", "trait "]
            .iter()
            .find_map(|kind| line.strip_prefix(kind))?;
        name.split(|c: char| !c.is_alphanumeric()).next()
    })
}

#[test]
fn a_public_type_has_a_name_of_its_own() {
    let mut defined: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in files() {
        for name in public_types(&text) {
            defined
                .entry(name.to_owned())
                .or_default()
                .push(file.clone());
        }
    }
    assert!(defined.len() > 200, "too few types are found");
    let doubled: Vec<_> = defined
        .iter()
        .filter(|(_, files)| files.len() > 1)
        .collect();
    assert!(doubled.is_empty(), "{doubled:#?}");
    let retired: Vec<_> = RETIRED_TYPES
        .iter()
        .filter(|name| defined.contains_key(**name))
        .collect();
    assert!(retired.is_empty(), "{retired:?}");
}
