//! A customer's credit.

use rust_decimal::Decimal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::value::{Currency, Invalid, check_not_negative, check_present};

/// The credit of a customer (the payer). Amounts are in `currency`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// The customer's number.
    pub customer: String,
    /// The currency of the amounts.
    pub currency: Currency,
    /// The limit; absent only where `unlimited` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub limit: Option<Decimal>,
    /// Whether there is no limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unlimited: bool,
    /// Open receivables; negative where the customer has money to get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub open_receivables: Option<Decimal>,
    /// What of it is past its due date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub overdue: Option<Decimal>,
    /// Orders that are not invoiced yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "decimal"))]
    pub open_orders: Option<Decimal>,
    /// Whether the ERP refuses orders on account.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
}

impl Credit {
    /// What is wrong with the credit beyond the types of its fields.
    pub fn check(&self) -> Vec<Invalid> {
        let mut findings = Vec::new();
        check_present("customer", &self.customer, &mut findings);
        check_not_negative("limit", self.limit, &mut findings);
        match (self.limit, self.unlimited) {
            (None, false) => findings.push(Invalid::new("limit", "is missing; set unlimited where there is no limit")),
            (Some(limit), true) => {
                findings.push(Invalid::new("unlimited", format!("is true although there is a limit of {limit}")));
            }
            _ => {}
        }
        findings
    }
}
