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
        let origins: Vec<String> = origins.filter(|origin| !origin.is_empty()).collect();
        for origin in origins.iter().filter(|origin| !is_origin(origin)) {
            env.report(format!(
                "CORS_ORIGINS: {origin:?} is not an origin, as https://app.example.org without a slash at its end"
            ));
        }
        Self {
            jwt_keys: JwtKeys::none(),
            cors_origins: origins,
            rate_limits: env
                .optional("RATE_LIMITS")
                .is_none_or(|value| value != "off"),
        }
    }
}

/// Returns whether a text is the origin of a site, as browsers send it: scheme, host, and the port unless it is the default.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let is_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._[]:".contains(&byte);
    matches!(scheme, "http" | "https")
        && !host.is_empty()
        && host.bytes().all(is_host)
        && port.is_none_or(|port| port.parse::<u16>().is_ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_browsers_send() {
        for origin in [
            "https://app.example.org",
            "http://localhost:5173",
            "http://[::1]:8080",
            "https://[::1]",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "*",
            "null",
            "https://app.example.org/",
            "blob:https://a.example",
            "app.example.org",
            "https://",
            "https://A.example",
            "https://a.example:port",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
