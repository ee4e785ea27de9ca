//! The AWS services of the functions: the emulators, with the tables and the queue of the template.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::sdk_config::SharedCredentialsProvider;
use serde_json::json;
use shared::clock::random_bytes;
use tokio::sync::watch;

use crate::emulators::{Emulators, Keys, REGION};
use crate::stack::{Options, StartError};
use crate::template::{TableSchema, Template};

/// The running emulators, and the environment variables that functions need to use them.
pub struct Services {
    /// A client of the emulated DynamoDB, to inspect tables in tests.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// A client of the emulated SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// The environment variables of the functions, including those that Lambda itself sets.
    pub variables: BTreeMap<String, String>,
    emulators: Option<Emulators>,
    stop: watch::Sender<bool>,
}

/// The endpoints of the three services, and the keys and name prefix to use with them.
struct Place {
    dynamodb: String,
    kms: String,
    sqs: String,
    kms_key_id: String,
    jwt_keys: String,
    /// The prefix of the names of tables and queues. It separates runs that share another AWS
    /// implementation.
    prefix: String,
}

impl Services {
    /// Returns the URL of the sync queue.
    pub fn queue_url(&self) -> &str {
        self.variables
            .get("SYNC_QUEUE_URL")
            .map_or("", String::as_str)
    }

    /// Starts the emulators, unless another AWS implementation is configured. Creates the tables
    /// and queues of the template that do not exist yet.
    ///
    /// # Errors
    /// Returns [`StartError`], whose text is one line that names the cause.
    pub async fn start(template: &Template, options: &Options) -> Result<Self, StartError> {
        let (stop, stopped) = watch::channel(false);
        let make = |what: String| move |reason| StartError::Make { what, reason };
        let (place, emulators) = match &options.elsewhere {
            Some(endpoint) => (
                Place::elsewhere(endpoint)
                    .await
                    .map_err(make("a key".to_owned()))?,
                None,
            ),
            None => {
                let emulators =
                    Emulators::start(options.data.as_deref(), options.reset, stopped).await?;
                (Place::of(&emulators), Some(emulators))
            }
        };
        let dynamodb = aws_sdk_dynamodb::Client::new(&sdk_config(&place.dynamodb));
        let sqs = aws_sdk_sqs::Client::new(&sdk_config(&place.sqs));
        for (name, table) in &template.tables {
            let name = format!("{}{name}", place.prefix);
            make_table(&dynamodb, &name, table)
                .await
                .map_err(make(format!("the table {name}")))?;
        }
        let queue = make_queues(&sqs, &place.prefix)
            .await
            .map_err(make("the queue".to_owned()))?;
        let variables = variables(template, &place, &queue, options)?;
        Ok(Self {
            dynamodb,
            sqs,
            variables,
            emulators,
            stop,
        })
    }

    /// Stops the emulators, and waits until the data is on disk.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(emulators) = self.emulators {
            emulators.finish().await;
        }
    }
}

impl Place {
    fn of(emulators: &Emulators) -> Self {
        Self {
            dynamodb: emulators.dynamodb.clone(),
            kms: emulators.kms.clone(),
            sqs: emulators.sqs.clone(),
            kms_key_id: emulators.keys.kms_key_id.clone(),
            jwt_keys: emulators.keys.jwt_keys.clone(),
            prefix: String::new(),
        }
    }

