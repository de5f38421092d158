//! Connections whose orders a person has told to wait, for every process and across restarts.
//!
//! What does not live here: connections that wait because they cannot be reached (`orders`).

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Result;

/// A connection whose orders wait until a person says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PausedConnection {
    /// The connection.
    pub connection: String,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// Who said so.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// Pausing connections.
#[async_trait]
pub trait Pauses: Send + Sync {
    /// Has a connection's orders wait; one that waits already gets the new reason. No attempt begins from then on.
    async fn pause(&self, pause: &PausedConnection) -> Result<()>;

    /// Lets a connection's orders go on. False where they did not wait.
    async fn resume(&self, connection: &str) -> Result<bool>;

    /// The connections whose orders wait, by name.
    async fn pauses(&self) -> Result<Vec<PausedConnection>>;
}
