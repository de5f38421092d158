//! Delivery arrangements.

use jiff::civil::{Date, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::Target;
use super::value::{Invalid, Money, check_not_negative, check_present};

/// How a customer, a group or everyone gets a product, a group or everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryTerm {
    /// Identifies the term within the company.
    pub id: String,
    /// The customer it is for; without customer and customer group it is for everyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The customer group it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer_group: Option<String>,
    /// The product it is about; without product and product group it is about everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The product group it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_group: Option<String>,
    /// How goods come.
    pub mode: DeliveryMode,
    /// Working days from order to delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time: Option<u32>,
    /// Weekdays of delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<Weekday>,
    /// Days of delivery.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub dates: Vec<Date>,
    /// Until when an order counts for the same day, in the connection's time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "time"))]
    pub cut_off: Option<Time>,
    /// The carrier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carrier: Option<String>,
    /// The smallest order value that is delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_value: Option<Money>,
}

/// How goods come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryMode {
    /// On order, from stock.
    Direct,
    /// On fixed days.
    Periodic,
    /// Once made.
    MadeToOrder,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl DeliveryTerm {
    /// Whom it is for.
    pub fn who(&self) -> Target {
        Target::of(self.customer.as_deref(), self.customer_group.as_deref())
    }

    /// What it is about.
    pub fn what(&self) -> Target {
        Target::of(self.product.as_deref(), self.product_group.as_deref())
    }

    /// What is wrong with the term beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("id", &self.id, &mut findings);
        check_not_negative("minimum_value.amount", self.minimum_value.as_ref().map(|m| m.amount), &mut findings);
        findings
    }
}
