//! What a function must be told before it starts: one struct for each concern, read once from environment variables.
//! Everything that is missing or wrong is reported at once.

mod aws;
mod environment;
mod http;
mod jwt;
mod oauth;
mod storage;
mod sync;

pub use aws::{AwsConfig, Credentials};
pub use environment::{Environment, InvalidConfig};
pub use http::{HttpConfig, PasswordPolicy};
pub use jwt::{JwtKey, JwtKeys};
pub use oauth::OAuthClient;
pub use storage::{KeyConfig, QueueConfig, TableNames};
pub use sync::{FeedsConfig, SyncWindow};
