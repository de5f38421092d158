//! What is known of the customer and the products that an order names, and what of the order does not fit it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::FieldError;
use crate::config::Shop;
use crate::model::customer::Blocked;
use crate::model::order::OrderAddress;
use crate::model::product::ProductUnit;
use crate::model::{Entity, Key, Order, PartKind, Unit};
use crate::store::{Part, Result, Store};

/// A customer as intake needs it.
pub(super) struct Customer {
    /// Whether new orders are to be held.
    pub blocked: bool,
    /// The customer that gets the invoice, where it is another one.
    bill_to: Option<Key>,
    addresses: Vec<String>,
}

/// The customer, where it is there and comes from a connection that the shop sees.
pub(super) async fn customer(store: &dyn Store, shop: &Shop, key: &Key) -> Result<Option<Customer>> {
    let parts = store.parts(Entity::Customer, std::slice::from_ref(key)).await?;
    let main = parts.iter().find(|part| part.kind == PartKind::Customer && shop.connections.contains(&part.connection));
    let Some(main) = main else { return Ok(None) };
    let blocked = field::<Blocked>(&main.content, "blocked").unwrap_or_default();
    let bill_to = main.content.get("bill_to").and_then(Value::as_str).map(|number| Key::new(&key.company, number));
    Ok(Some(Customer { blocked: blocked != Blocked::No, bill_to, addresses: addresses(&parts) }))
}

/// The identifiers of a customer's addresses, whether the ERP keeps them in a table of their own or not.
fn addresses(parts: &[Part]) -> Vec<String> {
    let mut ids = Vec::new();
    for part in parts {
        match part.kind {
            PartKind::Address => ids.push(part.part.clone()),
            PartKind::Customer => {
                let nested = part.content.get("addresses").and_then(Value::as_array);
                ids.extend(nested.into_iter().flatten().filter_map(|a| a.get("id")?.as_str()).map(str::to_owned));
            }
            _ => {}
        }
    }
    ids
}

/// Addresses named by identifier must be the customer's; the one for the invoice may be of the customer that gets it.
pub(super) async fn check_addresses(
    store: &dyn Store,
    customer: &Customer,
    order: &Order,
    faults: &mut Vec<FieldError>,
) -> Result<()> {
    let mut billing = customer.addresses.clone();
    if let (Some(key), Some(_)) = (&customer.bill_to, &order.bill_to) {
        billing.extend(addresses(&store.parts(Entity::Customer, std::slice::from_ref(key)).await?));
    }
    for (field, address, known) in
        [("ship_to", &order.ship_to, &customer.addresses), ("bill_to", &order.bill_to, &billing)]
    {
        match address {
            Some(OrderAddress { id: Some(id), .. }) if !known.contains(id) => faults.push(FieldError::new(
                format!("/{field}/id"),
                format!(
                    "customer {} has no address '{id}'; give one of its addresses, or write the address out",
                    order.customer
                ),
            )),
            Some(OrderAddress { id: None, address: None }) => faults.push(FieldError::new(
                format!("/{field}"),
                "give the identifier of one of the customer's addresses as `id`, or write it out as `address`",
            )),
            _ => {}
        }
    }
    Ok(())
}

/// The units of a product: the base unit first.
struct Units(Vec<Unit>);

impl Units {
    fn of(product: &Value) -> Self {
        let further = field::<Vec<ProductUnit>>(product, "units").unwrap_or_default();
        Self(field::<Unit>(product, "base_unit").into_iter().chain(further.into_iter().map(|u| u.unit)).collect())
    }

    /// The product's unit that a line means, with the ERP's own code; else what is wrong.
    fn resolve(&self, meant: Option<&Unit>) -> std::result::Result<Unit, String> {
        let Some(meant) = meant else {
            return self.0.first().cloned().ok_or_else(|| "is missing, and the product has no base unit".to_owned());
        };
        let mut matching: Vec<&Unit> = self
            .0
            .iter()
            .filter(|unit| unit.code == meant.code && (meant.erp.is_none() || meant.erp == unit.erp))
            .collect();
        matching.dedup();
        match matching.as_slice() {
            [only] => Ok((*only).clone()),
            [] => Err(format!("the product is not sold in '{}'; it is sold in {}", in_words(meant), self.in_words())),
            _ => Err(format!(
                "the product has several units '{}'; add the ERP's own code as `erp`: {}",
                meant.code,
                self.in_words()
            )),
        }
    }

    fn in_words(&self) -> String {
        self.0.iter().map(in_words).collect::<Vec<_>>().join(", ")
    }
}

fn in_words(unit: &Unit) -> String {
    match &unit.erp {
        Some(erp) => format!("{} ({erp})", unit.code),
        None => unit.code.clone(),
    }
}

/// Products must be there and sold in the line's unit; a line without a unit gets the base unit, and every unit the
/// ERP's own code.
pub(super) async fn check_lines(
    store: &dyn Store,
    shop: &Shop,
    company: &str,
    order: &mut Order,
    faults: &mut Vec<FieldError>,
) -> Result<()> {
    let mut keys: Vec<Key> = order.lines.iter().map(|line| Key::new(company, &line.product)).collect();
    keys.sort_unstable();
    keys.dedup();
    let products: BTreeMap<String, Units> = store
        .parts(Entity::Product, &keys)
        .await?
        .into_iter()
        .filter(|part| part.kind == PartKind::Product && shop.connections.contains(&part.connection))
        .map(|part| (part.key.number, Units::of(&part.content)))
        .collect();
    for (at, line) in order.lines.iter_mut().enumerate() {
        match products.get(&line.product) {
            Some(units) => match units.resolve(line.unit.as_ref()) {
                Ok(unit) => line.unit = Some(unit),
                Err(message) => faults.push(FieldError::new(format!("/lines/{at}/unit"), message)),
            },
            // An empty number is a fault of its own.
            None if line.product.trim().is_empty() => {}
            None => faults.push(FieldError::new(
                format!("/lines/{at}/product"),
                format!("shop {} sees no product '{}' of company {company}", shop.name, line.product),
            )),
        }
    }
    Ok(())
}

fn field<T: serde::de::DeserializeOwned>(content: &Value, name: &str) -> Option<T> {
    content.get(name).and_then(|value| serde_json::from_value(value.clone()).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_unit_is_the_one_that_the_product_has() {
        let units = Units::of(&json!({
            "base_unit": {"code": "C62", "erp": "ST"},
            "units": [
                {"unit": {"code": "PK", "erp": "D10"}, "factor": "10"},
                {"unit": {"code": "PK", "erp": "D25"}, "factor": "25"},
            ],
        }));
        let unit = |code: &str, erp: Option<&str>| Unit::new(code, erp.map(str::to_owned)).unwrap();
        assert_eq!(units.resolve(None), Ok(unit("C62", Some("ST"))));
        assert_eq!(units.resolve(Some(&unit("C62", None))), Ok(unit("C62", Some("ST"))));
        assert_eq!(units.resolve(Some(&unit("PK", Some("D25")))), Ok(unit("PK", Some("D25"))));
        assert!(units.resolve(Some(&unit("PK", None))).unwrap_err().contains("several units"));
        assert!(units.resolve(Some(&unit("MTR", None))).unwrap_err().contains("C62 (ST), PK (D10), PK (D25)"));
    }
}
