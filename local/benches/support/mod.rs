//! A local Lambda Runtime API, and function binaries that run under it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use local::services::Services;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// The certificate bundles of Linux distributions.
const CERTIFICATES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// A call of the function to the Runtime API, with its time.
pub enum Told {
    /// The function is ready for the next event.
    Next(Instant),
    /// The function has responded to an event.
    Answered(Instant, Value),
}

#[derive(Clone)]
struct RuntimeApi {
    events: Arc<Mutex<mpsc::UnboundedReceiver<Value>>>,
    told: mpsc::UnboundedSender<Told>,
}

/// A function's binary in a process of its own, with a Runtime API of its own.
pub struct FunctionProcess {
    /// When the process was started.
    pub started: Instant,
    child: Child,
    events: mpsc::UnboundedSender<Value>,
    told: mpsc::UnboundedReceiver<Told>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Finds a function's binary in a folder, as `cargo lambda build` or `cargo build` leave it.
pub fn binary(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut places = [folder.join(name).join("bootstrap"), folder.join(name)].into_iter();
    places.find(|path| path.is_file())
}

impl FunctionProcess {
    /// Starts a function. `variables` are set over those of the services.
    pub async fn start(binary: &Path, services: &Services, variables: &[(&str, String)]) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        let (events, queue) = mpsc::unbounded_channel();
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
                events: Arc::new(Mutex::new(queue)),
                told: tell,
            });
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let started = Instant::now();
        let child = Command::new(binary)
            .env_clear()
            .envs(&services.variables)
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // A single bundle, as on Lambda. Otherwise hundreds of files of the certificate folder would be read.
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
        Self {
            started,
            child,
            events,
            told,
            server,
        }
    }

    /// Hands the function an event.
    pub fn send(&self, event: Value) {
        self.events.send(event).unwrap();
    }

    /// Waits for the function's next call.
    pub async fn hear(&mut self) -> Told {
        let told = tokio::time::timeout(Duration::from_secs(20), self.told.recv()).await;
        told.unwrap_or_else(|_| panic!("the function does not answer"))
            .unwrap()
    }

    /// Reads a value of `/proc/PID/status`, such as `VmHWM:`, in kilobytes.
    pub fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let value = value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        value.unwrap_or_default()
    }

    /// Returns the processor time of all threads so far.
    pub fn processor_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let time = |task: std::io::Result<std::fs::DirEntry>| {
            let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        Duration::from_nanos(tasks.filter_map(time).sum())
    }

    /// Stops the function.
    pub fn stop(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.server.abort();
    }
}

/// Returns the event of an HTTP request without a body. `target` is a path with its query.
pub fn http_event(method: &str, target: &str, token: Option<&str>) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut event = json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": query, "isBase64Encoded": false,
        "headers": { "host": "localhost", "content-type": "application/json" },
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "localhost", "domainPrefix": "a", "requestId": "r", "routeKey": "r",
            "stage": "$default", "time": "01/Jan/2026:00:00:00 +0000", "timeEpoch": 0,
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench" }
        }
    });
    if let Some(token) = token {
        event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    }
    event
}

async fn next(State(api): State<RuntimeApi>) -> Response {
    drop(api.told.send(Told::Next(Instant::now())));
    let event = api.events.lock().await.recv().await;
    let Some(event) = event else {
        return std::future::pending().await;
    };
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
    (headers, event.to_string()).into_response()
}

async fn answered(State(api): State<RuntimeApi>, body: String) -> StatusCode {
    let answer = serde_json::from_str(&body).unwrap_or(Value::Null);
    drop(api.told.send(Told::Answered(Instant::now(), answer)));
    StatusCode::ACCEPTED
}

/// Prints a line of figures.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
pub fn say(line: &str) {
    println!("{line}");
}
