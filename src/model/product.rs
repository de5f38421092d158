//! The product, with its exact specifications.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Invalid, Language, Measure, Unit, check_not_negative, check_present};

/// A product (article, item, material).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The product's number in the ERP.
    pub number: String,
    /// Names by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub names: BTreeMap<String, String>,
    /// Long descriptions by language.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub descriptions: BTreeMap<String, String>,
    /// The unit that stock is kept in.
    pub base_unit: Unit,
    /// Further units and what they hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<ProductUnit>,
    /// The length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Measure>,
    /// The width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<Measure>,
    /// The height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<Measure>,
    /// The weight without packaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net_weight: Option<Measure>,
    /// The weight with packaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross_weight: Option<Measure>,
    /// Specifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attribute>,
    /// Classes in public classifications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classifications: Vec<Classification>,
    /// The GS1 global trade item number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<String>,
    /// Who makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// The maker's number for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer_number: Option<String>,
    /// Codes of the product groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The number of the product that this is a variant of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_of: Option<String>,
    /// By which attributes it differs from its siblings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant_attributes: BTreeMap<String, String>,
    /// Documents and pictures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<Document>,
    /// The tax class, by the ERP's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_class: Option<String>,
    /// The smallest quantity that can be ordered, in the base unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub minimum_order_quantity: Option<Decimal>,
    /// Orders come in multiples of this quantity, in the base unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub order_multiple: Option<Decimal>,
    /// Whether it is made only when ordered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made_to_order: bool,
    /// Working days until stock can be replenished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replenishment_lead_time: Option<u32>,
    /// The number of the product that replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Whether it can be sold.
    #[serde(default)]
    pub status: ProductStatus,
    /// Customers' own numbers for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub customer_articles: Vec<CustomerArticle>,
}

/// Whether a product can be sold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProductStatus {
    /// It is sold.
    #[default]
    Active,
    /// It is sold while stock lasts.
    PhaseOut,
    /// It is no longer sold.
    Discontinued,
}

/// A unit of a product: one of it holds `factor` base units.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductUnit {
    /// The unit.
    pub unit: Unit,
    /// How many base units one of it holds.
    #[schemars(extend("format" = "decimal"))]
    pub factor: Decimal,
    /// The GTIN of this packaging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gtin: Option<String>,
}

/// A specification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// What is specified.
    pub name: String,
    /// The value, exactly as specified.
    pub value: String,
    /// The unit of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// A class in a public classification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classification {
    /// The classification with its version where known: `ETIM-8.0`, `UNSPSC`, `ECLASS-5.1`.
    pub system: String,
    /// The class.
    pub code: String,
}

/// A document or picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// What it is: `image`, `datasheet`, `safety`, `manual`, or the ERP's own word.
    pub kind: String,
    /// Where it is.
    pub address: String,
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
}

/// A customer's own number for a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerArticle {
    /// Identifies the entry within the product.
    pub id: String,
    /// The customer's number.
    pub customer: String,
    /// The customer's number for the product.
    pub number: String,
    /// The customer's name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Product {
    /// What is wrong with the product beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("number", &self.number, &mut findings);
        check_not_negative("minimum_order_quantity", self.minimum_order_quantity, &mut findings);
        if self.order_multiple.is_some_and(|m| m <= Decimal::ZERO) {
            findings
                .push(Invalid::new("order_multiple", "must be more than 0; leave it out where any quantity will do"));
        }
        for (at, unit) in self.units.iter().enumerate() {
            if unit.factor <= Decimal::ZERO {
                findings.push(Invalid::new(format!("units[{at}].factor"), "must be more than 0"));
            }
        }
        findings
    }
}
