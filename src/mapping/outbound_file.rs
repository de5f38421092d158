//! The outbound mapping file as it is written.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// An outbound mapping: how a canonical order becomes an action's request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundFile {
    /// The action whose request it makes.
    pub action: OutboundAction,
    /// The request. A key is a path of names with `/` between them; `@name` is an attribute and `#text` the text of
    /// an element that has both. Names come in the order in which they are written here. A value is an expression,
    /// or `{ list = "name" }` where the elements of `[list.name]` stand.
    pub request: Tree,
    /// Paths of the request that must have a value; an order without one is rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Lists of the request by the names that it calls them by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub list: BTreeMap<String, OutboundList>,
    /// Tables for the function `lookup`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lookup: BTreeMap<String, BTreeMap<String, Value>>,
    /// Examples that `tradebridge map test` runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<OutboundExample>,
}

/// An action that an outbound mapping makes the request of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutboundAction {
    /// Handing over an order.
    Order,
}

/// A list of a request.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundList {
    /// The list that it is made from, an expression such as `lines`. The expressions below see one of its elements,
    /// and the whole order as `order`.
    pub from: String,
    /// Which elements are taken, an expression; absent: all.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Each element, in the notation of `[request]`.
    pub fields: Tree,
    /// Paths of each element that must have a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
}

/// What fills the paths of a request, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tree(pub Vec<(String, Filling)>);

/// What fills a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Filling {
    /// An expression.
    Expression(String),
    /// The elements of a list.
    List(ListName),
}

/// A list by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListName {
    /// The name of a table `[list.name]`.
    pub list: String,
}

/// An example: what becomes of an order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundExample {
    /// What the example shows.
    pub name: String,
    /// The order as it is handed over: a canonical order with `id`, `accepted_at`, `shop` and, where it is known,
    /// `customer_record`. Lines without a number get their position.
    pub order: Map<String, Value>,
    /// What must come out: the paths named here must be so, others may be there. Elements of lists stand in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Map<String, Value>>,
    /// Paths that must not come out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<String>,
    /// A part of the reason for which the order must be rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// The connection's time zone in the example; absent: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The connection's settings in the example.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (path, filling) in &self.0 {
            map.serialize_entry(path, filling)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Tree;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of paths with expressions")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl JsonSchema for Tree {
    fn schema_name() -> Cow<'static, str> {
        "Tree".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let filling = generator.subschema_for::<Filling>();
        json_schema!({ "type": "object", "minProperties": 1, "additionalProperties": filling })
    }
}
