//! Records as JSON text, as they are kept, and back.
//!
//! Kept text is typed: a number stays a number with all its digits, where the wire ([`Value::to_json`]) has a string.
//! So a mapping makes the same of the record that is read back, and its digest is the same.

use std::io::Write as _;
use std::sync::Arc;

use super::{Fields, Map, Value};

impl Fields {
    /// Writes the record as compact JSON text behind what `out` holds. [`Fields::from_json_text`] reads it.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Fields::Map(map) => write_map(map, out),
            Fields::Row(row) => {
                out.push(b'{');
                let mut first = true;
                for (name, text) in row.iter() {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    if text.is_empty() {
                        out.extend_from_slice(b"null");
                    } else {
                        write_text(text, out);
                    }
                }
                out.push(b'}');
            }
        }
    }

    /// The record of a text that [`Fields::write_json`] wrote.
    ///
    /// # Errors
    /// Where the text is no JSON object.
    pub fn from_json_text(text: &[u8]) -> Result<Self, serde_json::Error> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text)?;
        let value = |(name, value): (String, serde_json::Value)| (Arc::<str>::from(name), Value::from_json(value));
        Ok(Self::Map(object.into_iter().map(value).collect::<Map>()))
    }
}

fn write_map(map: &Map, out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in map.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write_value(value, out);
    }
    out.push(b'}');
}

/// Writes a value as compact JSON text; a number with all its digits.
pub fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Number(number) => {
            // Writing into memory cannot fail.
            let _ = write!(out, "{number}");
        }
        Value::Text(text) => write_text(text, out),
        Value::List(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write_value(item, out);
            }
            out.push(b']');
        }
        Value::Map(map) => write_map(map, out),
    }
}

/// Writes a text as a JSON string.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if bytes.iter().fold(true, |all, byte| all & plain(*byte)) {
        out.extend_from_slice(bytes);
    } else {
        let mut start = 0;
        for (at, byte) in bytes.iter().enumerate() {
            if plain(*byte) {
                continue;
            }
            out.extend_from_slice(&bytes[start..at]);
            start = at + 1;
            out.push(b'\\');
            match byte {
                b'"' | b'\\' => out.push(*byte),
                b'\n' => out.push(b'n'),
                b'\r' => out.push(b'r'),
                b'\t' => out.push(b't'),
                0x08 => out.push(b'b'),
                0x0c => out.push(b'f'),
                other => {
                    const DIGITS: &[u8; 16] = b"0123456789abcdef";
                    out.extend_from_slice(b"u00");
                    out.push(DIGITS[usize::from(other >> 4)]);
                    out.push(DIGITS[usize::from(other & 15)]);
                }
            }
        }
        out.extend_from_slice(&bytes[start..]);
    }
    out.push(b'"');
}
