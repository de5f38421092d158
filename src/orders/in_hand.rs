//! The orders that this process is sending right now.
//!
//! An order that is `sending` under the lease of this process and is not among them is one whose attempt broke off: what made it
//! panicked, or the store took the order and its answer to that was lost.
//!
//! What does not live here: what becomes of such an order (`crash`).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The orders that this process is sending.
#[derive(Debug, Default)]
pub(super) struct InHand {
    orders: Mutex<HashSet<String>>,
}

impl InHand {
    /// Takes an order in hand until what this gives is dropped; nothing where it is in hand already.
    pub fn take(self: &Arc<Self>, order: &str) -> Option<Held> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.insert(order.to_owned()).then(|| Held { among: Arc::clone(self), order: order.to_owned() })
    }

    /// Whether an order is in hand.
    pub fn has(&self, order: &str) -> bool {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).contains(order)
    }
}

/// An order that is in hand until this is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Held {
    among: Arc<InHand>,
    order: String,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.among.orders.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.order);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_in_one_hand_at_a_time_until_it_is_let_go_of() {
        let orders = Arc::new(InHand::default());
        let held = orders.take("1");
        assert!(held.is_some() && orders.has("1") && !orders.has("2"));
        assert!(orders.take("1").is_none());
        drop(held);
        assert!(!orders.has("1") && orders.take("1").is_some());
    }
}
