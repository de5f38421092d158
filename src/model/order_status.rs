//! What the ERP says back: the state of orders, shipments and invoices, also of orders that no shop posted.

use jiff::civil::Date;
use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Currency, Invalid, Unit, check_present};

/// What the ERP says about an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStatus {
    /// Identifies the order within the company: the ERP's number, or our reference while there is none.
    pub id: String,
    /// Our own unique reference, as the order carried it to the ERP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The ERP's number of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The customer's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The customer's own order number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_order_number: Option<String>,
    /// What became of it.
    pub state: OrderAnswer,
    /// The ERP's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The day of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub date: Option<Date>,
    /// The currency of the total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// The total.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub total: Option<Decimal>,
    /// Line by line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<OrderStatusLine>,
}

/// What became of an order in the ERP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderAnswer {
    /// The ERP has it as an order.
    Accepted,
    /// The ERP refuses it.
    Rejected,
    /// The ERP cancelled it.
    Cancelled,
}

/// What the ERP says about one line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderStatusLine {
    /// The line's number in our order.
    pub id: String,
    /// The product's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The unit of the quantities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// What is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub confirmed: Option<Decimal>,
    /// For which day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub confirmed_date: Option<Date>,
    /// What has been shipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub shipped: Option<Decimal>,
    /// What has been invoiced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub invoiced: Option<Decimal>,
    /// What has been cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub cancelled: Option<Decimal>,
    /// The ERP's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A shipment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shipment {
    /// The shipment's number in the ERP.
    pub number: String,
    /// The ERP's numbers of the orders in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<String>,
    /// The customer's number.
    pub customer: String,
    /// The day it left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub date: Option<Date>,
    /// The carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// Tracking numbers and addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracking: Vec<Tracking>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<ShipmentLine>,
}

/// Where a parcel can be followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tracking {
    /// The tracking number.
    pub number: String,
    /// The tracking page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A line of a shipment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShipmentLine {
    /// The product's number.
    pub product: String,
    /// How much.
    #[schemars(extend("format" = "decimal"))]
    pub quantity: Decimal,
    /// In which unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The ERP's number of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// An invoice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Invoice {
    /// The invoice's number.
    pub number: String,
    /// The customer's number.
    pub customer: String,
    /// The ERP's numbers of the orders in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<String>,
    /// The day of the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub date: Option<Date>,
    /// The day it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date"))]
    pub due_date: Option<Date>,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The total with tax.
    #[schemars(extend("format" = "decimal"))]
    pub total: Decimal,
    /// The tax in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub tax: Option<Decimal>,
    /// What is still to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub open: Option<Decimal>,
    /// Where the document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<String>,
}

impl OrderStatus {
    /// What is wrong with the status beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("id", &self.id, &mut findings);
        if self.state == OrderAnswer::Accepted && self.number.is_none() {
            findings.push(Invalid::new("number", "an accepted order has the ERP's number"));
        }
        findings
    }
}
