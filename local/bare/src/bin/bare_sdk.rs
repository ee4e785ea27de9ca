//! As `bare`, but linked with the clients of the three AWS services that Calweave uses.

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use lambda_http::{Error, Request, run, service_fn};

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let credentials =
        SharedCredentialsProvider::new(Credentials::new("bare", "bare", None, None, "bare"));
    let sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url("http://127.0.0.1:9")
        .credentials_provider(credentials)
        .build();
    let (dynamodb, kms, sqs) = (
        aws_sdk_dynamodb::Client::new(&sdk),
        aws_sdk_kms::Client::new(&sdk),
        aws_sdk_sqs::Client::new(&sdk),
    );
    let hello = async |request: Request| {
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
