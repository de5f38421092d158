//! Which shops a customer belongs to: the shops' companies, connections and conditions, compiled.
//!
//! What does not live here: keeping the memberships (`store`) and what a shop sees of them (`publish`).

use std::collections::BTreeMap;

use crate::config::{Config, KeyPath, Problems, Shop};
use crate::expression::{Context, Expression, Fields, Scope};
use crate::model::PartKind;
use crate::model::shape;
use crate::record::{Map, Value};

/// The shops with their compiled conditions.
#[derive(Debug, Default)]
pub struct Scopes {
    shops: Vec<ShopScope>,
}

/// One shop's condition over customers.
#[derive(Debug)]
pub struct ShopScope {
    /// The shop's name.
    pub name: String,
    /// A digest of everything that decides what the shop sees: another one means that its consumers begin anew.
    pub digest: String,
    companies: Vec<String>,
    connections: Vec<String>,
    customers: Option<Expression>,
}

impl Scopes {
    /// Compiles the conditions of all shops.
    ///
    /// # Errors
    /// Every fault of every condition, each at its place in the configuration.
    pub fn compile(config: &Config) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut shops = Vec::new();
        for (index, shop) in config.shops.iter().enumerate() {
            let at = KeyPath::root().key("shop").index(index).key("customers");
            let customers = match &shop.customers {
                None => None,
                Some(source) => match condition(source) {
                    Ok(condition) => Some(condition),
                    Err(faults) => {
                        for fault in faults {
                            let mut problem = config.source.document.problem_in(&at, fault.at.start, fault.message);
                            problem.hint = fault.hint;
                            problems.push(problem);
                        }
                        continue;
                    }
                },
            };
            shops.push(ShopScope {
                name: shop.name.clone(),
                digest: digest(shop),
                companies: shop.companies.clone(),
                connections: shop.connections.clone(),
                customers,
            });
        }
        problems.into_result()?;
        Ok(Self { shops })
    }

    /// The shops.
    pub fn shops(&self) -> &[ShopScope] {
        &self.shops
    }

    /// The names of the shops that a customer's main record belongs to.
    pub fn of(&self, connection: &str, company: &str, customer: &serde_json::Value) -> Vec<String> {
        if self.shops.is_empty() {
            return Vec::new();
        }
        let record = match Value::from_json(customer.clone()) {
            Value::Map(record) => record,
            _ => Map::default(),
        };
        self.shops.iter().filter(|s| s.has(connection, company, &record)).map(|s| s.name.clone()).collect()
    }
}

impl ShopScope {
    /// Whether a customer's main record belongs to the shop.
    pub fn admits(&self, connection: &str, company: &str, customer: &serde_json::Value) -> bool {
        match Value::from_json(customer.clone()) {
            Value::Map(record) => self.has(connection, company, &record),
            _ => false,
        }
    }

    fn has(&self, connection: &str, company: &str, record: &Map) -> bool {
        let named = |list: &[String], name: &str| list.iter().any(|n| n == name);
        if !named(&self.companies, company) || !named(&self.connections, connection) {
            return false;
        }
        let Some(condition) = &self.customers else { return true };
        let context = Context { record: record.into(), names: &[], zone: &jiff::tz::TimeZone::UTC };
        match condition.condition(&context) {
            Ok(holds) => holds,
            Err(error) => {
                // What cannot be decided is not shown: a shop must not see a customer by mistake.
                tracing::warn!(shop = self.name, %error, "a shop's condition cannot be decided for a customer");
                false
            }
        }
    }
}

fn condition(source: &str) -> Result<Expression, Vec<crate::expression::Fault>> {
    let fields: Vec<&str> =
        shape::of(PartKind::Customer).fields.iter().map(|f| f.name.as_str()).filter(|f| !is_part(f)).collect();
    Expression::compile(source, &Scope { fields: Fields::Known(&fields), names: &[], lookups: &BTreeMap::new() })
}

/// Lists that can come from tables of their own are no part of the main record that is judged.
fn is_part(field: &str) -> bool {
    PartKind::ALL.iter().filter_map(|kind| kind.owner()).any(|owner| owner.list == field)
}

/// A digest of everything that decides what a shop sees.
pub fn digest(shop: &Shop) -> String {
    let parts = serde_json::json!([shop.companies, shop.connections, shop.customers, shop.warehouses]);
    blake3::hash(parts.to_string().as_bytes()).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;
    use serde_json::json;

    fn scopes(customers: &str) -> Result<Scopes, Problems> {
        let text = format!(
            "[[connection]]\nname = \"erp\"\nconnector = \"csv-export\"\ntime_zone = \"Europe/Amsterdam\"\n\
             [[shop]]\nname = \"b2b\"\ncompanies = [\"NL01\"]\nconnections = [\"erp\"]\ncustomers = \"{customers}\"\n"
        );
        let config = Config::of_document(Document::parse("tradebridge.toml", &text), []).unwrap();
        Scopes::compile(&config)
    }

    #[test]
    fn a_customer_belongs_to_the_shops_whose_condition_holds() {
        let scopes = scopes("'B2B' in groups && blocked != 'all'").unwrap();
        let customer = |group: &str| json!({"number": "1", "groups": ["INSTAL", group], "blocked": "no"});
        assert_eq!(scopes.of("erp", "NL01", &customer("B2B")), ["b2b"]);
        assert!(scopes.of("erp", "NL01", &customer("BALIE")).is_empty());
        assert!(scopes.of("erp", "BE01", &customer("B2B")).is_empty(), "another company");
        assert!(scopes.of("other", "NL01", &customer("B2B")).is_empty(), "another connection");
        assert!(scopes.of("erp", "NL01", &json!({"number": "1"})).is_empty(), "no groups");
    }

    #[test]
    fn an_unknown_field_is_an_error_with_its_place() {
        let problems = scopes("'B2B' in gruops").unwrap_err().to_string();
        assert!(problems.contains("tradebridge.toml:9:") && problems.contains("groups"), "{problems}");
    }
}
