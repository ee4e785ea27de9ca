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

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use local::services::Services;
use local::stack::Options;
use local::template::Template;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const RUNS: usize = 20;
/// The certificate bundles of Linux distributions.
const CERTIFICATES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// A call of the function to the Runtime API, with its time.
enum Told {
    Next(Instant),
    Answered(Instant),
}

#[derive(Clone)]
struct RuntimeApi {
    event: Arc<Value>,
    served: Arc<AtomicBool>,
    told: mpsc::UnboundedSender<Told>,
}

struct Figures {
    ready: Duration,
    answered: Duration,
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
        "function          binary     zipped   to /next   to answer   peak RSS   to /next, of bare_sdk",
    );
    let mut bare_sdk = None;
    let names = ["bare".to_owned(), "bare_sdk".to_owned()]
        .into_iter()
        .chain(template.functions.keys().cloned());
    for name in names {
        let binary = [folder.join(&name).join("bootstrap"), folder.join(&name)]
            .into_iter()
            .find(|path| path.is_file());
        let Some(binary) = binary else {
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
        let bytes = std::fs::read(&binary).unwrap();
        let peak = runs.iter().map(|run| run.peak_kb).max().unwrap_or_default();
        if name == "bare_sdk" {
            bare_sdk = Some(ready);
        }
        let to_bare = bare_sdk.map_or("-".to_owned(), |bare| {
            format!("{:.1}", ready.as_secs_f64() / bare.as_secs_f64())
        });
        say(&format!(
            "{name:<16} {:>5.1} MB  {:>6.1} MB  {:>6.1} ms   {:>6.1} ms   {:>5.1} MB   {to_bare}",
            megabytes(bytes.len()),
            megabytes(zipped(&bytes)),
            ready.as_secs_f64() * 1e3,
            answered.as_secs_f64() * 1e3,
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
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
        "headers": { "host": "localhost", "content-type": "application/json" },
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "localhost", "domainPrefix": "a", "requestId": "r", "routeKey": "r",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench" }
        }
    })
}

#[expect(
    clippy::too_many_lines,
    reason = "one measurement from start to answer"
)]
async fn cold_start(binary: &Path, services: &Services, event: &Value) -> Figures {
    let (told, mut hears) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route(
            "/2018-06-01/runtime/invocation/{id}/response",
            post(answered),
        )
        .route("/2018-06-01/runtime/invocation/{id}/error", post(answered))
        .with_state(RuntimeApi {
            event: Arc::new(event.clone()),
            served: Arc::default(),
            told,
        });
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let started = Instant::now();
    let mut child = Command::new(binary)
        .env_clear()
        .envs(&services.variables)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        // A single bundle, as on Lambda. Otherwise hundreds of files of the certificate folder
        // would be read.
        .envs(
            CERTIFICATES
                .iter()
                .find(|file| Path::new(file).is_file())
                .map(|file| ("SSL_CERT_FILE", *file)),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut ready, mut done) = (None, None);
    while ready.is_none() || done.is_none() {
        let told = tokio::time::timeout(Duration::from_secs(20), hears.recv()).await;
        match told
            .unwrap_or_else(|_| panic!("{} does not answer", binary.display()))
            .unwrap()
        {
            Told::Next(at) => ready = ready.or(Some(at)),
            Told::Answered(at) => done = Some(at),
        }
    }
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    child.kill().unwrap();
    child.wait().unwrap();
    server.abort();
    Figures {
        ready: ready.unwrap() - started,
        answered: done.unwrap() - started,
        peak_kb: peak.unwrap_or_default(),
    }
}

async fn next(State(api): State<RuntimeApi>) -> Response {
    if api.told.send(Told::Next(Instant::now())).is_err()
        || api.served.swap(true, Ordering::Relaxed)
    {
        // There is no second event.
        std::future::pending::<()>().await;
    }
    let headers = [
        (
            "lambda-runtime-aws-request-id",
            "8476a536-e9f4-11e8-9739-2dfe598c3fcd",
        ),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:bench",
        ),
        ("content-type", "application/json"),
    ];
    (headers, api.event.to_string()).into_response()
}

async fn answered(State(api): State<RuntimeApi>) -> StatusCode {
    drop(api.told.send(Told::Answered(Instant::now())));
    StatusCode::ACCEPTED
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn say(line: &str) {
    println!("{line}");
}
