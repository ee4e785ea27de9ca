//! What functions that answer HTTP requests are told.

use super::{Environment, JwtKeys};

/// For the layers and extractors around every router.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Keys of access tokens: the first signs, all verify.
    pub jwt_keys: JwtKeys,
    /// Origins that may read answers in a browser; none when empty.
    pub cors_origins: Vec<String>,
    /// Whether callers are limited at all.
    pub rate_limits: bool,
}

impl HttpConfig {
    /// Reads `JWT_KEYS`, `CORS_ORIGINS` and `RATE_LIMITS`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        Self {
            jwt_keys: JwtKeys::read(env),
            ..Self::without_callers(env)
        }
    }

    /// For a function without callers, which has no keys.
    pub fn without_callers(env: &mut Environment<'_>) -> Self {
        let origins = env.optional("CORS_ORIGINS").unwrap_or_default();
        let origins = origins.split(',').map(|origin| origin.trim().to_owned());
        Self {
            jwt_keys: JwtKeys::none(),
            cors_origins: origins.filter(|origin| !origin.is_empty()).collect(),
            rate_limits: env
                .optional("RATE_LIMITS")
                .is_none_or(|value| value != "off"),
        }
    }
}

/// Which passwords are accepted.
#[derive(Clone, Copy, Debug)]
pub struct PasswordPolicy {
    /// Shortest password, in characters.
    pub min_length: usize,
}

impl PasswordPolicy {
    const DEFAULT: usize = 8;

    /// Reads `PASSWORD_MIN_LENGTH`.
    pub fn read(env: &mut Environment<'_>) -> Self {
        let text = env.optional("PASSWORD_MIN_LENGTH");
        let read = text.map_or(Ok(Self::DEFAULT), |text| text.parse());
        let min_length = read.unwrap_or_else(|_| {
            env.report("PASSWORD_MIN_LENGTH is not a number");
            Self::DEFAULT
        });
        Self { min_length }
    }
}
