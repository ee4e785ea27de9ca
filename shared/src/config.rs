//! What a function must be told before it starts, read once. Everything that is missing is named at once.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::Deserialize;
use zeroize::Zeroizing;

/// Everything that differs between deployments.
#[derive(Clone, Debug)]
pub struct Config {
    /// DynamoDB table of users, sessions and counters.
    pub identity_table: String,
    /// DynamoDB table of sealed secrets.
    pub vault_table: String,
    /// DynamoDB table of calendars and events.
    pub calendar_table: String,
    /// DynamoDB table of the audit trail.
    pub audit_table: String,
    /// KMS key that wraps the data keys: an id, ARN or alias.
    pub kms_key_id: String,
    /// SQS queue of sync work.
    pub sync_queue_url: String,
    /// Keys of access tokens: the first signs, all verify.
    pub jwt_keys: JwtKeys,
    /// Origins that may read answers in a browser; none when empty.
    pub cors_origins: Vec<String>,
    /// Shortest password that is accepted, in characters.
    pub password_min_length: usize,
    /// Whether callers are limited at all.
    pub rate_limits: bool,
    /// Whether feeds may come from this very machine, over plain HTTP. For development only.
    pub allow_loopback_feeds: bool,
    /// AWS region.
    pub region: String,
    /// Endpoints in place of AWS's own, by service id in upper case (`DYNAMODB`); the empty name is for all.
    pub endpoints: BTreeMap<&'static str, String>,
    /// Access key, secret key and, where it is temporary, session token.
    pub credentials: Credentials,
}

/// What the SDK signs requests with.
#[derive(Clone)]
pub struct Credentials {
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Zeroizing<String>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.access_key_id)
    }
}

/// What is missing or wrong in the configuration.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {}", self.0.join("; "))]
pub struct InvalidConfig(pub Vec<String>);

impl Config {
    /// Reads the configuration from the process environment.
    ///
    /// # Errors
    /// [`InvalidConfig`] names every variable that is missing or wrong.
    pub fn from_env() -> Result<Self, InvalidConfig> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        Self::read(&|name| std::env::var(name).ok())
    }

    /// Reads the configuration from `lookup`, which answers for a variable's name.
    ///
    /// # Errors
    /// [`InvalidConfig`] names every variable that is missing or wrong.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, InvalidConfig> {
        let mut wrong = Vec::new();
        let optional = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let mut required = |name: &str| {
            optional(name).unwrap_or_else(|| {
                wrong.push(format!("{name} is missing"));
                String::new()
            })
        };
        let identity_table = required("IDENTITY_TABLE");
        let vault_table = required("VAULT_TABLE");
        let calendar_table = required("CALENDAR_TABLE");
        let audit_table = required("AUDIT_TABLE");
        let kms_key_id = required("KMS_KEY_ID");
        let sync_queue_url = required("SYNC_QUEUE_URL");
        let region = required("AWS_REGION");
        let credentials = Credentials {
            access_key_id: required("AWS_ACCESS_KEY_ID"),
            secret_access_key: Zeroizing::new(required("AWS_SECRET_ACCESS_KEY")),
            session_token: optional("AWS_SESSION_TOKEN"),
        };
        let keys = required("JWT_KEYS");
        let jwt_keys = JwtKeys::parse(&keys).unwrap_or_else(|reason| {
            if !keys.is_empty() {
                wrong.push(format!("JWT_KEYS {reason}"));
            }
            JwtKeys(vec![])
        });
        let password_min_length = optional("PASSWORD_MIN_LENGTH").map_or(Ok(8), |text| text.parse()).unwrap_or_else(|_| {
            wrong.push("PASSWORD_MIN_LENGTH is not a number".to_owned());
            8
        });
        let on = |name: &str| optional(name).is_some_and(|value| value == "on");
        let config = Self {
            identity_table,
            vault_table,
            calendar_table,
            audit_table,
            kms_key_id,
            sync_queue_url,
            jwt_keys,
            cors_origins: optional("CORS_ORIGINS")
                .map(|list| list.split(',').map(|origin| origin.trim().to_owned()).filter(|o| !o.is_empty()).collect())
                .unwrap_or_default(),
            password_min_length,
            rate_limits: optional("RATE_LIMITS").is_none_or(|value| value != "off"),
            allow_loopback_feeds: on("ALLOW_LOOPBACK_FEEDS"),
            region,
            endpoints: [
                ("", "AWS_ENDPOINT_URL"),
                ("DYNAMODB", "AWS_ENDPOINT_URL_DYNAMODB"),
                ("KMS", "AWS_ENDPOINT_URL_KMS"),
                ("SQS", "AWS_ENDPOINT_URL_SQS"),
            ]
            .into_iter()
            .filter_map(|(service, name)| Some((service, optional(name)?)))
            .collect(),
            credentials,
        };
        if wrong.is_empty() { Ok(config) } else { Err(InvalidConfig(wrong)) }
    }

    /// The endpoint in place of AWS's own for a service, if one is set.
    pub fn endpoint(&self, service: &str) -> Option<&str> {
        self.endpoints.get(service).or_else(|| self.endpoints.get("")).map(String::as_str)
    }
}

