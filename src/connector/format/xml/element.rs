//! Elements as they are read: what they hold so far, and what becomes of it.

use std::sync::Arc;

use super::names::Called;
use crate::connector::format::origin::field;
use crate::connector::format::{LONGEST_RECORD, MOST_VALUES};
use crate::record::{Map, Value};

/// Most attributes, and most children of different names, of one element.
pub(super) const MOST_NAMES: usize = 1_000;

/// An element that is open.
pub(super) struct Open {
    pub name: Called,
    pub line: u64,
    pub fields: Map,
    pub text: String,
    /// Whether the element is the end of a carried value's path.
    pub carried: bool,
}

/// The record that is being read.
pub(super) struct Building {
    pub depth: usize,
    pub line: u64,
    pub values: usize,
    pub bytes: usize,
    pub refused: Option<String>,
}

impl Building {
    /// Counts values and bytes against what a record may hold.
    pub fn count(&mut self, values: usize, bytes: usize) -> Result<(), String> {
        self.values += values;
        self.bytes += bytes;
        if self.values > MOST_VALUES {
            return Err(format!("has more than {MOST_VALUES} values"));
        }
        if self.bytes > LONGEST_RECORD {
            return Err(format!("is longer than {LONGEST_RECORD} bytes"));
        }
        Ok(())
    }

    /// Takes an element's attributes into its fields.
    pub fn take(&mut self, open: &mut Open, attributes: Vec<(Arc<str>, String)>, null: &[String]) {
        if open.name.text {
            return;
        }
        for (name, value) in attributes {
            if open.fields.get(&name).is_some() {
                self.refused = Some(format!(
                    "the element {} has the attribute '{name}' of two namespaces; keep the prefixes",
                    open.name.name
                ));
                return;
            }
            let taken = self.count(1, value.len()).and_then(|()| field(&name, &value, null));
            match taken {
                Ok(value) => open.fields.push(name, value),
                Err(message) => {
                    self.refused = Some(message);
                    return;
                }
            }
        }
    }
}

impl Open {
    /// The element as a value.
    pub fn value(mut self, null: &[String], text_name: &Arc<str>) -> Result<Value, String> {
        let text = field(&self.name.name, self.text.trim_ascii(), null)?;
        if self.name.text || self.fields.is_empty() && (!self.name.map || text == Value::Null) {
            return Ok(text);
        }
        if text != Value::Null {
            self.fields.push(Arc::clone(text_name), text);
        }
        Ok(Value::Map(self.fields))
    }
}

/// Adds a child to its parent's fields. A child that is empty counts as absent among several.
pub(super) fn attach(fields: &mut Map, name: Arc<str>, value: Value, list: bool) -> Result<(), String> {
    let names = fields.len();
    match fields.get_mut(&name) {
        None if names == MOST_NAMES => {
            return Err(format!("an element has more than {MOST_NAMES} children of different names"));
        }
        None if list && value == Value::Null => fields.push(name, Value::List(Vec::new())),
        None => fields.push(name, if list { Value::List(vec![value]) } else { value }),
        Some(_) if value == Value::Null => {}
        Some(Value::List(values)) => values.push(value),
        Some(single) if *single == Value::Null => *single = value,
        Some(single) => *single = Value::List(vec![std::mem::take(single), value]),
    }
    Ok(())
}
