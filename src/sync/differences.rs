//! In what two contents differ, field by field.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A field in which two contents differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FieldDifference {
    /// The field, as a dotted path; a list is one field.
    pub field: String,
    /// Its value before; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    /// Its value after; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

/// The fields in which two contents differ, records within them field by field.
pub fn differences(before: Option<&Json>, after: Option<&Json>) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    within("", before, after, &mut found);
    found
}

fn within(path: &str, before: Option<&Json>, after: Option<&Json>, found: &mut Vec<FieldDifference>) {
    if before == after {
        return;
    }
    if let (Some(Json::Object(old)), Some(Json::Object(new))) = (before, after) {
        let added = new.keys().filter(|name| !old.contains_key(*name));
        for name in old.keys().chain(added) {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            within(&path, old.get(name), new.get(name), found);
        }
        return;
    }
    found.push(FieldDifference { field: path.to_owned(), before: before.cloned(), after: after.cloned() });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_told_apart_down_to_records_and_lists_are_one() {
        let before = json!({"name": "a", "address": {"city": "X", "street": "S"}, "groups": ["1"], "gone": 1});
        let after =
            json!({"address": {"city": "Y", "street": "S"}, "groups": ["1", "2"], "name": "a", "new": {"x": 1}});
        let found = differences(Some(&before), Some(&after));
        let fields: Vec<&str> = found.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["address.city", "groups", "gone", "new"]);
        assert_eq!((found[2].after.as_ref(), found[3].after.clone()), (None, Some(json!({"x": 1}))));
    }
}
