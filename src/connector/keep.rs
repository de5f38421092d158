//! What a connection keeps beyond a request, and shares with the other processes of the same store.
//!
//! A connection is bound before there is a store; until it is given a keeper, and in commands that have none, it keeps what
//! it must in memory.
//!
//! What does not live here: where it is kept (`sync`), and what the values mean (`http`).

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::config::{Seal, SealError};

/// Why nothing can be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("what connections keep cannot be read or written: {0}")]
pub struct KeepError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Why no secret can be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Where things are kept fails.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// There is no key to encrypt it with.
    #[error("there is no `encryption_key` in [store] to encrypt it with")]
    NoKey,
    /// Others save there faster than this one can.
    #[error("others save what the connection keeps all the time; try again")]
    Overtaken,
    /// It cannot be encrypted or decrypted.
    #[error(transparent)]
    Seal(#[from] SealError),
}

/// A value as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// The value.
    pub value: Vec<u8>,
    /// 1 for the first value under its name, and one more with each that is saved over it.
    pub version: i64,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Keeps small values for connections, by name. Values are kept as they are given: what is secret is given encrypted.
#[async_trait]
pub trait Keeper: Send + Sync + fmt::Debug {
    /// What is kept, and what the keeper's clock says: the one clock that all processes share.
    ///
    /// # Errors
    /// Where it cannot be read.
    async fn load(&self, connection: &str, name: &str) -> Result<(Option<Kept>, Timestamp), KeepError>;

    /// Saves a value over the version that was read; `None` where nothing was kept. False, and nothing is saved, where
    /// another was saved since.
    ///
    /// # Errors
    /// Where it cannot be written.
    async fn save(&self, connection: &str, name: &str, value: &[u8], over: Option<i64>) -> Result<bool, KeepError>;
}

/// What one connection keeps, once it has a keeper.
#[derive(Debug, Default)]
pub struct Keep(OnceLock<Held>);

#[derive(Debug)]
struct Held {
    keeper: Arc<dyn Keeper>,
    seal: Option<Arc<Seal>>,
    connection: String,
}

/// What a connection keeps encrypted. Each value is bound to its connection and its name.
#[derive(Debug, Clone, Copy)]
pub struct Secrets<'a> {
    keeper: &'a dyn Keeper,
    connection: &'a str,
    seal: Option<&'a Seal>,
}

impl Keep {
    /// Gives the connection of this name its keeper, and what its secrets are encrypted with; the first one stays.
    pub fn in_keeper(&self, keeper: Arc<dyn Keeper>, seal: Option<Arc<Seal>>, connection: &str) {
        self.0.get_or_init(|| Held { keeper, seal, connection: connection.to_owned() });
    }

    /// The keeper and the connection's name; nothing before it was given one.
    pub fn keeper(&self) -> Option<(&Arc<dyn Keeper>, &str)> {
        self.0.get().map(|held| (&held.keeper, held.connection.as_str()))
    }

    /// What is kept encrypted; nothing before there is a keeper.
    pub fn secrets(&self) -> Option<Secrets<'_>> {
        let (keeper, connection) = self.keeper()?;
        Some(Secrets { keeper: &**keeper, connection, seal: self.0.get()?.seal.as_deref() })
    }
}

impl<'a> Secrets<'a> {
    /// The connection's name.
    pub fn connection(self) -> &'a str {
        self.connection
    }

    /// What is kept under a name, as [`Keeper::load`]. One that cannot be decrypted is an error, and can be saved over by
    /// its version.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn load(self, name: &str) -> Result<(Option<(Result<Vec<u8>, SealError>, i64)>, Timestamp), SecretError> {
        let Self { keeper, connection, seal } = self;
        let seal = seal.ok_or(SecretError::NoKey)?;
        let (kept, now) = keeper.load(connection, name).await?;
        let kept = kept.map(|kept| (seal.decrypt(&[connection, name], &kept.value), kept.version));
        Ok((kept, now))
    }

    /// Saves a value, as [`Keeper::save`].
    ///
    /// # Errors
    /// Where it cannot be encrypted or written.
    pub async fn save(self, name: &str, value: &[u8], over: Option<i64>) -> Result<bool, SecretError> {
        let Self { keeper, connection, seal } = self;
        let seal = seal.ok_or(SecretError::NoKey)?;
        let sealed = seal.encrypt(&[connection, name], value)?;
        Ok(keeper.save(connection, name, &sealed, over).await?)
    }
}
