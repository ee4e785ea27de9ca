//! The whole backend on this machine: emulators, gateway, poller and schedules, as the template wants them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::SharedCredentialsProvider;
use axum::Router;
use serde_json::json;
use shared::app::App;
use shared::boot::{messages, tick};
use shared::clock::Clock;
use shared::config::{Config, InvalidConfig};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::emulators::{EmulatorError, Emulators, REGION};
use crate::functions;
use crate::gateway::{Gateway, handle};
use crate::template::{BadTemplate, Table, Template};

/// How the stack is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port of the gateway; 0 for any.
    pub port: u16,
    /// Where the data is kept; in memory without.
    pub data: Option<PathBuf>,
    /// Whether what earlier runs have left there is removed first.
    pub reset: bool,
    /// Whether feeds may come from this machine.
    pub allow_loopback_feeds: bool,
    /// Whether callers are limited.
    pub rate_limits: bool,
    /// Now.
    pub clock: Clock,
    /// Whether the poller and the schedules run by themselves; a test may want to run them by hand.
    pub background: bool,
    /// Variables in place of the template's.
    pub variables: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            data: None,
            reset: false,
            allow_loopback_feeds: true,
            rate_limits: false,
            clock: Clock::System,
            background: true,
            variables: BTreeMap::new(),
        }
    }
}

/// The stack could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The gateway's port is taken.
    #[error("cannot listen on 127.0.0.1:{port}: {reason}; choose another with --port")]
    Port {
        /// Which.
        port: u16,
        /// Why.
        reason: std::io::Error,
    },
    /// The template cannot be followed.
    #[error("{0}")]
    Template(#[from] BadTemplate),
    /// An emulator did not start.
    #[error("{0}")]
    Emulator(#[from] EmulatorError),
    /// The template leaves a variable out.
    #[error("{0}")]
    Config(#[from] InvalidConfig),
    /// A table or the queue could not be made.
    #[error("cannot make {what}: {reason}")]
    Make {
        /// What.
        what: String,
        /// Why.
        reason: String,
    },
}

/// The running backend.
pub struct Stack {
    /// Where the API is, such as `http://127.0.0.1:8000`.
    pub url: String,
    /// What the functions hold.
    pub app: App,
    /// The client of the emulated DynamoDB, for looking at tables from outside.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The client of the emulated SQS.
    pub sqs: aws_sdk_sqs::Client,
    emulators: Emulators,
    stop_gateway: watch::Sender<bool>,
    stop_emulators: watch::Sender<bool>,
    gateway: JoinHandle<()>,
    background: Vec<JoinHandle<()>>,
}

impl Stack {
    /// Starts everything by this template.
    ///
    /// # Errors
    /// One clear line about what is in the way.
    pub async fn start(template: &str, options: Options) -> Result<Self, StartError> {
        let template = Template::parse(template)?;
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await;
        let listener = listener.map_err(|reason| StartError::Port { port: options.port, reason })?;
        let address = listener.local_addr().map_err(|reason| StartError::Port { port: options.port, reason })?;
        let (stop_emulators, emulators_stop) = watch::channel(false);
        let emulators = Emulators::start(options.data.as_deref(), options.reset, emulators_stop).await?;
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk_config(&emulators.dynamodb));
        let sqs = aws_sdk_sqs::Client::new(&sdk_config(&emulators.sqs));
        for (name, table) in &template.tables {
            make_table(&dynamodb, name, table).await.map_err(|reason| StartError::Make { what: format!("the table {name}"), reason })?;
        }
        let queue = make_queues(&sqs).await.map_err(|reason| StartError::Make { what: "the queue".to_owned(), reason })?;
        let config = configure(&template, &emulators, &queue, &options)?;
        let app = App::new(config, options.clock.clone());

        let routes = template.functions.iter().flat_map(|(name, function)| {
            let name = name.clone();
            function.routes.iter().map(move |(method, path)| (method.clone(), path.clone(), name.clone()))
        });
        let gateway = Gateway::new(routes, functions::mount(&app), options.clock.clone(), include_str!("demo.ics"));
        let (stop_gateway, mut gateway_stop) = watch::channel(false);
        let router = Router::new().fallback(handle).with_state(Arc::new(gateway)).into_make_service_with_connect_info::<SocketAddr>();
        let stopped = async move { stopped(&mut gateway_stop).await };
        let gateway = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!("the gateway ended: {error}");
            }
        });
        let mut background = Vec::new();
        if options.background {
            if template.functions.get(functions::WORKER).is_some_and(|worker| worker.on_queue) {
                background.push(tokio::spawn(poll(app.clone(), sqs.clone(), queue.clone(), stop_gateway.subscribe())));
            }
            for (name, run) in functions::SCHEDULED {
                if let Some(seconds) = template.functions.get(name).and_then(|function| function.every) {
                    background.push(tokio::spawn(repeat(app.clone(), run, seconds, stop_gateway.subscribe())));
                }
            }
        }
        Ok(Self { url: format!("http://{address}"), app, dynamodb, sqs, emulators, stop_gateway, stop_emulators, gateway, background })
    }

    /// Works on the messages that are visible now, until there are none. Answers with how many there were.
    pub async fn work(&self) -> usize {
        let mut worked = 0;
        loop {
            let batch = receive(&self.sqs, &self.app.config.sync_queue_url, 0).await;
            if batch.is_empty() {
                return worked;
            }
            worked += batch.len();
            work_on(&self.app, &self.sqs, &self.app.config.sync_queue_url, batch).await;
        }
    }

    /// The variables that point the SDK at the emulators.
    pub fn endpoints(&self) -> [(&'static str, &str); 3] {
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.emulators.dynamodb),
            ("AWS_ENDPOINT_URL_KMS", &self.emulators.kms),
            ("AWS_ENDPOINT_URL_SQS", &self.emulators.sqs),
        ]
    }

    /// Stops everything: requests and messages that are under way are finished first.
    pub async fn stop(self) {
        self.stop_gateway.send_replace(true);
        let finish = async {
            for task in self.background {
                drop(task.await);
            }
        };
        if tokio::time::timeout(Duration::from_secs(30), finish).await.is_err() {
            tracing::warn!("work under way did not finish in time; it is taken up again at the next start");
        }
        // A browser may keep its connection open for as long as it likes.
        drop(tokio::time::timeout(Duration::from_secs(2), self.gateway).await);
        self.stop_emulators.send_replace(true);
        self.emulators.finish().await;
    }
}

