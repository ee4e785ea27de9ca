//! `cargo bench -p local --bench cold_start`: the cost of cold starts, measured with a local Lambda
//! Runtime API.
//!
//! Build the functions for this machine first (`local/scripts/build-functions --x86-64`). The
//! binaries are read from `target/lambda`, or from the folder given as an argument. Times are
//! medians of 20 runs; compare ratios.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot continue panics"
)]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use local::services::Services;
use local::stack::Options;
use local::template::Template;
use serde_json::{Value, json};
use support::{FunctionProcess, Told, binary, say};

const RUNS: usize = 20;

struct Figures {
    ready: Duration,
    answered: Duration,
    /// Processor time until the answer.
    used: Duration,
    peak_kb: u64,
}

#[tokio::main]
async fn main() {
    let folder = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map(PathBuf::from);
    let folder =
        folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lambda"));
    let template = Template::bundled().unwrap();
    let services = Services::start(&template, &Options::default())
        .await
        .unwrap();
    say(
        "function          binary     zipped   to /next   to answer        CPU   peak RSS   to /next, of bare_sdk",
    );
    let mut bare_sdk = None;
    let names = ["bare".to_owned(), "bare_sdk".to_owned()]
        .into_iter()
        .chain(template.functions.keys().cloned());
    for name in names {
        let Some(binary) = binary(&folder, &name) else {
            say(&format!("{name:<16} is not in {}", folder.display()));
            continue;
        };
        let function = template.functions.get(&name);
        let event = match function {
            Some(function) if function.on_queue => json!({ "Records": [] }),
            Some(function) if function.every.is_some() => json!({}),
            Some(function) => http_event(&function.routes),
            None => http_event(&[("GET".to_owned(), "/health".to_owned())]),
        };
        let mut runs = Vec::new();
        for _ in 0..RUNS {
            runs.push(cold_start(&binary, &services, &event).await);
        }
        let median = |of: fn(&Figures) -> Duration| {
            let mut times: Vec<Duration> = runs.iter().map(of).collect();
            times.sort_unstable();
            times[RUNS / 2]
        };
        let (ready, answered) = (median(|run| run.ready), median(|run| run.answered));
        let used = median(|run| run.used);
        let bytes = std::fs::read(&binary).unwrap();
        let peak = runs.iter().map(|run| run.peak_kb).max().unwrap_or_default();
        if name == "bare_sdk" {
            bare_sdk = Some(ready);
        }
        let to_bare = bare_sdk.map_or("-".to_owned(), |bare| {
            format!("{:.1}", ready.as_secs_f64() / bare.as_secs_f64())
        });
        say(&format!(
            "{name:<16} {:>5.1} MB  {:>6.1} MB  {:>6.1} ms   {:>6.1} ms   {:>5.1} ms   {:>5.1} MB   {to_bare}",
            megabytes(bytes.len()),
            megabytes(zipped(&bytes)),
            ready.as_secs_f64() * 1e3,
            answered.as_secs_f64() * 1e3,
            used.as_secs_f64() * 1e3,
            megabytes(usize::try_from(peak).unwrap() * 1000),
        ));
    }
    services.stop().await;
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

fn zipped(bytes: &[u8]) -> usize {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().len()
}

/// Returns an unauthenticated request to one of these routes, which is answered without a table, or
/// with 401.
fn http_event(routes: &[(String, String)]) -> Value {
    let (method, path) = routes
        .iter()
        .find(|(method, path)| method == "GET" && !path.contains('{'))
        .unwrap_or(&routes[0]);
    support::http_event(method, path, None)
}

async fn cold_start(binary: &Path, services: &Services, event: &Value) -> Figures {
    let mut function = FunctionProcess::start(binary, services, &[]).await;
    function.send(event.clone());
    let (mut ready, mut done) = (None, None);
    while ready.is_none() || done.is_none() {
        match function.hear().await {
            Told::Next(at) => ready = ready.or(Some(at)),
            Told::Answered(at, answer) => {
                assert!(!answer.is_null(), "{} fails", binary.display());
                done = Some(at);
            }
        }
    }
    let figures = Figures {
        ready: ready.unwrap() - function.started,
        answered: done.unwrap() - function.started,
        used: function.processor_time(),
        peak_kb: function.status("VmHWM:"),
    };
    function.stop();
    figures
}
