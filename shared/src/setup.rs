//! Builds the dependencies of a function from its environment variables: each part once, without opening connections.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, IdentityCache, Region, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_types::SdkConfig;
use aws_types::sdk_config::{RetryConfig, SharedCredentialsProvider, TimeoutConfig};
use calweave_base::clock::Clock;
use calweave_base::config::{
    AwsConfig, Environment, FeedsConfig, InvalidConfig, KeyConfig, QueueConfig, TableNames,
};
use calweave_egress::address::EgressPolicy;
use calweave_providers::Providers;
use calweave_store::Store;
use calweave_store::queue::Queue;
use calweave_vault::Vault;

/// The dependencies of a kind of function.
pub trait Role: Clone + Send + Sync + 'static {
    /// Whether the function has authenticated callers. A function without them needs no access token keys.
    const HAS_CALLERS: bool = true;

    /// Builds the role from its parts. [`Setup::env`] collects missing variables.
    fn build(setup: &mut Setup<'_>) -> Self;
}

/// The parts that roles are built from. A part is built on first use, and shared by all roles of the same setup.
pub struct Setup<'a> {
    /// The environment variables.
    pub env: Environment<'a>,
    clock: Clock,
    http: Option<SharedHttpClient>,
    aws: Option<AwsConfig>,
    store: Option<Store>,
    queue: Option<Queue>,
    vault: Option<Vault>,
    providers: Option<Providers>,
}

impl<'a> Setup<'a> {
    /// Creates a setup whose parts are configured by `env` and use `clock`.
    pub fn new(env: Environment<'a>, clock: Clock) -> Self {
        Self {
            env,
            clock,
            http: None,
            aws: None,
            store: None,
            queue: None,
            vault: None,
            providers: None,
        }
    }

    /// Sends the AWS SDK's requests through `http`, so that tests can observe them or make them fail.
    #[must_use]
    pub fn over(mut self, http: Option<SharedHttpClient>) -> Self {
        self.http = http;
        self
    }

    /// Builds a role.
    ///
    /// # Errors
    /// [`InvalidConfig`] with all variables that are missing or invalid.
    pub fn role<R: Role>(&mut self) -> Result<R, InvalidConfig> {
        let role = R::build(self);
        self.env.check()?;
        Ok(role)
    }

    /// Returns the clock.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Returns the store.
    pub fn store(&mut self) -> Store {
        if let Some(store) = &self.store {
            return store.clone();
        }
        let tables = TableNames::read(&mut self.env);
        let store = Store::new(&self.sdk("DYNAMODB"), &tables, self.clock());
        self.store.insert(store).clone()
    }

    /// Returns the queue of background jobs.
    pub fn queue(&mut self) -> Queue {
        if let Some(queue) = &self.queue {
            return queue.clone();
        }
        let QueueConfig { url } = QueueConfig::read(&mut self.env);
        let queue = Queue::new(aws_sdk_sqs::Client::new(&self.sdk("SQS")), url);
        self.queue.insert(queue).clone()
    }

    /// Returns the vault.
    pub fn vault(&mut self) -> Vault {
        if let Some(vault) = &self.vault {
            return vault.clone();
        }
        let KeyConfig { kms_key_id } = KeyConfig::read(&mut self.env);
        let kms = aws_sdk_kms::Client::new(&self.sdk("KMS"));
        let vault = Vault::new(kms, kms_key_id, self.store(), self.clock());
        self.vault.insert(vault).clone()
    }

    /// Returns the providers.
    pub fn providers(&mut self) -> Providers {
        if let Some(providers) = &self.providers {
            return providers.clone();
        }
        let providers = Providers::read(&mut self.env, &self.clock);
        self.providers.insert(providers).clone()
    }

    /// Returns the policy for addresses that feeds may be fetched from.
    pub fn feed_policy(&mut self) -> EgressPolicy {
        let FeedsConfig { allow_loopback } = FeedsConfig::read(&mut self.env);
        EgressPolicy {
            loopback: allow_loopback,
        }
    }

    /// Builds the SDK's configuration directly from variables: Lambda passes region and credentials in the environment,
    /// so the SDK's provider chains are not needed.
    fn sdk(&mut self, service: &str) -> SdkConfig {
        let aws = match self.aws.take() {
            Some(aws) => aws,
            None => AwsConfig::read(&mut self.env),
        };
        let credentials = Credentials::new(
            &aws.credentials.access_key_id,
            aws.credentials.secret_access_key.as_str(),
            aws.credentials.session_token.clone(),
            None,
            "environment",
        );
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(5))
            .operation_timeout(Duration::from_secs(15));
        // The default initial backoff of one second is too long for a waiting client; messages are retried by the queue
        // anyway.
        let retries = RetryConfig::standard()
            .with_max_attempts(4)
            .with_initial_backoff(Duration::from_millis(100));
        let mut builder = SdkConfig::builder();
        builder.set_endpoint_url(aws.endpoint(service).map(str::to_owned));
        builder.set_http_client(self.http.clone());
        let sdk = builder
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(aws.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(retries)
            .timeout_config(timeouts.build())
            // Responses are small, and each attempt has a timeout.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // The credentials are fixed: Lambda starts another process before they expire.
            .identity_cache(IdentityCache::no_cache())
            .build();
        self.aws = Some(aws);
        sdk
    }
}

#[cfg(test)]
mod tests {
    use calweave_sync::SyncContext;

    use super::*;
    use crate::roles::HandlerState;

    fn missing<R: Role>(lookup: &dyn Fn(&str) -> Option<String>) -> String {
        let mut setup = Setup::new(Environment::new(lookup), Clock::System);
        setup
            .role::<R>()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let region = |name: &str| (name == "AWS_REGION").then(|| "eu-central-1".into());
        let error = missing::<HandlerState<SyncContext>>(&region);
        for name in [
            "IDENTITY_TABLE",
            "VAULT_TABLE",
            "CALENDAR_TABLE",
            "AUDIT_TABLE",
            "KMS_KEY_ID",
            "SYNC_QUEUE_URL",
            "JWT_KEYS",
        ] {
            assert_eq!(
                error.matches(&format!("{name} is missing")).count(),
                1,
                "{error}"
            );
        }
        assert!(!error.contains("AWS_REGION"));
    }

    #[test]
    fn a_job_needs_no_secret() {
        let error = missing::<calweave_calendar::Context>(&|_| None);
        for name in ["JWT_KEYS", "KMS_KEY_ID"] {
            assert!(!error.contains(name), "{error}");
        }
    }
}
