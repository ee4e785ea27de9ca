//! A Lambda function that returns a constant response: the baseline of the cold-start measurements.

use lambda_http::{Error, Request, run, service_fn};

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(service_fn(async |_: Request| {
        Ok::<_, Error>(serde_json::json!({ "hello": "world" }))
    })))
}
