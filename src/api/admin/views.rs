//! What the admin routes answer with, beside what `control` defines: for the command line and the console.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::control::Status;
use crate::config::Scope;
use crate::store::{Operation, Run};

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Listed<T> {
    /// The items.
    pub items: Vec<T>,
    /// What `after` is to be for the next page; absent where this is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The digest of everything that is alive in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreDigest {
    /// 64 hexadecimal digits.
    pub digest: String,
}

/// A run with what an operator needs to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunDetail {
    /// The run.
    pub run: Run,
    /// Examples of what it would do, while it is held.
    #[serde(default)]
    pub differences: Vec<StagedDifference>,
    /// Records of its source that are rejected now.
    #[serde(default)]
    pub rejections: Vec<RejectedRecord>,
}

/// A staged difference with what is stored now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StagedDifference {
    /// What it does: `upsert` or `delete`.
    #[schemars(with = "String")]
    pub operation: Operation,
    /// The company.
    pub company: String,
    /// The number of the record.
    pub number: String,
    /// Which part of the record; empty for its main part.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
    /// The key in the source.
    pub source_key: String,
    /// The content that is stored now; absent where the record is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// The content after; absent where the record is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Whether the stored content is not the one it was staged against: then it will not be applied.
    #[serde(default)]
    pub superseded: bool,
}

/// A record that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedRecord {
    /// The connection.
    pub connection: String,
    /// The stream.
    pub stream: String,
    /// The kind of record it would be.
    pub kind: String,
    /// The run that found it.
    pub run: String,
    /// Its key in the source, or its place where the key cannot be told.
    pub source_key: String,
    /// Where it stands.
    pub place: String,
    /// Why it was not taken.
    pub reason: String,
    /// The record as it was read.
    pub record: Value,
    /// Since when.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// How many records of a stream are rejected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RejectedCount {
    /// The connection.
    pub connection: String,
    /// The stream.
    pub stream: String,
    /// The kind of record they would be.
    pub kind: String,
    /// How many.
    pub count: u64,
}

/// Everything an operator looks at first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overview {
    /// The daemon, its store, queue and connections.
    pub daemon: Status,
    /// The newest run of each sync.
    pub runs: Vec<Run>,
    /// Runs that wait for approval.
    pub held: Vec<Run>,
    /// Rejected records by stream.
    pub rejected: Vec<RejectedCount>,
    /// Orders by connection and state.
    pub orders: Vec<OrdersInState>,
    /// How many messages of the queue could not be read.
    pub dead_letters: u64,
}

/// How many orders of a connection are in a state, and since when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrdersInState {
    /// The connection.
    pub connection: String,
    /// The state.
    pub state: String,
    /// How many.
    pub count: u64,
    /// Of these: how many wait for an answer longer than the connection allows.
    pub overdue: u64,
    /// When the oldest of them was accepted from its shop.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub oldest_accepted_at: Timestamp,
    /// When the oldest of them was handed over, of those that were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub oldest_submitted_at: Option<Timestamp>,
}

/// An API key, without the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KeyView {
    /// What it is called.
    pub name: String,
    /// The shop it belongs to.
    pub shop: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made; absent for one that the configuration fixes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub created_at: Option<Timestamp>,
    /// When it was last used, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_used: Option<Timestamp>,
    /// Since when it is not valid any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub revoked_at: Option<Timestamp>,
}

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What it is to be called: lowercase letters, digits, `-` and `_`.
    #[schemars(extend("format" = "name"))]
    pub name: String,
    /// The shop it is to belong to.
    pub shop: String,
    /// What it is to allow.
    #[schemars(extend("minItems" = 1, "uniqueItems" = true))]
    pub scopes: Vec<Scope>,
}

/// A key that was made: the only time it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MadeKey {
    /// What it is called.
    pub name: String,
    /// The key, as the shop sends it.
    pub key: String,
}

/// Why an operator decides as he does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Because {
    /// In his own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why an operator decides as he does, where that has to be said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// In his own words.
    #[schemars(length(min = 1))]
    pub reason: String,
}

/// How an order that needs a person is resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// The number that the ERP has it under.
    #[schemars(length(min = 1))]
    pub as_created: String,
}