/// The secrets that sign access tokens. The first signs; all are accepted, so that a new one can be put in front and
/// the old one be dropped once its last token has expired.
#[derive(Clone)]
pub struct JwtKeys(Vec<JwtKey>);

/// One secret and the `kid` by which tokens name it.
#[derive(Clone)]
pub struct JwtKey {
    /// Key id.
    pub kid: String,
    /// At least 32 bytes.
    pub secret: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.kid)).finish()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JwtKeysText {
    One(JwtKeyText),
    Many(Vec<JwtKeyText>),
}

#[derive(Deserialize)]
struct JwtKeyText {
    kid: String,
    secret: Zeroizing<String>,
}

impl JwtKeys {
    /// Reads `{"kid": …, "secret": …}` or a list of these.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let keys = match serde_json::from_str(text) {
            Ok(JwtKeysText::One(key)) => vec![key],
            Ok(JwtKeysText::Many(keys)) => keys,
            Err(_) => return Err("is not {\"kid\", \"secret\"} or a list of these"),
        };
        if keys.is_empty() || keys.iter().any(|key| key.secret.len() < 32 || key.kid.is_empty()) {
            return Err("needs a kid and a secret of 32 characters or more for each key");
        }
        let keys = keys.into_iter().map(|key| JwtKey { secret: Zeroizing::new(key.secret.as_bytes().to_vec()), kid: key.kid });
        Ok(Self(keys.collect()))
    }

    /// The key that signs. A read configuration always has one.
    pub fn signing(&self) -> Option<&JwtKey> {
        self.0.first()
    }

    /// The key that a token names.
    pub fn named(&self, kid: &str) -> Option<&JwtKey> {
        self.0.iter().find(|key| verify_slices_are_equal(key.kid.as_bytes(), kid.as_bytes()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = Config::read(&|name| (name == "AWS_REGION").then(|| "eu-central-1".into())).unwrap_err();
        for name in ["IDENTITY_TABLE", "VAULT_TABLE", "CALENDAR_TABLE", "AUDIT_TABLE", "KMS_KEY_ID", "SYNC_QUEUE_URL", "JWT_KEYS"] {
            assert!(error.to_string().contains(&format!("{name} is missing")), "{error}");
        }
        assert!(!error.to_string().contains("AWS_REGION"));
    }

    #[test]
    fn a_weak_key_is_refused_and_none_is_printed() {
        assert!(JwtKeys::parse(r#"{"kid":"a","secret":"short"}"#).is_err());
        let keys = JwtKeys::parse(r#"[{"kid":"a","secret":"0123456789abcdef0123456789abcdef"}]"#).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["a"]"#);
    }
}
