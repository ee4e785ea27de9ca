//! What a function holds while it runs: built once at start-up, shared by everything it does.

use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_types::SdkConfig;
use aws_types::sdk_config::{RetryConfig, SharedCredentialsProvider, TimeoutConfig};

use crate::clock::Clock;
use crate::config::Config;
use crate::providers::Providers;
use crate::queue::Queue;
use crate::store::Store;
use crate::vault::Vault;

/// Everything that a handler can reach.
#[derive(Clone)]
pub struct App {
    /// What differs between deployments.
    pub config: Arc<Config>,
    /// Now.
    pub clock: Clock,
    /// The tables.
    pub store: Store,
    /// Secrets.
    pub vault: Vault,
    /// Work for later.
    pub queue: Queue,
    /// The providers that accounts are with.
    pub providers: Providers,
}

impl App {
    /// Builds the clients. Nothing is connected to until it is needed.
    pub fn new(config: Config, clock: Clock) -> Self {
        Self::over(config, clock, None)
    }

    /// The same, with the SDK's requests sent by `http`: a test's chance to see and to fail them.
    pub fn over(config: Config, clock: Clock, http: Option<SharedHttpClient>) -> Self {
        let sdk = |service| sdk_config(&config, service, http.clone());
        let store = Store::new(&sdk("DYNAMODB"), &config, clock.clone());
        let kms = aws_sdk_kms::Client::new(&sdk("KMS"));
        let vault = Vault::new(kms, config.kms_key_id.clone(), store.clone(), clock.clone());
        let queue = Queue::new(
            aws_sdk_sqs::Client::new(&sdk("SQS")),
            config.sync_queue_url.clone(),
        );
        let providers = Providers::new(&config, &clock);
        Self {
            config: Arc::new(config),
            clock,
            store,
            vault,
            queue,
            providers,
        }
    }
}

/// The SDK's configuration by hand: Lambda hands over region and credentials as variables, so nothing has to be looked
/// for at start-up.
fn sdk_config(config: &Config, service: &str, http: Option<SharedHttpClient>) -> SdkConfig {
    let credentials = &config.credentials;
    let credentials = Credentials::new(
        &credentials.access_key_id,
        credentials.secret_access_key.as_str(),
        credentials.session_token.clone(),
        None,
        "environment",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(2))
        .operation_attempt_timeout(Duration::from_secs(5))
        .operation_timeout(Duration::from_secs(15));
    let mut builder = SdkConfig::builder();
    builder.set_endpoint_url(config.endpoint(service).map(str::to_owned));
    builder.set_http_client(http);
    builder
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(config.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        // The SDK begins with a second; somebody may be waiting, and a queue tries again by itself.
        .retry_config(
            RetryConfig::standard()
                .with_max_attempts(4)
                .with_initial_backoff(Duration::from_millis(100)),
        )
        .timeout_config(timeouts.build())
        .build()
}
