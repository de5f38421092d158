//! Values that a system writes as objects with a tag, `{"__class__": "Decimal", "decimal": "9.50"}`, made into values.

use std::collections::BTreeMap;

use super::manifest::TaggedFile;
use crate::config::KeyPath;
use crate::connector::check::{Checker, NAMES};
use crate::connector::format::ReadError;
use crate::expression::{Context, Expression, Fields};
use crate::record::{Map, Record, Seen, Value};

/// Which objects are values, and which.
#[derive(Debug)]
pub struct Tagged {
    /// The member that holds the tag.
    by: String,
    /// The value of an object, by its tag.
    values: BTreeMap<String, Expression>,
}

impl Tagged {
    /// Compiles what a manifest says; nothing with a problem.
    pub fn compile(checker: &mut Checker, at: &KeyPath, file: &TaggedFile) -> Option<Self> {
        let compiled: Vec<Option<(String, Expression)>> = file
            .values
            .iter()
            .map(|(tag, source)| {
                let expression = checker.expression(&at.key("values").key(tag), source, Fields::Any, NAMES)?;
                Some((tag.clone(), expression))
            })
            .collect();
        let values = compiled.into_iter().collect::<Option<_>>()?;
        Some(Self { by: file.by.clone(), values })
    }

    /// A record with its tagged objects made into values, as [`Self::resolve`].
    ///
    /// # Errors
    /// The same, with the record's place.
    pub fn resolved(&self, record: Record, settings: &Value) -> Result<Record, ReadError> {
        let Record { fields, place } = record;
        match self.resolve(fields.into_map(), settings) {
            Ok(map) => Ok(Record { fields: map.into(), place }),
            Err(message) => Err(ReadError::Record { place, message }),
        }
    }

    /// A record with its tagged objects made into values, however deep they stand.
    ///
    /// # Errors
    /// Where an object's value cannot be told.
    pub fn resolve(&self, map: Map, settings: &Value) -> Result<Map, String> {
        match self.value(Value::Map(map), settings)? {
            Value::Map(map) => Ok(map),
            other => Err(format!("the record itself is tagged as a {}", other.kind())),
        }
    }

    fn value(&self, value: Value, settings: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| self.value(item, settings)).collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                let tag = match map.get(&self.by) {
                    Some(Value::Text(tag)) => self.values.get(tag),
                    _ => None,
                };
                match tag {
                    Some(expression) => {
                        let names = [("settings", settings)];
                        let zone = jiff::tz::TimeZone::UTC;
                        let context = Context { record: (&map).into(), names: &names, zone: &zone };
                        expression.evaluate(&context).map(Seen::into_value).map_err(|error| error.to_string())?
                    }
                    None => Value::Map(
                        map.into_members()
                            .map(|(name, value)| Ok((name, self.value(value, settings)?)))
                            .collect::<Result<Map, String>>()?,
                    ),
                }
            }
            other => other,
        })
    }
}
