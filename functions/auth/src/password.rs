//! Passwords: requirements, hashing and verification. Hashes are argon2id, stored as PHC strings.

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use shared::calendar::FieldError;
use shared::clock::random_bytes;
use shared::domain::secret::Secret;
use shared::http::{ApiResult, Problem, ProblemType};

/// Maximum length of a password, in characters. Longer passwords only slow down hashing.
const MAX_LENGTH: usize = 128;

/// Memory cost. OWASP recommends 19 MiB, two passes and one lane for argon2id.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// Common passwords, in lower case and sorted, one per line.
static COMMON: &str = include_str!("common_passwords.txt");

/// Returns why a password is not accepted, or `None` if it is.
pub fn complaint(password: &str, email: &str, min_length: usize) -> Option<FieldError> {
    let length = password.chars().count();
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    let message = if length < min_length {
        format!("must have at least {min_length} characters")
    } else if length > MAX_LENGTH {
        format!("must have at most {MAX_LENGTH} characters")
    } else if COMMON.lines().any(|common| common == lower)
        || lower.chars().all(|c| Some(c) == first)
    {
        "is too common and easily guessed".to_owned()
    } else if lower == email || email.split('@').next() == Some(lower.as_str()) {
        "must not be the e-mail address".to_owned()
    } else {
        return None;
    };
    Some(FieldError {
        field: "password".to_owned(),
        message,
    })
}

/// Hashes a password. Runs on a blocking thread, because hashing takes CPU time.
pub async fn hash(password: Secret) -> ApiResult<String> {
    let hash = move || {
        hasher()
            .ok()?
            .hash_password_with_salt(password.expose().as_bytes(), &random_bytes::<16>())
            .ok()
            .map(|hash| hash.to_string())
    };
    tokio::task::spawn_blocking(hash)
        .await?
        .ok_or_else(|| Problem::new(ProblemType::Internal))
}

/// Returns whether a password matches a hash. Without a hash, returns false after the same time, so that response times
/// do not reveal which e-mail addresses have accounts.
pub async fn verify(password: Secret, hash: Option<String>) -> ApiResult<bool> {
    let verify = move || match hash {
        Some(hash) => hasher().is_ok_and(|hasher| {
            hasher
                .verify_password(password.expose().as_bytes(), hash.as_str())
                .is_ok()
        }),
        // Hashing takes as long as verifying. It succeeds, so the result is false.
        None => hasher().is_ok_and(|hasher| {
            hasher
                .hash_password_with_salt(password.expose().as_bytes(), &[0; 16])
                .is_err()
        }),
    };
    Ok(tokio::task::spawn_blocking(verify).await?)
}

fn hasher() -> Result<Argon2<'static>, argon2::Error> {
    Ok(Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        Params::new(MEMORY_KIB, PASSES, 1, None)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_judged_by_length_and_by_who_would_guess_it() {
        let judged =
            |password: &str| complaint(password, "ada@example.org", 8).map(|error| error.message);
        assert_eq!(judged("correct horse"), None);
        assert_eq!(judged("pässwörter"), None);
        assert!(judged("short").unwrap().contains("at least 8"));
        assert!(judged(&"x1".repeat(100)).unwrap().contains("at most"));
        for common in ["password1", "Password1", "12345678", "aaaaaaaaaa"] {
            assert!(judged(common).unwrap().contains("guessed"), "{common}");
        }
        assert!(judged("ada@example.org").unwrap().contains("e-mail"));
    }
}
