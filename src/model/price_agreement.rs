//! One line of an agreed price, with one minimum quantity. The tiers of an agreement are gathered on reading.

use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::Target;
use super::value::{Currency, Invalid, Unit, check_not_negative, check_present, check_validity};

/// One line of an agreed price: who, what, from which quantity, how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceAgreement {
    /// Identifies the line within the company.
    pub id: String,
    /// The number of the agreement that the line belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// The customer it is for; without customer and customer group it is for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The customer group or price group it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_group: Option<String>,
    /// The product it is about; without product and product group it is about everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The product group it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_group: Option<String>,
    /// What `value` means.
    pub kind: PriceKind,
    /// A price or amount in `currency` per `price_per` units, or a percentage of 100.
    #[schemars(extend("format" = "decimal"))]
    pub value: Decimal,
    /// The currency; needed unless the line is a discount in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The unit that price and minimum quantity count in; absent: the product's base unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// How many units the price is for: 1, 10, 100 or 1,000. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub price_per: Option<Decimal>,
    /// The quantity from which (or up to which) the line applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub minimum_quantity: Option<Decimal>,
    /// The order value from which the line applies, in `currency`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub minimum_value: Option<Decimal>,
    /// How the lines of one agreement share the quantities.
    #[serde(default)]
    pub scale: ScaleType,
    /// The first day it applies, in the connection's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub valid_from: Option<Date>,
    /// The last day it applies, in the connection's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub valid_to: Option<Date>,
    /// Which agreement goes first: the lower number wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// Whether it adds to other agreements instead of excluding them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub combinable: bool,
}

/// What the value of an agreement line means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PriceKind {
    /// The price itself.
    NetPrice,
    /// A percentage off the price that would apply otherwise.
    DiscountPercent,
    /// An amount off, per `price_per` units.
    DiscountAmount,
    /// An amount on top, per `price_per` units.
    Surcharge,
}

/// How the lines of one agreement share the quantities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScaleType {
    /// From its quantity on, a line applies to the whole quantity.
    #[default]
    From,
    /// Up to its quantity, a line applies to the whole quantity.
    To,
    /// Each part of the quantity is priced by its own line.
    Graduated,
}

impl PriceAgreement {
    /// Whom it is for.
    pub fn who(&self) -> Target {
        Target::of(self.customer.as_deref(), self.customer_group.as_deref())
    }

    /// What it is about.
    pub fn what(&self) -> Target {
        Target::of(self.product.as_deref(), self.product_group.as_deref())
    }

    /// What is wrong with the line beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("id", &self.id, &mut findings);
        check_validity(self.valid_from, self.valid_to, &mut findings);
        check_not_negative("value", Some(self.value), &mut findings);
        check_not_negative("minimum_quantity", self.minimum_quantity, &mut findings);
        check_not_negative("minimum_value", self.minimum_value, &mut findings);
        if self.price_per.is_some_and(|per| per <= Decimal::ZERO) {
            findings.push(Invalid::new("price_per", "must be more than 0"));
        }
        if self.kind == PriceKind::DiscountPercent {
            if self.value > Decimal::ONE_HUNDRED {
                findings.push(Invalid::new("value", format!("a discount of {} % is more than the price", self.value)));
            }
        } else if self.currency.is_none() {
            findings.push(Invalid::new("currency", "is missing; only a discount in percent goes without"));
        }
        findings
    }
}
