//! Encrypting what the store keeps and nobody may read there, with the key of the configuration.
//!
//! What does not live here: what is encrypted (`connector`), and where it is kept (`store`).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::secret::Secret;

/// The bytes of a key.
const KEY: usize = 32;

/// What tells this way of encrypting from those that may follow: the first byte of what is encrypted.
const VERSION: u8 = 1;

/// Why something cannot be encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was encrypted with another key, for another place, or was changed since.
    #[error("it was encrypted with another key than `encryption_key` in [store] is now, or was changed since")]
    Foreign,
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// Encrypts and decrypts with the key of the configuration (AES-256-GCM).
pub struct Seal(LessSafeKey);

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Seal {
    /// Encrypts with a key: 32 bytes in base64.
    ///
    /// # Errors
    /// Where it is none.
    pub fn of_key(key: &Secret) -> Result<Self, &'static str> {
        const NO_KEY: &str = "this is no key of 32 bytes in base64; make one with `openssl rand -base64 32`";
        let bytes = STANDARD.decode(key.reveal().trim()).ok().filter(|bytes| bytes.len() == KEY).ok_or(NO_KEY)?;
        UnboundKey::new(&AES_256_GCM, &bytes).map(|key| Self(LessSafeKey::new(key))).map_err(|_| NO_KEY)
    }

    /// Encrypts something for a place; it can be decrypted for this place only.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn encrypt(&self, place: &[&str], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut bytes = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(told(place)), &mut bytes)
            .map_err(|_| SealError::Random)?;
        Ok([&[VERSION], nonce.as_slice(), &bytes].concat())
    }

    /// Decrypts what was encrypted for a place.
    ///
    /// # Errors
    /// [`SealError::Foreign`].
    pub fn decrypt(&self, place: &[&str], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(&[VERSION]).ok_or(SealError::Foreign)?;
        let (nonce, bytes) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Foreign)?;
        let mut bytes = bytes.to_vec();
        let plain = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(told(place)), &mut bytes)
            .map_err(|_| SealError::Foreign)?;
        Ok(plain.to_vec())
    }
}

/// A place as the bytes that its contents are bound to; two places are never the same.
fn told(place: &[&str]) -> Vec<u8> {
    place.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes(), part.as_bytes()].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(byte: u8) -> Seal {
        Seal::of_key(&Secret::new(STANDARD.encode([byte; KEY]))).unwrap()
    }

    #[test]
    fn only_the_same_key_opens_what_was_sealed_and_only_for_its_place() {
        let sealed = seal(1).encrypt(&["erp", "login"], b"a token").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"a token"));
        assert_eq!(seal(1).decrypt(&["erp", "login"], &sealed).unwrap(), b"a token");
        assert_eq!(seal(2).decrypt(&["erp", "login"], &sealed), Err(SealError::Foreign));
        assert_eq!(seal(1).decrypt(&["erpl", "ogin"], &sealed), Err(SealError::Foreign));
        let mut changed = sealed.clone();
        changed[20] ^= 1;
        for foreign in [&changed[..], &sealed[..20], &sealed[..5], b""] {
            assert_eq!(seal(1).decrypt(&["erp", "login"], foreign), Err(SealError::Foreign));
        }
        assert_ne!(seal(1).encrypt(&["erp", "login"], b"a token").unwrap(), sealed, "no nonce is used twice");
    }

    #[test]
    fn what_is_no_key_is_refused_with_how_to_make_one() {
        for text in ["", "secret", "c2hvcnQ=", &STANDARD.encode([7; 33])] {
            assert!(Seal::of_key(&Secret::new(text)).unwrap_err().contains("openssl rand"), "{text}");
        }
    }
}
