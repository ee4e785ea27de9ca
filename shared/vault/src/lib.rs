//! Envelope encryption of everything that opens somebody's calendar.
//!
//! One data key per person comes from KMS `GenerateDataKey`, bound to that person by its encryption context. A secret
//! is sealed with AES-256-GCM under it and written as
//!
//! ```text
//! v1:{iv}:{tag}:{ciphertext}          each part base64url without padding; iv 12 bytes, tag 16 bytes
//! AAD = "v1|{user}|{connection}|{field}"
//! ```
//!
//! so a sealed secret opens only where it was put. The data key lies in the vault table, wrapped by KMS; removing it
//! shreds everything that was sealed with it.
//!
//! Every call fails with [`VaultError`] when KMS or the table does not answer.

pub mod grant;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use calweave_base::clock::{Clock, random_bytes};
use calweave_domain::ids::{ConnectionId, UserId};
use calweave_domain::secret::Secret;
use calweave_store::{Store, StoreError, WriteOutcome};
use chrono::{DateTime, TimeDelta, Utc};
use zeroize::Zeroizing;

/// Where a secret belongs: only there it opens.
#[derive(Clone, Copy, Debug)]
pub struct SecretLocation {
    /// Whose it is.
    pub user: UserId,
    /// The link that it is for.
    pub connection: ConnectionId,
    /// What it is, such as [`FEED_URL`].
    pub field: &'static str,
}

/// The address of a feed.
pub const FEED_URL: &str = "feedUrl";

const VERSION: &str = "v1";
/// How long an opened data key stays in memory.
const CACHED: TimeDelta = TimeDelta::minutes(5);
/// How many opened data keys stay in memory at most.
const CACHE_SIZE: usize = 1_000;

/// A secret could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The tables did not answer.
    #[error("could not reach the vault table")]
    Store(#[from] StoreError),
    /// KMS did not answer, or refused.
    #[error("could not use the KMS key")]
    Kms(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key is not there any more: the secret was shredded.
    #[error("the data key was shredded")]
    Shredded,
    /// What is stored was not sealed here, or not for this location.
    #[error("the sealed secret does not open")]
    Sealed,
}

type DataKey = Zeroizing<[u8; 32]>;
/// Opened data keys, and until when each may be used.
type Cache = HashMap<UserId, (DataKey, DateTime<Utc>)>;

/// Seals and opens secrets.
#[derive(Clone)]
pub struct Vault {
    kms: Client,
    key_id: String,
    store: Store,
    clock: Clock,
    cache: Arc<Mutex<Cache>>,
}

impl Vault {
    /// A vault under this KMS key.
    pub fn new(kms: Client, key_id: String, store: Store, clock: Clock) -> Self {
        Self {
            kms,
            key_id,
            store,
            clock,
            cache: Arc::default(),
        }
    }

    /// Whether KMS answers for the key.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), VaultError> {
        self.kms
            .describe_key()
            .key_id(&self.key_id)
            .send()
            .await
            .map(drop)
            .map_err(kms_error)
    }

    /// Seals a secret and stores it.
    pub async fn put(&self, location: SecretLocation, secret: &Secret) -> Result<(), VaultError> {
        let key = self.data_key(location.user, true).await?;
        let sealed = seal(&key, location, secret.expose().as_bytes())?;
        Ok(self
            .store
            .put_secret(location.user, location.connection, location.field, &sealed)
            .await?)
    }

    /// Opens a secret; `None` when there is none.
    ///
    /// # Errors
    /// When KMS or the table does not answer, or what is stored does not open.
    pub async fn get(&self, location: SecretLocation) -> Result<Option<Secret>, VaultError> {
        let Some(sealed) = self
            .store
            .sealed_secret(location.user, location.connection, location.field)
            .await?
        else {
            return Ok(None);
        };
        let key = self.data_key(location.user, false).await?;
        open(&key, location, &sealed).map(Some)
    }

    /// Seals a text for a location of its own choice: for what is stored outside of the vault table, for minutes.
    pub async fn seal(
        &self,
        location: SecretLocation,
        secret: &Secret,
    ) -> Result<String, VaultError> {
        let key = self.data_key(location.user, true).await?;
        seal(&key, location, secret.expose().as_bytes())
    }

    /// Opens what [`Vault::seal`] has sealed for this location.
    ///
    /// # Errors
    /// When KMS or the table does not answer, or the text does not open.
    pub async fn open(&self, location: SecretLocation, sealed: &str) -> Result<Secret, VaultError> {
        let key = self.data_key(location.user, false).await?;
        open(&key, location, sealed)
    }

    /// Removes a secret.
    pub async fn remove(&self, location: SecretLocation) -> Result<(), VaultError> {
        Ok(self
            .store
            .delete_secret(location.user, location.connection, location.field)
            .await?)
    }

    /// Makes everything that was ever sealed for this person unreadable.
    pub async fn shred(&self, user: UserId) -> Result<(), VaultError> {
        self.cached().remove(&user);
        Ok(self.store.shred_key(user).await?)
    }

    /// A digest of `text` that only this person's key can make: shows that two texts are the same and nothing else.
    pub async fn fingerprint(&self, user: UserId, text: &str) -> Result<String, VaultError> {
        let key = self.data_key(user, true).await?;
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()),
            format!("fingerprint|{text}").as_bytes(),
        );
        Ok(BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..18]))
    }

    fn cached(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn data_key(&self, user: UserId, create: bool) -> Result<DataKey, VaultError> {
        let now = self.clock.now();
        if let Some((key, until)) = self.cached().get(&user)
            && *until > now
        {
            return Ok(key.clone());
        }
        let key = match self.store.wrapped_key(user).await? {
            Some(wrapped) => self.unwrap(user, &wrapped).await?,
            None if create => self.create_key(user).await?,
            None => return Err(VaultError::Shredded),
        };
        let mut cache = self.cached();
        if cache.len() >= CACHE_SIZE {
            cache.retain(|_, (_, until)| *until > now);
        }
        if cache.len() < CACHE_SIZE {
            cache.insert(user, (key.clone(), now + CACHED));
        }
        Ok(key)
    }

    async fn create_key(&self, user: UserId) -> Result<DataKey, VaultError> {
        let request = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256);
        let answer = request
            .encryption_context("user", user.to_string())
            .send()
            .await
            .map_err(kms_error)?;
        let (Some(plain), Some(wrapped)) = (answer.plaintext, answer.ciphertext_blob) else {
            return Err(VaultError::Sealed);
        };
        match self
            .store
            .create_wrapped_key(user, &BASE64_STANDARD.encode(wrapped))
            .await?
        {
            WriteOutcome::Written => to_key(plain),
            // Another function was first; its key is the one.
            WriteOutcome::ConditionFailed => {
                let wrapped = self
                    .store
                    .wrapped_key(user)
                    .await?
                    .ok_or(VaultError::Shredded)?;
                self.unwrap(user, &wrapped).await
            }
        }
    }

    async fn unwrap(&self, user: UserId, wrapped: &str) -> Result<DataKey, VaultError> {
        let wrapped = BASE64_STANDARD
            .decode(wrapped)
            .map_err(|_| VaultError::Sealed)?;
        let request = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(wrapped));
        let answer = request
            .encryption_context("user", user.to_string())
            .send()
            .await
            .map_err(kms_error)?;
        to_key(answer.plaintext.ok_or(VaultError::Sealed)?)
    }
}

