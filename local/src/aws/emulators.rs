//! Emulators of DynamoDB (dynoxide, in a file or in memory), KMS and SQS (winterbaume). Each
//! listens on a loopback port and is used through the AWS SDK.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use dynoxide::Database;
use serde::{Deserialize, Serialize};
use shared::clock::random_bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use winterbaume_core::{MockRequest, MockService, StatefulService, default_account_id};
use winterbaume_kms::views::KeyView;
use winterbaume_kms::{KmsService, KmsStateView};
use winterbaume_sqs::SqsService;

/// The AWS region of all resources.
pub const REGION: &str = "us-east-1";

/// The emulators failed to start.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}: {reason}; use `--reset` to remove its data", folder.display())]
    Data {
        /// The folder.
        folder: PathBuf,
        /// The reason.
        reason: String,
    },
    /// No loopback port is available.
    #[error("cannot listen on 127.0.0.1: {0}")]
    Listen(#[from] std::io::Error),
    /// The KMS emulator did not accept the key.
    #[error("cannot start the KMS emulator: {0}")]
    Kms(String),
}

/// The running emulators.
pub struct Emulators {
    /// The URL of DynamoDB.
    pub dynamodb: String,
    /// The URL of KMS.
    pub kms: String,
    /// The URL of SQS.
    pub sqs: String,
    /// The keys, which are kept across restarts.
    pub keys: Keys,
    tasks: Vec<JoinHandle<()>>,
    /// The lock on the data folder.
    _lock: Option<fs::File>,
}

/// The keys that must be kept across restarts. Without them, data encrypted earlier cannot be
/// decrypted.
#[derive(Clone, Serialize, Deserialize)]
pub struct Keys {
    /// The ID of the KMS key.
    pub kms_key_id: String,
    kms_material: String,
    /// The value of the `JWT_KEYS` variable.
    pub jwt_keys: String,
}

