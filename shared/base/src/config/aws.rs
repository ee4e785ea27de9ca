//! Configuration of the AWS clients.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::Environment;

/// Region, credentials and custom endpoints.
#[derive(Clone, Debug)]
pub struct AwsConfig {
    /// `AWS_REGION`
    pub region: String,
    /// Access keys that sign requests.
    pub credentials: AwsCredentials,
    /// Custom endpoints by service id in upper case (`DYNAMODB`); the empty id applies to all services.
    endpoints: BTreeMap<&'static str, String>,
}

impl AwsConfig {
    /// Reads the variables that Lambda sets, and `AWS_ENDPOINT_URL` with its variants per service.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let endpoints = [
            ("", "AWS_ENDPOINT_URL"),
            ("DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB"),
            ("KMS", "AWS_ENDPOINT_URL_KMS"),
            ("SQS", "AWS_ENDPOINT_URL_SQS"),
        ];
        Self {
            region: env.required("AWS_REGION"),
            credentials: AwsCredentials {
                access_key_id: env.required("AWS_ACCESS_KEY_ID"),
                secret_access_key: Zeroizing::new(env.required("AWS_SECRET_ACCESS_KEY")),
                session_token: env.optional("AWS_SESSION_TOKEN"),
            },
            endpoints: endpoints
                .into_iter()
                .filter_map(|(service, name)| Some((service, env.optional(name)?)))
                .collect(),
        }
    }

    /// Returns the custom endpoint for a service, if one is set.
    pub fn endpoint(&self, service: &str) -> Option<&str> {
        let endpoint = self.endpoints.get(service);
        endpoint
            .or_else(|| self.endpoints.get(""))
            .map(String::as_str)
    }
}

/// AWS access keys, with which the SDK signs requests.
#[derive(Clone)]
pub struct AwsCredentials {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Zeroizing<String>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<String>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsCredentials({})", self.access_key_id)
    }
}
