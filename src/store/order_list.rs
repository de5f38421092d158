//! Which orders to show, and how many there are.

use jiff::Timestamp;
use serde::Serialize;

use super::OrderState;

/// Which orders to show.
#[derive(Debug, Clone, Default)]
pub struct OrderFilter {
    /// Of one shop.
    pub shop: Option<String>,
    /// For one connection.
    pub connection: Option<String>,
    /// Of one customer, by number.
    pub customer: Option<String>,
    /// In one of these states; empty: in any.
    pub states: Vec<OrderState>,
    /// Only those whose answer is overdue.
    pub overdue: bool,
    /// Only those whose reason contains this text, whatever the case of its letters.
    pub reason: Option<String>,
    /// In their state since this instant or later.
    pub changed_from: Option<Timestamp>,
    /// In their state since before this instant.
    pub changed_before: Option<Timestamp>,
    /// Accepted at or after this instant.
    pub accepted_from: Option<Timestamp>,
    /// Accepted before this instant.
    pub accepted_before: Option<Timestamp>,
    /// Only orders with a smaller identifier than this one: the page after the one that ended with it.
    pub before: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// How many orders of a connection are in a state, and since when.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OrderCount {
    /// The connection.
    pub connection: String,
    /// The state.
    pub state: OrderState,
    /// How many.
    pub count: u64,
    /// Of these: how many with an overdue answer.
    pub overdue: u64,
    /// When the oldest of them was accepted from its shop.
    pub oldest_accepted_at: Timestamp,
    /// When the oldest of them was handed over, of those that were.
    pub oldest_submitted_at: Option<Timestamp>,
}