impl Emulators {
    /// Starts all three emulators. DynamoDB's data and the keys are stored in `folder`, or in
    /// memory if it is `None`. `reset` removes the data that is stored there. DynamoDB stops on the
    /// `stop` signal.
    ///
    /// # Errors
    /// Returns [`EmulatorError`] if the folder cannot be used, if no port is available, or if the
    /// KMS emulator does not accept the key.
    pub async fn start(
        folder: Option<&Path>,
        reset: bool,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, EmulatorError> {
        let (database, keys, lock) = match folder {
            Some(folder) => open(folder, reset).map_err(|reason| EmulatorError::Data {
                folder: folder.to_owned(),
                reason,
            })?,
            None => (
                Database::memory().map_err(|error| EmulatorError::Kms(error.to_string()))?,
                Keys::generate(),
                None,
            ),
        };
        // Afterwards, a commit is written to the log without waiting for the disk. It is lost only
        // if the machine itself fails.
        let fast = database
            .enable_bulk_loading()
            .and_then(|()| database.disable_bulk_loading());
        fast.map_err(|error| EmulatorError::Kms(error.to_string()))?;
        let dynamodb = TcpListener::bind("127.0.0.1:0").await?;
        let (kms, sqs) = (
            TcpListener::bind("127.0.0.1:0").await?,
            TcpListener::bind("127.0.0.1:0").await?,
        );
        let url = |listener: &TcpListener| {
            listener
                .local_addr()
                .map(|address| format!("http://{address}"))
        };
        let (dynamodb_url, kms_url, sqs_url) = (url(&dynamodb)?, url(&kms)?, url(&sqs)?);
        let kms_service = KmsService::new();
        keys.install(&kms_service)
            .await
            .map_err(EmulatorError::Kms)?;
        let mut stopped = stop.clone();
        let wait = async move {
            drop(stopped.wait_for(|stop| *stop).await);
        };
        let tasks = vec![
            tokio::spawn(async move {
                if let Err(error) =
                    dynoxide::server::serve_with_shutdown(dynamodb, database, wait).await
                {
                    tracing::error!("the DynamoDB emulator stopped: {error}");
                }
            }),
            tokio::spawn(serve(kms, kms_service)),
            tokio::spawn(serve(sqs, SqsService::new())),
        ];
        Ok(Self {
            _lock: lock,
            dynamodb: dynamodb_url,
            kms: kms_url,
            sqs: sqs_url,
            keys,
            tasks,
        })
    }

    /// Waits until the data is on disk, for up to five seconds. The caller sends the stop signal
    /// first.
    pub async fn finish(mut self) {
        let dynamodb = self.tasks.remove(0);
        if tokio::time::timeout(std::time::Duration::from_secs(5), dynamodb)
            .await
            .is_err()
        {
            tracing::warn!("the DynamoDB emulator did not stop in time");
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Keys {
    /// Generates new keys.
    pub fn generate() -> Self {
        let hex = |bytes: &[u8]| {
            bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        let id = hex(&random_bytes::<16>());
        Self {
            // KMS key IDs have the format of a UUID.
            kms_key_id: format!(
                "{}-{}-{}-{}-{}",
                &id[..8],
                &id[8..12],
                &id[12..16],
                &id[16..20],
                &id[20..]
            ),
            kms_material: hex(&random_bytes::<32>()),
            jwt_keys: format!(
                r#"[{{"kid":"local","secret":"{}"}}]"#,
                hex(&random_bytes::<32>())
            ),
        }
    }

    async fn install(&self, service: &KmsService) -> Result<(), String> {
        let material: Option<Vec<u8>> = (0..32)
            .map(|at| u8::from_str_radix(self.kms_material.get(at * 2..at * 2 + 2)?, 16).ok())
            .collect();
        let account = default_account_id();
        let key = KeyView {
            key_id: self.kms_key_id.clone(),
            arn: format!("arn:aws:kms:{REGION}:{account}:key/{}", self.kms_key_id),
            account_id: account.into(),
            region: REGION.into(),
            description: "Calweave, local".into(),
            key_spec: "SYMMETRIC_DEFAULT".into(),
            key_usage: "ENCRYPT_DECRYPT".into(),
            key_state: "Enabled".into(),
            creation_date: "2026-01-01T00:00:00Z".into(),
            enabled: true,
            origin: "AWS_KMS".into(),
            key_manager: "CUSTOMER".into(),
            deletion_date: None,
            key_rotation_enabled: true,
            key_material: material.ok_or("the stored key is invalid")?,
            public_key_der: None,
            tags: std::collections::HashMap::default(),
            multi_region: false,
        };
        let mut view = KmsStateView::default();
        view.keys.insert(self.kms_key_id.clone(), key);
        service
            .merge(account, REGION, view)
            .await
            .map_err(|error| format!("{error:?}"))
    }
}

/// Locks the folder for this process, and opens the database and the keys in it. Creates them if
/// the folder is new, or after a `reset`.
fn open(folder: &Path, reset: bool) -> Result<(Database, Keys, Option<fs::File>), String> {
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    // The database holds what people have in their calendars.
    #[cfg(unix)]
    fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .map_err(|error| error.to_string())?;
    let lock = fs::File::create(folder.join("lock")).map_err(|error| error.to_string())?;
    lock.try_lock()
        .map_err(|_| "another calweave is using it".to_owned())?;
    if reset {
        for name in [
            "dynamodb.sqlite",
            "dynamodb.sqlite-wal",
            "dynamodb.sqlite-shm",
            "keys.json",
        ] {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("{name}: {error}"));
                }
                _ => {}
            }
        }
    }
    let used_before = folder.join("dynamodb.sqlite").exists();
    let path = folder.join("dynamodb.sqlite");
    let database = Database::new(&path.to_string_lossy())
        .map_err(|error| format!("dynamodb.sqlite: {error}"))?;
    let path = folder.join("keys.json");
    let keys = match fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| format!("keys.json: {error}"))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && used_before => {
            return Err(
                "keys.json is missing; encrypted data cannot be decrypted without it".to_owned(),
            );
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let keys = Keys::generate();
            write_private(
                &path,
                &serde_json::to_vec_pretty(&keys).map_err(|error| error.to_string())?,
            )
            .map_err(|error| error.to_string())?;
            keys
        }
        Err(error) => return Err(format!("keys.json: {error}")),
    };
    Ok((database, keys, Some(lock)))
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

async fn serve<S: MockService>(listener: TcpListener, service: S) {
    let router = Router::new()
        .fallback(answer::<S>)
        .with_state(Arc::new(service));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("an emulator stopped: {error}");
    }
}

async fn answer<S: MockService>(
    State(service): State<Arc<S>>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let uri = format!(
        "https://{}.{REGION}.amazonaws.com/",
        (*service).service_name()
    );
    let answer = (*service)
        .handle(MockRequest {
            method: method.to_string(),
            uri,
            headers,
            body,
        })
        .await;
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = answer.headers;
    response
}
