//! The mapping file as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::PartKind;

/// A mapping: how the records of a stream become parts of one kind.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingFile {
    /// The kind of part that the records become.
    pub entity: PartKind,
    /// The stream that the records come from.
    pub stream: String,
    /// The record's key in the stream, an expression: what makes it the same record in the next run.
    pub key: String,
    /// Which records are taken, an expression; absent: all. A record that no longer meets it counts as absent.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Which records say that they are deleted, an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// The company, an expression; absent: the connection's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// Canonical fields, each with the expression that gives its value. A dotted name reaches into a record.
    pub fields: BTreeMap<String, String>,
    /// Lists of records within the record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ListMapping>,
    /// Tables for the function `lookup`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lookup: BTreeMap<String, BTreeMap<String, Value>>,
    /// Examples that `tradebridge map test` runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<Example>,
}

/// A list within a record that becomes a canonical list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMapping {
    /// The canonical list, or the kind of part in it: `contact` is the list `contacts`.
    pub into: String,
    /// The list in the record, an expression. The expressions below see one of its elements.
    pub from: String,
    /// Which elements are taken, an expression; absent: all.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Fields of each element, with the expressions that give their values.
    pub fields: BTreeMap<String, String>,
}

/// An example: what becomes of a record.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What the example shows.
    pub name: String,
    /// The record as the connector reads it.
    pub record: serde_json::Map<String, Value>,
    /// What must come out: the fields named here must be so, others may be there. A field set to `"null"` in words
    /// cannot be told from text, so absence is said with `absent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<serde_json::Map<String, Value>>,
    /// Fields that must not come out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// A part of the reason for which the record must be rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// That the record is left out, or says that it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ExampleOutcome>,
    /// The connection's time zone in the example; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The connection's settings in the example.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub settings: serde_json::Map<String, Value>,
}

/// What becomes of an example's record other than a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExampleOutcome {
    /// The record is not taken.
    Skipped,
    /// The record says that it is deleted.
    Deleted,
}
