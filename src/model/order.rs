//! An order as a shop posts it.

use std::collections::HashSet;

use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::customer::Address;
use super::value::{Currency, Invalid, Unit, check_not_negative, check_present};

/// An order on its way from a shop to an ERP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The shop's own number for the order: unique within the shop.
    pub reference: String,
    /// The company that sells; may be left out where the shop sees one company.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub company: Option<String>,
    /// The customer's number.
    pub customer: String,
    /// The identifier of the contact who ordered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// The customer's own order number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_order_number: Option<String>,
    /// Where the goods go: an address of the customer by its identifier, or written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_to: Option<OrderAddress>,
    /// Where the invoice goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill_to: Option<OrderAddress>,
    /// The day the goods are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub requested_date: Option<Date>,
    /// How to ship, by the ERP's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_method: Option<String>,
    /// Whether the order may come in several shipments.
    #[serde(default = "yes")]
    pub partial_delivery: bool,
    /// What is ordered.
    #[schemars(length(min = 1, max = 5000))]
    pub lines: Vec<OrderLine>,
    /// Freight and other charges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charges: Vec<Charge>,
    /// The currency of all amounts.
    pub currency: Currency,
    /// Whether amounts include tax.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tax_included: bool,
    /// The tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub tax: Option<Decimal>,
    /// The total as the shop showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub total: Option<Decimal>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// How it is paid.
    #[serde(default)]
    pub payment: Payment,
    /// Free text for the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

fn yes() -> bool {
    true
}

/// An address in an order: one of the customer's by its identifier, or written out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderAddress {
    /// The identifier of one of the customer's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The address written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
}

/// A line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderLine {
    /// The line's number, unique within the order; absent: its position, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    /// The product's number.
    pub product: String,
    /// How much.
    #[schemars(extend("format" = "decimal"))]
    pub quantity: Decimal,
    /// In which unit; absent: the product's base unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The price per `price_per` units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub unit_price: Option<Decimal>,
    /// How many units the price is for. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub price_per: Option<Decimal>,
    /// A discount in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub discount_percent: Option<Decimal>,
    /// The agreement that the price comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// The day the line is wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub requested_date: Option<Date>,
    /// Free text for the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A charge on an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// What for.
    pub kind: ChargeKind,
    /// How much.
    #[schemars(extend("format" = "decimal"))]
    pub amount: Decimal,
}

/// What a charge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargeKind {
    /// Transport.
    Freight,
    /// An order below the minimum value.
    SmallOrder,
    /// Anything else.
    Other,
}

/// An approval of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The identifier of the contact who approved.
    pub contact: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// How an order is paid.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "method", deny_unknown_fields)]
pub enum Payment {
    /// By invoice, against the customer's credit.
    #[default]
    OnAccount,
    /// Paid already.
    Paid {
        /// The payment provider's reference.
        reference: String,
    },
}

impl Order {
    /// The number of a line: its own, or its position counted from 1.
    pub fn line_number(&self, at: usize) -> u32 {
        self.lines[at].number.unwrap_or(u32::try_from(at + 1).unwrap_or(u32::MAX))
    }

    /// What is wrong with the order beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("reference", &self.reference, &mut findings);
        check_present("customer", &self.customer, &mut findings);
        if self.reference.chars().count() > 100 {
            findings.push(Invalid::new("reference", "is longer than 100 characters"));
        }
        if self.lines.is_empty() {
            findings.push(Invalid::new("lines", "an order needs at least one line"));
        }
        let mut numbers = HashSet::new();
        for (at, line) in self.lines.iter().enumerate() {
            check_present(&format!("lines[{at}].product"), &line.product, &mut findings);
            if line.quantity <= Decimal::ZERO {
                findings.push(Invalid::new(format!("lines[{at}].quantity"), "must be more than 0"));
            }
            check_not_negative(&format!("lines[{at}].unit_price"), line.unit_price, &mut findings);
            if line.price_per.is_some_and(|per| per <= Decimal::ZERO) {
                findings.push(Invalid::new(format!("lines[{at}].price_per"), "must be more than 0"));
            }
            let number = self.line_number(at);
            if !numbers.insert(number) {
                findings.push(Invalid::new(format!("lines[{at}].number"), format!("line {number} is there twice")));
            }
        }
        findings
    }
}
