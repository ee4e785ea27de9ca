//! A file of more than 400 lines has a reason. Its unit tests do not count.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LINES: usize = 400;

/// Files that are longer, and why they are not split.
const REASONS: [(&str, &str); 13] = [
    (
        "local/benches/figures.rs",
        "the figures of one page of docs",
    ),
    (
        "local/sandboxes/src/google/events.rs",
        "one resource of the API",
    ),
    (
        "local/sandboxes/src/google/mod.rs",
        "the routes and the state behind them",
    ),
    (
        "local/sandboxes/src/microsoft/events.rs",
        "one resource of the API",
    ),
    (
        "local/sandboxes/src/microsoft/mod.rs",
        "the routes and the state behind them",
    ),
    (
        "shared/feeds/src/lines.rs",
        "one state machine over the lines of a file",
    ),
    (
        "shared/providers/src/microsoft/events.rs",
        "one resource of the API",
    ),
    ("tests/conformance/linking.rs", "journeys of one subject"),
    ("tests/conformance/series.rs", "journeys of one subject"),
    ("tests/journeys/feeds.rs", "journeys of one subject"),
    ("tests/sandboxes/microsoft.rs", "one sandbox"),
    (
        "tests/simulations/both_ways.rs",
        "one simulation: its world, its moves and its checks",
    ),
    (
        "tests/simulations/faults.rs",
        "faults of one kind of backend",
    ),
];

/// The lines of a file, without its unit tests.
fn lines_of(text: &str) -> usize {
    let tests = "\n#[cfg(test)]\nmod tests";
    let code = text.split_once(tests).map_or(text, |(code, _)| code);
    code.lines().count()
}

fn long_files(folder: &Path, root: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            long_files(&path, root, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && lines_of(&fs::read_to_string(&path).unwrap()) > LINES
        {
            into.insert(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn a_long_file_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let mut long = BTreeSet::new();
    for folder in ["shared", "functions", "local", "tests"] {
        long_files(&root.join(folder), &root, &mut long);
    }
    let reasons: BTreeSet<String> = REASONS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(long, reasons, "split the file, or say why not");
}
