//! What tracing answers with: for the command line and the console.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{Entity, PartKind};
use crate::publish::Ended;
use crate::store::Run;

/// Where records came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// What they are.
    pub entity: Entity,
    /// The company they belong to.
    pub company: String,
    /// The number of the one record that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub date: Option<Date>,
    /// From which instant on everything that was known can be told.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub history_since: Timestamp,
    /// What was known, the newest knowledge first; empty where every version is shown.
    #[serde(default)]
    pub known: Vec<Knowledge>,
    /// Every version of the record and its parts, the newest first; empty where knowledge at instants is shown.
    #[serde(default)]
    pub versions: Vec<TracedVersion>,
    /// Whether there are more versions than were asked for.
    #[serde(default)]
    pub more: bool,
}

/// What was known at an instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knowledge {
    /// Which instant it is.
    pub as_of: AsOf,
    /// The instant; absent where it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub known_at: Option<Timestamp>,
    /// The zone whose day it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The connections that it came over.
    pub connections: Vec<String>,
    /// Why it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// The versions that were known.
    pub versions: Vec<TracedVersion>,
    /// Whether there are more records than were asked for.
    #[serde(default)]
    pub more: bool,
}

/// Which instant is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AsOf {
    /// Now.
    Now,
    /// The end of the day that was asked for.
    EndOfDay,
    /// The beginning of the day that was asked for.
    StartOfDay,
    /// The instant that was asked for.
    KnownAt,
}

/// A version of a record or of a part of it, with what brought it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracedVersion {
    /// The record's key, `COMPANY~NUMBER`.
    pub key: String,
    /// What kind of part of the record it is.
    pub part: PartKind,
    /// Its identifier within the record; absent for the main part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// When it was stored.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// When it was superseded or deleted; absent while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
    /// How it ended; absent while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// The canonical content.
    pub content: Value,
    /// The connection it came over.
    pub connection: String,
    /// The stream it came from.
    pub stream: String,
    /// Its key in the stream.
    pub source_key: String,
    /// Where the source row stood; absent where it is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_place: Option<String>,
    /// The source row as it was read; absent where it is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_row: Option<Value>,
    /// The run that brought it.
    pub run_id: String,
    /// That run, with its mapping's digest and what it read; absent where it is not kept any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
}
