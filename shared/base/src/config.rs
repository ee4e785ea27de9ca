//! What a function must be told before it starts, read once. Everything that is missing is named at once.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use chrono::TimeDelta;
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
    /// How Google knows this deployment; without it nobody can link a Google account.
    pub google: Option<OAuthClient>,
    /// How Microsoft knows this deployment; without it nobody can link a Microsoft account.
    pub microsoft: Option<OAuthClient>,
    /// Whose Microsoft accounts can be linked: `common` for everybody's, or the id of a tenant.
    pub microsoft_tenant: String,
    /// How much of an account's calendars is read.
    pub sync_window: SyncWindow,
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

/// How far back and ahead the calendars of accounts are read.
#[derive(Clone, Copy, Debug)]
pub struct SyncWindow {
    /// Before the first sync.
    pub past: TimeDelta,
    /// From now on; it moves along.
    pub future: TimeDelta,
}

/// What a provider knows this deployment by.
#[derive(Clone)]
pub struct OAuthClient {
    /// Public.
    pub client_id: String,
    /// Secret.
    pub client_secret: Zeroizing<String>,
    /// Where people are sent back to: this API's own callback.
    pub redirect_uri: String,
    /// A host in place of all of the provider's. For development only.
    pub endpoint: Option<String>,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OAuthClient({})", self.client_id)
    }
}

impl OAuthClient {
    /// Where this API is, as browsers and the provider reach it: what stands before `/api/v1/` in the callback's address.
    pub fn own_base(&self) -> &str {
        self.redirect_uri
            .split("/api/v1/")
            .next()
            .unwrap_or_default()
    }

    /// All of a provider's variables, or none; those that are missing are named.
    fn read(
        provider: &str,
        optional: &dyn Fn(&str) -> Option<String>,
        wrong: &mut Vec<String>,
    ) -> Option<Self> {
        let names =
            ["CLIENT_ID", "CLIENT_SECRET", "REDIRECT_URI"].map(|name| format!("{provider}_{name}"));
        let values = names.each_ref().map(|name| optional(name));
        if values.iter().all(Option::is_none) {
            return None;
        }
        wrong.extend(
            names
                .iter()
                .zip(&values)
                .filter(|(_, value)| value.is_none())
                .map(|(name, _)| format!("{name} is missing")),
        );
        let [client_id, client_secret, redirect_uri] = values.map(Option::unwrap_or_default);
        let endpoint = optional(&format!("{provider}_ENDPOINT"));
        Some(Self {
            client_id,
            client_secret: Zeroizing::new(client_secret),
            redirect_uri,
            endpoint,
        })
    }
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
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the environment"
        )]
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
        let password_min_length = optional("PASSWORD_MIN_LENGTH")
            .map_or(Ok(8), |text| text.parse())
            .unwrap_or_else(|_| {
                wrong.push("PASSWORD_MIN_LENGTH is not a number".to_owned());
                8
            });
        let mut days = |name: &str, default: i64| {
            let days = optional(name)
                .map_or(Ok(default), |text| text.parse())
                .ok()
                .filter(|days| (1..=3650).contains(days));
            TimeDelta::days(days.unwrap_or_else(|| {
                wrong.push(format!("{name} is not a number of days from 1 to 3650"));
                default
            }))
        };
        let sync_window = SyncWindow {
            past: days("SYNC_PAST_DAYS", 30),
            future: days("SYNC_FUTURE_DAYS", 365),
        };
        let google = OAuthClient::read("GOOGLE", &optional, &mut wrong);
        let microsoft = OAuthClient::read("MICROSOFT", &optional, &mut wrong);
        let microsoft_tenant = optional("MICROSOFT_TENANT").unwrap_or_else(|| "common".to_owned());
        if !microsoft_tenant
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        {
            wrong.push("MICROSOFT_TENANT is no tenant: common, organizations, consumers, an id or a domain".to_owned());
        }
        let on = |name: &str| optional(name).is_some_and(|value| value == "on");
        let config = Self {
            identity_table,
            vault_table,
            calendar_table,
            audit_table,
            kms_key_id,
            sync_queue_url,
            google,
            microsoft,
            microsoft_tenant,
            sync_window,
            jwt_keys,
            cors_origins: optional("CORS_ORIGINS")
                .map(|list| {
                    list.split(',')
                        .map(|origin| origin.trim().to_owned())
                        .filter(|o| !o.is_empty())
                        .collect()
                })
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
        if wrong.is_empty() {
            Ok(config)
        } else {
            Err(InvalidConfig(wrong))
        }
    }

    /// The endpoint in place of AWS's own for a service, if one is set.
    pub fn endpoint(&self, service: &str) -> Option<&str> {
        self.endpoints
            .get(service)
            .or_else(|| self.endpoints.get(""))
            .map(String::as_str)
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
        f.debug_list()
            .entries(self.0.iter().map(|key| &key.kid))
            .finish()
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
        if keys.is_empty()
            || keys
                .iter()
                .any(|key| key.secret.len() < 32 || key.kid.is_empty())
        {
            return Err("needs a kid and a secret of 32 characters or more for each key");
        }
        let keys = keys.into_iter().map(|key| JwtKey {
            secret: Zeroizing::new(key.secret.as_bytes().to_vec()),
            kid: key.kid,
        });
        Ok(Self(keys.collect()))
    }

    /// The key that signs. A read configuration always has one.
    pub fn signing(&self) -> Option<&JwtKey> {
        self.0.first()
    }

    /// The key that a token names.
    pub fn named(&self, kid: &str) -> Option<&JwtKey> {
        self.0
            .iter()
            .find(|key| verify_slices_are_equal(key.kid.as_bytes(), kid.as_bytes()).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let error = Config::read(&|name| (name == "AWS_REGION").then(|| "eu-central-1".into()))
            .unwrap_err();
        for name in [
            "IDENTITY_TABLE",
            "VAULT_TABLE",
            "CALENDAR_TABLE",
            "AUDIT_TABLE",
            "KMS_KEY_ID",
            "SYNC_QUEUE_URL",
            "JWT_KEYS",
        ] {
            assert!(
                error.to_string().contains(&format!("{name} is missing")),
                "{error}"
            );
        }
        assert!(!error.to_string().contains("AWS_REGION"));
    }

    #[test]
    fn a_weak_key_is_refused_and_none_is_printed() {
        assert!(JwtKeys::parse(r#"{"kid":"a","secret":"short"}"#).is_err());
        let keys =
            JwtKeys::parse(r#"[{"kid":"a","secret":"0123456789abcdef0123456789abcdef"}]"#).unwrap();
        assert_eq!(format!("{keys:?}"), r#"["a"]"#);
    }
}