fn sdk_config(endpoint: &str) -> SdkConfig {
    let credentials = aws_credential_types::Credentials::new("local", "local", None, None, "local");
    SdkConfig::builder()
        .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

fn configure(template: &Template, emulators: &Emulators, queue: &str, options: &Options) -> Result<Config, StartError> {
    let resource = |name: &str| match name {
        "Key" => Some(emulators.keys.kms_key_id.clone()),
        "SyncQueue" => Some(queue.to_owned()),
        table if template.tables.contains_key(table) => Some(table.to_owned()),
        _ => None,
    };
    let mut variables = template.environment(&resource, &emulators.keys.jwt_keys)?;
    let flag = |on: bool| if on { "on" } else { "off" }.to_owned();
    // What Lambda itself sets, and what only development may.
    variables.extend([
        ("AWS_REGION".to_owned(), REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), "local".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), emulators.dynamodb.clone()),
        ("AWS_ENDPOINT_URL_KMS".to_owned(), emulators.kms.clone()),
        ("AWS_ENDPOINT_URL_SQS".to_owned(), emulators.sqs.clone()),
        ("RATE_LIMITS".to_owned(), flag(options.rate_limits)),
        ("ALLOW_LOOPBACK_FEEDS".to_owned(), flag(options.allow_loopback_feeds)),
    ]);
    variables.extend(options.variables.clone());
    Ok(Config::read(&|name| variables.get(name).cloned())?)
}

async fn make_table(dynamodb: &aws_sdk_dynamodb::Client, name: &str, table: &Table) -> Result<(), String> {
    let element = |name: &String, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
    let schema = |keys: &[String]| -> Result<Vec<KeySchemaElement>, String> {
        let kinds = [KeyType::Hash, KeyType::Range];
        keys.iter().zip(kinds).map(|(key, kind)| element(key, kind).map_err(|error| error.to_string())).collect()
    };
    let attributes: std::collections::BTreeSet<&String> =
        table.key.iter().chain(table.indexes.iter().flat_map(|(_, keys, _)| keys)).collect();
    let attributes = attributes.into_iter().map(|name| {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
        attribute.map_err(|error| error.to_string())
    });
    let indexes = table.indexes.iter().map(|(name, keys, projection)| {
        let projection = Projection::builder().projection_type(ProjectionType::from(projection.as_str())).build();
        let index = GlobalSecondaryIndex::builder().index_name(name).set_key_schema(Some(schema(keys)?)).projection(projection);
        index.build().map_err(|error| error.to_string())
    });
    let indexes: Vec<_> = indexes.collect::<Result<_, _>>()?;
    let made = dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_key_schema(Some(schema(&table.key)?))
        .set_attribute_definitions(Some(attributes.collect::<Result<_, _>>()?))
        .set_global_secondary_indexes(Some(indexes).filter(|indexes| !indexes.is_empty()))
        .send()
        .await;
    match made {
        Ok(_) => Ok(()),
        Err(error)
            if error
                .as_service_error()
                .is_some_and(aws_sdk_dynamodb::operation::create_table::CreateTableError::is_resource_in_use_exception) =>
        {
            Ok(())
        }
        Err(error) => Err(aws_sdk_dynamodb::error::DisplayErrorContext(&error).to_string()),
    }
}

