//! API keys as a store keeps them: by hash, never the key itself.
//!
//! What does not live here: making keys, and judging what a caller may do (`api`).

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::Result;
use crate::config::Scope;

/// The BLAKE3 hash of a key.
pub type KeyHash = [u8; 32];

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredKey {
    /// What it is called; unique among the keys that are not revoked.
    pub name: String,
    /// The shop it belongs to.
    pub shop: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The hash of the key.
    #[serde(skip)]
    pub hash: KeyHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, to the hour.
    pub last_used: Option<Timestamp>,
    /// Since when it is not valid any more.
    pub revoked_at: Option<Timestamp>,
}

/// Keeping API keys.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Stores a new key. False, and nothing is stored, where a valid key has its name.
    async fn add_key(&self, key: &StoredKey) -> Result<bool>;

    /// The key with a hash, revoked or not.
    async fn key(&self, hash: &KeyHash) -> Result<Option<StoredKey>>;

    /// Every key, revoked ones too, by name.
    async fn keys(&self) -> Result<Vec<StoredKey>>;

    /// Notes that a key was used.
    async fn use_key(&self, hash: &KeyHash, at: Timestamp) -> Result<()>;

    /// Ends a key's validity. False where no valid key has the name.
    async fn revoke_key(&self, name: &str, at: Timestamp) -> Result<bool>;
}
