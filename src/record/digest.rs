//! Digests of records, by which an unchanged one is recognised before it is mapped.
//!
//! A flat record (every field text or null) is written as a digest of its names, the length of each field and the
//! texts behind one another: what a row holds anyway. It has the same digest as a row and as named values. Any other
//! record is written value by value. All of it is hashed at once, which is several times faster than piece by piece.

use std::io::Write as _;

use super::{Fields, FieldsRef, Map, Value};

/// Whatever decides the outcome of a record beside the record itself: another one makes other digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salt([u8; 32]);

impl Salt {
    /// The salt of these bytes.
    pub fn new(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A digest of texts, which are told apart from each other.
    pub fn digest_of(&self, texts: &[&str]) -> [u8; 16] {
        let mut written = Vec::new();
        for text in texts {
            tagged(&mut written, b's', text.as_bytes());
        }
        first(&blake3::keyed_hash(&self.0, &written))
    }
}

impl Fields {
    /// A digest of the fields with their names and their order. `scratch` is memory to work in, which callers keep.
    pub fn digest(&self, salt: &Salt, scratch: &mut Vec<u8>) -> [u8; 16] {
        self.borrowed().digest(salt, scratch)
    }
}

impl FieldsRef<'_> {
    /// As [`Fields::digest`].
    pub fn digest(self, salt: &Salt, scratch: &mut Vec<u8>) -> [u8; 16] {
        scratch.clear();
        match self {
            FieldsRef::Row(row) => {
                let (columns, text, ends) = row.parts();
                scratch.push(b'r');
                scratch.extend_from_slice(columns.digest());
                let mut start = 0;
                for end in ends {
                    length(scratch, end.saturating_sub(start));
                    start = *end;
                }
                scratch.extend_from_slice(text.as_bytes());
            }
            FieldsRef::Map(map) if is_flat(map) => flat(map, scratch),
            FieldsRef::Map(map) => nested(map, scratch),
        }
        first(&blake3::keyed_hash(&salt.0, scratch))
    }
}

fn first(hash: &blake3::Hash) -> [u8; 16] {
    let mut start = [0; 16];
    start.copy_from_slice(&hash.as_bytes()[..16]);
    start
}

/// A digest of names in their order.
pub(super) fn names_digest<'a>(names: impl Iterator<Item = &'a str>) -> [u8; 16] {
    let mut written = Vec::new();
    for name in names {
        tagged(&mut written, b'k', name.as_bytes());
    }
    first(&blake3::hash(&written))
}

/// A length in as many bytes as it needs, seven bits in each.
fn length(out: &mut Vec<u8>, mut length: u32) {
    loop {
        let [low, ..] = length.to_le_bytes();
        length >>= 7;
        if length == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn is_flat(map: &Map) -> bool {
    let short = |text: &str| u32::try_from(text.len()).is_ok();
    map.iter().all(|(_, value)| match value {
        Value::Null => true,
        Value::Text(text) => short(text),
        _ => false,
    })
}

fn flat(map: &Map, out: &mut Vec<u8>) {
    let text = |value: &Value| match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    };
    out.push(b'r');
    out.extend_from_slice(&names_digest(map.iter().map(|(name, _)| name)));
    for (_, value) in map.iter() {
        length(out, u32::try_from(text(value).len()).unwrap_or(u32::MAX));
    }
    for (_, value) in map.iter() {
        out.extend_from_slice(text(value).as_bytes());
    }
}

fn nested(map: &Map, out: &mut Vec<u8>) {
    tagged(out, b'm', &(map.len() as u64).to_le_bytes());
    for (name, value) in map.iter() {
        tagged(out, b'k', name.as_bytes());
        write(value, out);
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'0'),
        Value::Bool(b) => out.push(if *b { b't' } else { b'f' }),
        Value::Number(n) => {
            out.push(b'n');
            // Writing into memory cannot fail, and no number has a line end in it.
            let _ = writeln!(out, "{n}");
        }
        Value::Text(s) => tagged(out, b's', s.as_bytes()),
        Value::List(items) => {
            tagged(out, b'l', &(items.len() as u64).to_le_bytes());
            for item in items {
                write(item, out);
            }
        }
        Value::Map(map) => nested(map, out),
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}
