//! Values that must never be printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// The key under which a resolved secret stands in the tree that is read into types. No file can
/// write it: the schema refuses it.
const RESOLVED: &str = "resolved secret";

/// A password, token or key. Whatever prints, logs or serialises it gets `[secret]`; two are
/// compared by their BLAKE3 hashes in constant time.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must never be printed.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends, hashes or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A tree that reads as this secret.
    pub(super) fn into_tree(self) -> Value {
        Value::Object(Map::from_iter([(RESOLVED.to_owned(), Value::String(self.0))]))
    }

    /// The inverse of [`Secret::into_tree`].
    pub(super) fn from_tree(tree: &Value) -> Option<Self> {
        tree.get(RESOLVED).and_then(Value::as_str).map(Self::new)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        blake3::hash(self.0.as_bytes()) == blake3::hash(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Reads what loading the configuration made of `{ env = … }` and `{ file = … }`.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tree = Value::deserialize(deserializer)?;
        Self::from_tree(&tree).ok_or_else(|| D::Error::custom("this secret has not been resolved"))
    }
}

/// The two ways to name a secret, for the schemas of everything that holds one.
pub(super) fn references() -> [Schema; 2] {
    [
        json_schema!({
            "type": "object", "required": ["env"], "additionalProperties": false,
            "properties": { "env": {
                "type": "string", "minLength": 1,
                "description": "The environment variable that holds the secret."
            } }
        }),
        json_schema!({
            "type": "object", "required": ["file"], "additionalProperties": false,
            "properties": { "file": {
                "type": "string", "minLength": 1,
                "description": "The file that holds the secret; a line end at its end is not part of it."
            } }
        }),
    ]
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let [env, file] = references();
        json_schema!({
            "description": "A secret: where it is found, never the secret itself (but with `demo = true`).",
            "anyOf": [env, file, { "type": "string", "description": "The secret itself; only with `demo = true`." }]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_secret() {
        let secret = Secret::new("hunter2");
        let printed = format!("{secret} {secret:?} {:?} {}", Some(&secret), serde_json::to_string(&secret).unwrap());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(secret == Secret::new("hunter2") && secret != Secret::new("hunter3"));
    }
}
