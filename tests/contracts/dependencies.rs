//! What the functions are linked with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use local::template::Template;

/// Crates of which the functions have two versions, and why.
const SECOND_VERSIONS: [(&str, &str); 9] = [
    ("base64", "serde_dynamo has 0.21, the SDK 0.23"),
    ("block-buffer", "see sha2"),
    ("cpufeatures", "see sha2"),
    ("crypto-common", "see sha2"),
    ("digest", "see sha2"),
    ("getrandom", "oauth2 has rand 0.8, and with it 0.2"),
    ("sha2", "oauth2 has 0.10, the SDK's signatures 0.11"),
    ("thiserror", "oauth2 has 1"),
    ("untrusted", "aws-lc-rs has 0.7, rustls-webpki 0.9"),
];

/// Crates that no function may have: aws-lc-rs is the one cryptographic library, for TLS, tokens and the vault.
const BANNED: [&str; 4] = ["ring", "openssl", "openssl-sys", "native-tls"];

/// Licences that a part of an expression may consist of.
const PERMISSIVE: [&str; 15] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
    "0BSD",
    "OpenSSL",
    "CDLA-Permissive-2.0",
    "BSL-1.0",
    "Unlicense",
];

/// Returns the crates that the functions are linked with: name, version and licence.
fn linked() -> BTreeSet<(String, String, String)> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .args(["tree", "--offline", "--locked", "--prefix", "none"])
        .args(["--edges", "normal,no-proc-macro"])
        .args([
            "--target",
            "x86_64-unknown-linux-gnu",
            "--format",
            "{p}|{l}",
        ]);
    for name in Template::bundled().unwrap().functions.keys() {
        tree.args(["--package", name]);
    }
    let output = tree.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |line: &str| {
        // What was listed before is marked.
        let (package, licence) = line.trim_end_matches(" (*)").split_once('|')?;
        let mut words = package.split(' ');
        let (name, version) = (words.next()?, words.next()?);
        Some((name.to_owned(), version.to_owned(), licence.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn the_functions_have_one_cryptographic_library() {
    let linked = linked();
    assert!(linked.len() > 150, "{}", linked.len());
    assert!(linked.iter().any(|(name, ..)| name == "aws-lc-rs"));
    let banned: Vec<_> = linked
        .iter()
        .filter(|(name, ..)| BANNED.contains(&name.as_str()))
        .collect();
    assert!(banned.is_empty(), "{banned:?}");
}

#[test]
fn a_second_version_of_a_crate_has_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, version, _) in linked() {
        versions.entry(name).or_default().insert(version);
    }
    let doubled: Vec<String> = versions
        .into_iter()
        .filter(|(_, all)| all.len() > 1)
        .map(|(name, _)| name)
        .collect();
    let known: Vec<&str> = SECOND_VERSIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(doubled, known);
}

#[test]
fn licences_are_permissive() {
    // One of several alternatives is enough; what stands side by side must all be permissive.
    let is_permissive = |licence: &str| {
        let parts = licence.replace(['(', ')'], "");
        parts.split(" AND ").all(|part| {
            let mut alternatives = part.split(" OR ").flat_map(|one| one.split('/'));
            alternatives.any(|one| PERMISSIVE.contains(&one.trim()))
        })
    };
    let strict: Vec<_> = linked()
        .into_iter()
        .filter(|(_, _, licence)| !is_permissive(licence))
        .collect();
    assert!(strict.is_empty(), "{strict:?}");
    assert!(!is_permissive("GPL-3.0") && !is_permissive("MIT AND GPL-3.0"));
}
