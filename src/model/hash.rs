//! Hashes of contents.
//!
//! A part's is that of its canonical text (`content`); of any other JSON value equal content has an equal hash,
//! whatever the order of its fields.

use serde_json::Value;

/// The first 16 bytes of BLAKE3 over a content.
pub type ContentHash = [u8; 16];

/// The hash of a JSON value that is no part, such as an order: of its fields sorted by name, null ones left out.
pub fn content_hash(content: &Value) -> ContentHash {
    let mut hasher = blake3::Hasher::new();
    update(&mut hasher, content);
    first(&hasher.finalize())
}

/// The beginning of a hash.
pub(super) fn first(hash: &blake3::Hash) -> ContentHash {
    let mut start = [0; 16];
    start.copy_from_slice(&hash.as_bytes()[..16]);
    start
}

fn update(hasher: &mut blake3::Hasher, value: &Value) {
    match value {
        Value::Null => tagged(hasher, b'0', b""),
        Value::Bool(b) => tagged(hasher, b'b', if *b { b"1" } else { b"0" }),
        Value::Number(n) => tagged(hasher, b'n', n.as_str().as_bytes()),
        Value::String(s) => tagged(hasher, b's', s.as_bytes()),
        Value::Array(items) => {
            tagged(hasher, b'a', &(items.len() as u64).to_le_bytes());
            for item in items {
                update(hasher, item);
            }
        }
        Value::Object(fields) => {
            let mut present: Vec<_> = fields.iter().filter(|(_, v)| !v.is_null()).collect();
            present.sort_unstable_by_key(|(name, _)| name.as_str());
            tagged(hasher, b'o', &(present.len() as u64).to_le_bytes());
            for (name, field) in present {
                tagged(hasher, b'k', name.as_bytes());
                update(hasher, field);
            }
        }
    }
}

fn tagged(hasher: &mut blake3::Hasher, tag: u8, bytes: &[u8]) {
    hasher.update(&[tag]);
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn depends_on_content_only() {
        let one = json!({"number": "1", "name": "A", "parent": null, "groups": ["x", "y"]});
        let other = json!({"groups": ["x", "y"], "name": "A", "number": "1"});
        assert_eq!(content_hash(&one), content_hash(&other));
        assert_ne!(content_hash(&one), content_hash(&json!({"number": "1", "name": "A", "groups": ["y", "x"]})));
        assert_ne!(content_hash(&json!(["1", "2"])), content_hash(&json!(["12"])));
    }
}
