//! What connections keep beyond a request and share between processes: small values, each saved only over what was read.
//!
//! What does not live here: what the values mean, and which of them are encrypted (`connector`).

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;

/// A value as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptValue {
    /// The value.
    pub value: Vec<u8>,
    /// 1 for the first value under its name, and one more with each that is saved over it.
    pub version: i64,
}

/// Keeping values for connections.
#[async_trait]
pub trait Keeping: Send + Sync {
    /// What is kept for a connection under a name, and what the store's clock says.
    async fn kept(&self, connection: &str, name: &str) -> Result<(Option<KeptValue>, Timestamp)>;

    /// Saves a value over the version that was read; `None` where nothing was kept. False, and nothing is saved, where
    /// another was saved since.
    async fn keep(&self, connection: &str, name: &str, value: &[u8], over: Option<i64>) -> Result<bool>;
}
