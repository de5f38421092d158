//! What of a customer's record is about persons, and the record without it.
//!
//! What does not live here: which persons are to be left out, and where else something is said of them.

use serde_json::{Value, json};

/// The name of a customer whose person was erased: a record needs one.
pub const ERASED_NAME: &str = "(erased)";

/// What of a customer tells who it is, beside its name. Number, groups and terms stay, for orders and prices rest on
/// them.
const PERSONAL: [&str; 5] = ["legal_name", "vat_number", "chamber_of_commerce_number", "addresses", "contacts"];

/// Takes a contact out of a customer's record; whether it was in it.
pub fn leave_out_contact(content: &mut Value, contact: &str) -> bool {
    let Some(contacts) = content.get_mut("contacts").and_then(Value::as_array_mut) else { return false };
    let before = contacts.len();
    contacts.retain(|one| one.get("id").and_then(Value::as_str) != Some(contact));
    let (after, changed) = (contacts.len(), contacts.len() < before);
    // A list without elements is not written.
    if after == 0
        && let Some(fields) = content.as_object_mut()
    {
        fields.shift_remove("contacts");
    }
    changed
}

/// Takes everything that tells who it is out of a customer's record; whether there was anything.
pub fn leave_out_everything(content: &mut Value) -> bool {
    let Some(fields) = content.as_object_mut() else { return false };
    let mut changed = fields.get("name").is_some_and(|name| name != ERASED_NAME);
    fields.insert("name".to_owned(), json!(ERASED_NAME));
    for name in PERSONAL {
        changed |= fields.shift_remove(name).is_some();
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_contact_that_is_meant_goes() {
        let mut content = json!({ "number": "1", "name": "A", "contacts": [{ "id": "7" }, { "id": "8" }] });
        assert!(leave_out_contact(&mut content, "7"));
        assert_eq!(content["contacts"], json!([{ "id": "8" }]));
        assert!(!leave_out_contact(&mut content, "7"));
        assert!(leave_out_contact(&mut content, "8"));
        assert_eq!(content, json!({ "number": "1", "name": "A" }));
    }

    #[test]
    fn what_business_rests_on_stays() {
        let mut content = json!({ "number": "1", "name": "Jan", "vat_number": "NL1", "groups": ["B2B"],
            "addresses": [{ "id": "1", "street": "S" }], "contacts": [{ "id": "7" }] });
        assert!(leave_out_everything(&mut content));
        assert_eq!(content, json!({ "number": "1", "name": ERASED_NAME, "groups": ["B2B"] }));
        assert!(!leave_out_everything(&mut content));
    }
}
