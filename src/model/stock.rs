//! Stock of a product in a warehouse.

use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Invalid, Unit, check_present};

/// Stock of a product in a warehouse. Quantities count in `unit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    /// The product's number.
    pub product: String,
    /// The warehouse's code.
    pub warehouse: String,
    /// The unit of the quantities; absent: the product's base unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub on_hand: Option<Decimal>,
    /// What is promised to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub reserved: Option<Decimal>,
    /// What can be promised; negative where more is promised than there is.
    #[schemars(extend("format" = "decimal"))]
    pub available: Decimal,
    /// What is on its way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incoming: Vec<Incoming>,
}

/// A quantity on its way to the warehouse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// The day it is expected.
    #[schemars(with = "String", extend("format" = "date"))]
    pub date: Date,
    /// How much.
    #[schemars(extend("format" = "decimal"))]
    pub quantity: Decimal,
}

impl Stock {
    /// What is wrong with the stock beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("product", &self.product, &mut findings);
        check_present("warehouse", &self.warehouse, &mut findings);
        findings
    }
}
