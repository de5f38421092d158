//! What a shop is told about its order, whatever way it hears.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::Transition;

/// A step of an order, as its shop is told of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Transition")]
pub struct TransitionView {
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The state left; absent for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The state reached.
    pub to: String,
    /// Why.
    pub cause: String,
    /// The attempt to hand it over that it belongs to; 0 before the first.
    pub attempt: u32,
    /// Who: `shop`, `supplier` (a person there) or `tradebridge`.
    pub by: String,
}

impl From<Transition> for TransitionView {
    fn from(transition: Transition) -> Self {
        // The supplier's people have names that are no business of the shop's.
        let by = match transition.who.split(' ').next() {
            Some("shop") => "shop",
            Some("operator") => "supplier",
            _ => "tradebridge",
        };
        Self {
            at: transition.at,
            from: transition.from.map(|state| state.name().to_owned()),
            to: transition.to.name().to_owned(),
            cause: transition.cause,
            attempt: transition.attempt,
            by: by.to_owned(),
        }
    }
}