fn kms_error(error: impl std::error::Error + Send + Sync + 'static) -> VaultError {
    VaultError::Kms(Box::new(error))
}

fn to_key(plain: Blob) -> Result<DataKey, VaultError> {
    let bytes = Zeroizing::new(plain.into_inner());
    bytes
        .as_slice()
        .try_into()
        .map(Zeroizing::new)
        .map_err(|_| VaultError::Sealed)
}

fn aad(location: SecretLocation) -> String {
    format!(
        "{VERSION}|{}|{}|{}",
        location.user, location.connection, location.field
    )
}

fn seal(key: &DataKey, location: SecretLocation, plain: &[u8]) -> Result<String, VaultError> {
    let key = LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| VaultError::Sealed)?,
    );
    let iv: [u8; NONCE_LEN] = random_bytes();
    let mut bytes = plain.to_vec();
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(iv),
            Aad::from(aad(location).as_bytes()),
            &mut bytes,
        )
        .map_err(|_| VaultError::Sealed)?;
    let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    Ok(format!(
        "{VERSION}:{}:{}:{}",
        text(&iv),
        text(tag.as_ref()),
        text(&bytes)
    ))
}

fn open(key: &DataKey, location: SecretLocation, sealed: &str) -> Result<Secret, VaultError> {
    let mut parts = sealed.split(':');
    let (Some(VERSION), Some(iv), Some(tag), Some(text), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(VaultError::Sealed);
    };
    let bytes = |text| {
        BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| VaultError::Sealed)
    };
    let key = LessSafeKey::new(
        UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| VaultError::Sealed)?,
    );
    let nonce = Nonce::try_assume_unique_for_key(&bytes(iv)?).map_err(|_| VaultError::Sealed)?;
    let mut sealed = Zeroizing::new(bytes(text)?);
    sealed.extend(bytes(tag)?);
    let plain = key
        .open_in_place(nonce, Aad::from(aad(location).as_bytes()), &mut sealed)
        .map_err(|_| VaultError::Sealed)?;
    String::from_utf8(plain.to_vec())
        .map(Secret::new)
        .map_err(|_| VaultError::Sealed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(user: u8, field: &'static str) -> SecretLocation {
        SecretLocation {
            user: UserId::from_bytes([user; 16]),
            connection: ConnectionId::from_bytes([7; 16]),
            field,
        }
    }

    #[test]
    fn a_sealed_secret_opens_only_where_it_was_put() {
        let key: DataKey = Zeroizing::new([3; 32]);
        let sealed = seal(
            &key,
            location(1, FEED_URL),
            "https://example.org/ö".as_bytes(),
        )
        .unwrap();
        assert!(sealed.starts_with("v1:"));
        assert_eq!(
            open(&key, location(1, FEED_URL), &sealed).unwrap().expose(),
            "https://example.org/ö"
        );
        assert!(open(&key, location(2, FEED_URL), &sealed).is_err());
        assert!(open(&key, location(1, "other"), &sealed).is_err());
        assert!(open(&Zeroizing::new([4; 32]), location(1, FEED_URL), &sealed).is_err());
        assert_ne!(
            sealed,
            seal(
                &key,
                location(1, FEED_URL),
                "https://example.org/ö".as_bytes()
            )
            .unwrap()
        );
    }

    #[test]
    fn a_tampered_secret_does_not_open() {
        let key: DataKey = Zeroizing::new([3; 32]);
        let sealed = seal(&key, location(1, FEED_URL), b"secret").unwrap();
        for at in 3..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let tampered = String::from_utf8(bytes).unwrap();
            if let Ok(secret) = open(&key, location(1, FEED_URL), &tampered) {
                // The last character of a part may carry unused bits; then it is the same secret, else it must fail.
                assert_eq!(secret.expose(), "secret");
            }
        }
        assert!(open(&key, location(1, FEED_URL), "v2:a:b:c").is_err());
    }
}
