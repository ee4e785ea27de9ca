//! Settings for functions that serve HTTP requests.

use super::{Environment, JwtKeys};

/// Settings for the layers and extractors of every router.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Access token keys: the first signs, all verify.
    pub jwt_keys: JwtKeys,
    /// Allowed CORS origins; none when empty.
    pub cors_origins: Vec<String>,
    /// Whether rate limits are enforced.
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

    /// Reads `CORS_ORIGINS` and `RATE_LIMITS`, for a function that authenticates no callers and has no keys.
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

/// Requirements for passwords.
#[derive(Clone, Copy, Debug)]
pub struct PasswordPolicy {
    /// Minimum length, in characters.
    pub min_length: usize,
}

impl PasswordPolicy {
    const DEFAULT: usize = 8;

    /// Reads `PASSWORD_MIN_LENGTH` (default 8).
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
