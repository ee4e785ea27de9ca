//! Configuration of a function: one struct per concern, read once from environment variables at startup. All missing or
//! invalid variables are reported together.

mod aws;
mod environment;
mod http;
mod jwt;
mod oauth;
mod quotas;
mod storage;
mod sync;

pub use aws::{AwsConfig, AwsCredentials};
pub use environment::{Environment, InvalidConfig};
pub use http::{HttpConfig, PasswordPolicy};
pub use jwt::{JwtKey, JwtKeys};
pub use oauth::OAuthClient;
pub use quotas::Quotas;
pub use storage::{KeyConfig, QueueConfig, TableNames};
pub use sync::{FeedsConfig, ScheduleConfig, SyncWindow};
