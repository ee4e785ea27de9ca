//! As `bare`, but linked with the clients of the three AWS services that Calweave uses. `/calls/N` reads an item of DynamoDB
//! N times at once.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_types::SdkConfig;
use futures::future::try_join_all;
use lambda_http::{Error, Request, run, service_fn};

#[expect(
    clippy::disallowed_methods,
    reason = "this function has no configuration but these two variables"
)]
fn main() -> Result<(), Error> {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_DYNAMODB");
    let table = std::env::var("IDENTITY_TABLE").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let credentials =
        SharedCredentialsProvider::new(Credentials::new("bare", "bare", None, None, "bare"));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint.unwrap_or("http://127.0.0.1:9".to_owned()))
        .credentials_provider(credentials)
        .build();
    let (dynamodb, kms, sqs) = (
        aws_sdk_dynamodb::Client::new(&sdk),
        aws_sdk_kms::Client::new(&sdk),
        aws_sdk_sqs::Client::new(&sdk),
    );
    let hello = async |request: Request| {
        if let Some(calls) = request.uri().path().strip_prefix("/calls/") {
            let key = |name| (name, AttributeValue::S("bare".to_owned()));
            let [(pk, of_pk), (sk, of_sk)] = [key("pk"), key("sk")];
            let get = dynamodb
                .get_item()
                .table_name(&table)
                .key(pk, of_pk)
                .key(sk, of_sk);
            try_join_all((0..calls.parse::<u32>()?).map(|_| get.clone().send())).await?;
        }
        // Never requested. Without a use, the linker would drop the clients from the binary.
        if request.uri().path() == "/use" {
            dynamodb.get_item().send().await?;
            kms.decrypt().send().await?;
            sqs.send_message().send().await?;
        }
        Ok::<_, Error>(serde_json::json!({ "hello": "world" }))
    };
    runtime.block_on(run(service_fn(hello)))
}
