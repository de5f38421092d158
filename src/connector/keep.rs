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

/// Why nothing can be kept or read.
#[derive(Debug, thiserror::Error)]
#[error("what connections keep cannot be read or written: {0}")]
pub struct KeepError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

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
pub struct Keep(OnceLock<(Arc<dyn Keeper>, String)>);

impl Keep {
    /// Gives the connection of this name its keeper; the first one stays.
    pub fn in_keeper(&self, keeper: Arc<dyn Keeper>, connection: &str) {
        self.0.get_or_init(|| (keeper, connection.to_owned()));
    }

    /// The keeper and the connection's name; nothing before it was given one.
    pub fn keeper(&self) -> Option<(&dyn Keeper, &str)> {
        self.0.get().map(|(keeper, connection)| (&**keeper, connection.as_str()))
    }
}
