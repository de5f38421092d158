//! What was exchanged with the ERP over an order: the last calls of each kind, so that the store does not grow without
//! end.
//!
//! What does not live here: what an exchange is, and hiding secrets in it (`connector`).

use async_trait::async_trait;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Result;

/// So many calls of each kind are kept of an order.
pub const CALLS_KEPT: i64 = 3;

/// What is done in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    /// The order is handed over.
    Create,
    /// The order is searched, and what is left of it is done.
    Find,
}

impl CallKind {
    /// The name on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Find => "find",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Create, Self::Find].into_iter().find(|kind| kind.name() == name)
    }
}

/// A call of the ERP over an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrderCall {
    /// What was done.
    pub kind: CallKind,
    /// Counts the calls of this kind. With those that are kept, the newest stay.
    #[serde(skip)]
    pub number: i64,
    /// The attempt that it is of, or that was searched.
    pub attempt: u32,
    /// When it ended.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What it came to, in a word.
    pub outcome: String,
    /// The exchanges in their order, without secrets.
    pub exchanges: Value,
}

/// Keeping what was exchanged.
#[async_trait]
pub trait Calls: Send + Sync {
    /// Keeps calls of an order beside its state; those that come with a change are in the change.
    async fn note_calls(&self, order: &str, calls: &[OrderCall]) -> Result<()>;

    /// The calls of an order that are kept, the oldest first.
    async fn calls(&self, order: &str) -> Result<Vec<OrderCall>>;
}
