//! The content of a part as it is stored and compared: compact JSON text with its fields in one order, and its hash.
//!
//! What does not live here: which fields there are (`shape`), and making content of a source record (`mapping`).

use std::fmt::Write as _;

use serde_json::Value;

use super::hash::{ContentHash, first};
use super::kind::PartKind;
use super::shape::{self, Kind, Shape};

/// The canonical content of a part.
///
/// The text has the fields of a record in the order of its schema and names that are free in byte order; fields that
/// are null are not there. So equal contents are equal texts, whatever they were made of, and have equal hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    text: Box<str>,
    hash: ContentHash,
}

impl Content {
    /// The content of a value.
    pub fn of(kind: PartKind, value: &Value) -> Self {
        let mut text = String::with_capacity(512);
        write_record(Some(shape::of(kind)), value, &mut text);
        Self::of_text(text)
    }

    /// The content of a text that is canonical already: one that was stored, or that a mapping wrote in this form.
    pub fn of_text(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        let hash = first(&blake3::hash(text.as_bytes()));
        Self { text, hash }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first 16 bytes of BLAKE3 over the text.
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// A text of the content that has no characters to be escaped, such as a date or a code; only for a field whose name
    /// no list or record within has. Reading it costs little: the content is not taken apart.
    pub fn text_of(&self, field: &str) -> Option<&str> {
        // A quote within a text is escaped, so this can be nothing but a name with its value.
        let name = format!("\"{field}\":\"");
        let (_, rest) = self.text.split_once(&name)?;
        rest.split_once('"').map(|(text, _)| text)
    }

    /// The content as a value, read from the text on each call.
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

fn write(kind: Option<&Kind>, value: &Value, out: &mut String) {
    match value {
        Value::Object(_) => match kind {
            Some(Kind::Record(shape) | Kind::Unit(shape)) => write_record(Some(shape), value, out),
            _ => write_record(None, value, out),
        },
        Value::Array(items) => {
            let element = match kind {
                Some(Kind::List(element)) => Some(&**element),
                _ => None,
            };
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(element, item, out);
            }
            out.push(']');
        }
        single => write_single(single, out),
    }
}

fn write_single(value: &Value, out: &mut String) {
    // Writing into a String cannot fail.
    let _ = write!(out, "{value}");
}

fn write_record(shape: Option<&Shape>, value: &Value, out: &mut String) {
    let place = |name: &str| shape.and_then(|shape| shape.fields.iter().position(|field| field.name == name));
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (place(name).unwrap_or(usize::MAX), name.as_str(), value)).collect();
    fields.sort_unstable_by_key(|(place, name, _)| (*place, *name));
    out.push('{');
    for (at, (place, name, value)) in fields.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        write_single(&Value::from(name), out);
        out.push(':');
        let kind = match shape {
            Some(shape) => shape.fields.get(place).map(|field| &field.kind),
            None => None,
        };
        write(kind, value, out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_contents_are_equal_texts_with_equal_hashes() {
        let one = json!({"names": {"nl": "Knie", "en": "Elbow"}, "base_unit": {"erp": "ST", "code": "C62"},
            "number": "1", "gtin": null, "units": [{"factor": "10", "unit": {"code": "BX"}}]});
        let other = json!({"units": [{"unit": {"code": "BX"}, "factor": "10", "gtin": null}], "number": "1",
            "base_unit": {"code": "C62", "erp": "ST"}, "names": {"en": "Elbow", "nl": "Knie"}});
        let content = Content::of(PartKind::Product, &one);
        assert_eq!(content, Content::of(PartKind::Product, &other));
        assert_eq!(
            content.as_str(),
            r#"{"number":"1","names":{"en":"Elbow","nl":"Knie"},"base_unit":{"code":"C62","erp":"ST"},"units":[{"unit":{"code":"BX"},"factor":"10"}]}"#
        );
        assert_eq!(content, Content::of_text(content.as_str()));
        assert_eq!(content.value(), other_without_nulls(&other));
        assert_ne!(content.hash(), Content::of(PartKind::Product, &json!({"number": "2"})).hash());
    }

    fn other_without_nulls(value: &Value) -> Value {
        let mut value = value.clone();
        value["units"][0].as_object_mut().unwrap().remove("gtin");
        value
    }
}