async fn make_queues(sqs: &aws_sdk_sqs::Client) -> Result<String, String> {
    let context = |error: &dyn std::error::Error| aws_sdk_sqs::error::DisplayErrorContext(error).to_string();
    let dead = sqs.create_queue().queue_name("SyncDeadLetters").send().await.map_err(|error| context(&error))?;
    let url = dead.queue_url.unwrap_or_default();
    let attributes = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::QueueArn).send().await;
    let attributes = attributes.map_err(|error| context(&error))?.attributes.unwrap_or_default();
    let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
    let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 5 }).to_string();
    let queue = sqs
        .create_queue()
        .queue_name("SyncQueue")
        .attributes(QueueAttributeName::RedrivePolicy, redrive)
        // On AWS six times the worker's time. Here nobody kills a worker halfway, so a failure may come again sooner.
        .attributes(QueueAttributeName::VisibilityTimeout, "60")
        .send()
        .await
        .map_err(|error| context(&error))?;
    Ok(queue.queue_url.unwrap_or_default())
}

async fn receive(sqs: &aws_sdk_sqs::Client, queue: &str, wait: i32) -> Vec<aws_sdk_sqs::types::Message> {
    let answer = sqs.receive_message().queue_url(queue).max_number_of_messages(5).wait_time_seconds(wait).send().await;
    answer.map(|answer| answer.messages.unwrap_or_default()).unwrap_or_default()
}

/// Hands a batch to the worker, as Lambda's event source mapping does: what it does not report as failed is deleted.
async fn work_on(app: &App, sqs: &aws_sdk_sqs::Client, queue: &str, batch: Vec<aws_sdk_sqs::types::Message>) {
    let records =
        batch.iter().map(|message| json!({ "messageId": message.message_id(), "body": message.body(), "eventSource": "aws:sqs" }));
    let event = json!({ "Records": records.collect::<Vec<_>>() });
    let Ok(event) = serde_json::from_value::<SqsEvent>(event) else { return };
    let answer = messages(app, sync_worker::handle, event).await;
    let failed: Vec<String> = answer.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
    for message in batch.iter().filter(|message| !failed.iter().any(|id| Some(id.as_str()) == message.message_id())) {
        if let Some(receipt) = message.receipt_handle() {
            drop(sqs.delete_message().queue_url(queue).receipt_handle(receipt).send().await);
        }
    }
}

/// How many batches are worked on at once.
const CONCURRENCY: usize = 4;

async fn poll(app: App, sqs: aws_sdk_sqs::Client, queue: String, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONCURRENCY));
    let mut working = JoinSet::new();
    loop {
        let batch = tokio::select! {
            batch = receive(&sqs, &queue, 20) => batch,
            () = stopped(&mut stop) => break,
        };
        if batch.is_empty() {
            continue;
        }
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let (app, sqs, queue) = (app.clone(), sqs.clone(), queue.clone());
        working.spawn(async move {
            work_on(&app, &sqs, &queue, batch).await;
            drop(place);
        });
        while working.try_join_next().is_some() {}
    }
    while working.join_next().await.is_some() {}
    // What still waits is finished too, so that nothing is lost with the queue.
    loop {
        let batch = receive(&sqs, &queue, 0).await;
        if batch.is_empty() {
            return;
        }
        work_on(&app, &sqs, &queue, batch).await;
    }
}

/// Returns once the stack is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn repeat(app: App, run: functions::Run, seconds: u64, mut stop: watch::Receiver<bool>) {
    let mut timer = tokio::time::interval(Duration::from_secs(seconds));
    loop {
        tokio::select! {
            _ = timer.tick() => drop(tick(app.clone(), run).await),
            () = stopped(&mut stop) => return,
        }
    }
}