    /// Uses another AWS implementation, and creates a KMS key there.
    async fn elsewhere(endpoint: &str) -> Result<Self, String> {
        let made = aws_sdk_kms::Client::new(&sdk_config(endpoint))
            .create_key()
            .send()
            .await;
        let made =
            made.map_err(|error| aws_sdk_kms::error::DisplayErrorContext(&error).to_string())?;
        let kms_key_id = made
            .key_metadata
            .map(|key| key.key_id)
            .ok_or("the response contains no key")?;
        let prefix = format!("t{:032x}-", u128::from_be_bytes(random_bytes()));
        let jwt_keys = Keys::generate().jwt_keys;
        let [dynamodb, kms, sqs] = [(); 3].map(|()| endpoint.to_owned());
        Ok(Self {
            dynamodb,
            kms,
            sqs,
            kms_key_id,
            jwt_keys,
            prefix,
        })
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

fn variables(
    template: &Template,
    place: &Place,
    queue: &str,
    options: &Options,
) -> Result<BTreeMap<String, String>, StartError> {
    let resource = |name: &str| match name {
        "Key" => Some(place.kms_key_id.clone()),
        "SyncQueue" => Some(queue.to_owned()),
        table if template.tables.contains_key(table) => Some(format!("{}{table}", place.prefix)),
        _ => None,
    };
    let mut variables = template.environment(&resource, &place.jwt_keys)?;
    let flag = |on: bool| if on { "on" } else { "off" }.to_owned();
    // Variables that Lambda itself sets, and variables that are only for development.
    variables.extend([
        ("AWS_REGION".to_owned(), REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), "local".to_owned()),
        (
            "AWS_ENDPOINT_URL_DYNAMODB".to_owned(),
            place.dynamodb.clone(),
        ),
        ("AWS_ENDPOINT_URL_KMS".to_owned(), place.kms.clone()),
        ("AWS_ENDPOINT_URL_SQS".to_owned(), place.sqs.clone()),
        ("RATE_LIMITS".to_owned(), flag(options.rate_limits)),
        (
            "ALLOW_LOOPBACK_FEEDS".to_owned(),
            flag(options.allow_loopback_feeds),
        ),
    ]);
    variables.extend(options.variables.clone());
    Ok(variables)
}

async fn make_table(
    dynamodb: &aws_sdk_dynamodb::Client,
    name: &str,
    table: &TableSchema,
) -> Result<(), String> {
    let element = |name: &String, kind| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
            .build()
    };
    let schema = |keys: &[String]| -> Result<Vec<KeySchemaElement>, String> {
        let kinds = [KeyType::Hash, KeyType::Range];
        keys.iter()
            .zip(kinds)
            .map(|(key, kind)| element(key, kind).map_err(|error| error.to_string()))
            .collect()
    };
    let attributes: std::collections::BTreeSet<&String> = table
        .key
        .iter()
        .chain(table.indexes.iter().flat_map(|(_, keys, _)| keys))
        .collect();
    let attributes = attributes.into_iter().map(|name| {
        let attribute = AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build();
        attribute.map_err(|error| error.to_string())
    });
    let indexes = table.indexes.iter().map(|(name, keys, projection)| {
        let projection = Projection::builder()
            .projection_type(ProjectionType::from(projection.as_str()))
            .build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(name)
            .set_key_schema(Some(schema(keys)?))
            .projection(projection);
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

async fn make_queues(sqs: &aws_sdk_sqs::Client, prefix: &str) -> Result<String, String> {
    let context =
        |error: &dyn std::error::Error| aws_sdk_sqs::error::DisplayErrorContext(error).to_string();
    let dead = sqs
        .create_queue()
        .queue_name(format!("{prefix}SyncDeadLetters"))
        .send()
        .await
        .map_err(|error| context(&error))?;
    let url = dead.queue_url.unwrap_or_default();
    let attributes = sqs
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::QueueArn)
        .send()
        .await;
    let attributes = attributes
        .map_err(|error| context(&error))?
        .attributes
        .unwrap_or_default();
    let arn = attributes
        .get(&QueueAttributeName::QueueArn)
        .cloned()
        .unwrap_or_default();
    let redrive = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 5 }).to_string();
    let queue = sqs
        .create_queue()
        .queue_name(format!("{prefix}SyncQueue"))
        .attributes(QueueAttributeName::RedrivePolicy, redrive)
        // On AWS, it is six times the worker's timeout. Here no worker is killed at its timeout, so
        // a failed message can be received again sooner.
        .attributes(QueueAttributeName::VisibilityTimeout, "60")
        .send()
        .await
        .map_err(|error| context(&error))?;
    Ok(queue.queue_url.unwrap_or_default())
}
