//! Passwords: which are accepted, and how they are kept (argon2id, as a PHC string).

use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use shared::calendar::FieldError;
use shared::clock::random_bytes;
use shared::domain::secret::Secret;
use shared::http::{ApiResult, Problem, ProblemType};

/// The longest password, in characters: longer ones only make hashing slow.
const MAX_LENGTH: usize = 128;

/// OWASP's recommendation for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;

/// Passwords that are tried first by whoever guesses, in order.
static COMMON: &str = include_str!("common_passwords.txt");

/// Why a password is not accepted, if it is not.
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
        "is one of the passwords that are guessed first".to_owned()
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

/// Hashes a password, off the async threads.
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

/// Whether a password is the one that was hashed. Without a hash it takes as long and says no, so that nobody can tell
/// who has an account.
pub async fn verify(password: Secret, hash: Option<String>) -> ApiResult<bool> {
    let verify = move || match hash {
        Some(hash) => hasher().is_ok_and(|hasher| {
            hasher
                .verify_password(password.expose().as_bytes(), hash.as_str())
                .is_ok()
        }),
        // Spends the same time on nobody: a hash is never refused, so this is a no.
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
