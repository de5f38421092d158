//! The transitions of orders that are still to be told as events.
//!
//! What does not live here: what an event says, and to whom (`orders`).

use async_trait::async_trait;

use super::{Lease, Result, Transition};

/// A transition that is to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderEvent {
    /// By what it is known as told.
    pub position: i64,
    /// The order.
    pub order: String,
    /// Its shop.
    pub shop: String,
    /// The shop's reference.
    pub reference: String,
    /// Our own reference.
    pub our_reference: String,
    /// The company that sells.
    pub company: String,
    /// The customer's number.
    pub customer: String,
    /// The ERP's number, where it is known by now.
    pub erp_number: Option<String>,
    /// Which of the order's transitions it is, counted from 1.
    pub number: u32,
    /// The transition.
    pub transition: Transition,
}

/// Transitions that are still to be told.
#[async_trait]
pub trait OrderEvents: Send + Sync {
    /// Has every transition kept from now on until it is told; or none any more, and what was kept is forgotten.
    async fn keep_order_events(&self, keep: bool) -> Result<()>;

    /// Transitions that are still to be told, the oldest first; those of one order in their order.
    async fn order_events(&self, limit: u32) -> Result<Vec<OrderEvent>>;

    /// Forgets transitions that were told, by their positions. Refused as [`super::StoreError::Fenced`] where the lease is
    /// lost.
    async fn order_events_told(&self, lease: &Lease, positions: &[i64]) -> Result<()>;
}
