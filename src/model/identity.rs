//! Where a canonical record stands among the others: its key, and what stores index it by.

use serde_json::Value;

use super::kind::{PartKind, Target};
use super::value::Invalid;

/// A record's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The entity's number within the company.
    pub number: String,
    /// The part's identifier within the entity; empty for a main record.
    pub part: String,
    /// Whom it is about, as stores index it ([`Target::term`]).
    pub who: Option<String>,
    /// What it is about, as stores index it.
    pub what: Option<String>,
}

/// The place of a record. Of a part in a table of its own, the owner's key is taken out of the content.
pub fn of(kind: PartKind, content: &mut Value) -> Result<Identity, Invalid> {
    let owner = kind.owner().and_then(|owner| {
        let key = content.as_object_mut()?.shift_remove(owner.field)?;
        Some((owner.field, key.as_str()?.to_owned()))
    });
    of_texts(kind, |field| match &owner {
        Some((name, key)) if *name == field => Some(key),
        _ => content.get(field).and_then(Value::as_str),
    })
}

/// The fields of which a place is made.
pub const FIELDS: [&str; 8] =
    ["number", "id", "customer", "customer_group", "product", "product_group", "warehouse", "order_status"];

/// The place of a record whose texts, among them its owner's key, are asked for by the names of their fields: those of
/// [`FIELDS`].
pub fn of_texts<'a>(kind: PartKind, text: impl Fn(&'static str) -> Option<&'a str>) -> Result<Identity, Invalid> {
    let owner = match kind.owner() {
        None => None,
        Some(owner) => Some(text(owner.field).map(str::to_owned).ok_or_else(|| {
            Invalid::new(owner.field, format!("is missing: a {kind} belongs to a {}", kind.entity()))
        })?),
    };
    let needed = |field| text(field).map(str::to_owned).ok_or_else(|| Invalid::new(field, "is missing"));
    let one = |field| text(field).map(|n| Target::One(n.to_owned()).term());
    if let Some(number) = owner {
        let who = if kind == PartKind::CustomerArticle { one("customer") } else { None };
        return Ok(Identity { number, part: needed("id")?, who, what: None });
    }
    let (number, who, what) = match kind {
        PartKind::PriceAgreement | PartKind::DeliveryTerm => {
            let who = Target::of(text("customer"), text("customer_group")).term();
            let what = Target::of(text("product"), text("product_group")).term();
            (needed("id")?, Some(who), Some(what))
        }
        PartKind::Stock => (format!("{}~{}", needed("product")?, needed("warehouse")?), None, one("product")),
        PartKind::Credit => (needed("customer")?, one("customer"), None),
        PartKind::OrderStatus => (needed("id")?, one("customer"), None),
        PartKind::Shipment | PartKind::Invoice => (needed("number")?, one("customer"), None),
        _ => (needed("number")?, None, None),
    };
    Ok(Identity { number, part: String::new(), who, what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn agreements_are_found_by_whom_and_what_they_are_about() {
        let mut line = json!({"id": "7", "customer_group": "INSTAL", "product": "KGL-15"});
        let place = of(PartKind::PriceAgreement, &mut line).unwrap();
        assert_eq!((place.who.as_deref(), place.what.as_deref()), (Some("g:INSTAL"), Some("1:KGL-15")));
        let mut line = json!({"id": "7"});
        let place = of(PartKind::PriceAgreement, &mut line).unwrap();
        assert_eq!((place.who.as_deref(), place.what.as_deref()), (Some("*"), Some("*")));
    }

    #[test]
    fn a_part_leaves_its_owner_out_of_its_content() {
        let mut contact = json!({"id": "c1", "name": "A", "customer": "10000"});
        let place = of(PartKind::Contact, &mut contact).unwrap();
        assert_eq!((place.number.as_str(), place.part.as_str()), ("10000", "c1"));
        assert_eq!(contact, json!({"id": "c1", "name": "A"}));
        assert_eq!(of(PartKind::Contact, &mut contact).unwrap_err().field, "customer");
    }
}
