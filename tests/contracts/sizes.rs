//! A file of more than 400 lines has a reason.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const LINES: usize = 400;

/// Files that are longer, and why they are not split.
const REASONS: [(&str, &str); 0] = [];

fn long_files(folder: &Path, root: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            long_files(&path, root, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && fs::read_to_string(&path).unwrap().lines().count() > LINES
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
