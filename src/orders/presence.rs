//! That this process is there, as others see it: a lease that it holds while it sends orders.
//!
//! Whoever takes an order for an attempt notes the lease with it. Where a lease has run out, its holder was killed, cut off
//! or frozen, and what he was sending is in doubt. A process that was frozen and wakes sends nothing that it took before.
//!
//! What does not live here: what becomes of orders in doubt (`crash`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::store::{Lease, Result, Store};

/// A lease is renewed so often in its length.
const RENEWALS: u32 = 3;

/// This process among those that send orders.
#[derive(Debug)]
pub(super) struct Presence {
    store: Arc<dyn Store>,
    held: watch::Sender<Option<Present>>,
}

/// A lease, and since when it is known to be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    /// The lease.
    pub lease: Lease,
    renewed: Instant,
}

impl Presence {
    /// Nobody yet, until [`Presence::renew`] has taken the lease.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, held: watch::Sender::new(None) }
    }

    /// The lease, which is waited for.
    pub async fn present(&self) -> Option<Present> {
        let mut held = self.held.subscribe();
        let current = held.wait_for(|held| held.as_ref().is_some_and(|present| self.is_current(present)));
        // An error is one of the sender, which this has.
        current.await.ok().and_then(|held| held.clone())
    }

    /// The lease, if there is one.
    pub fn lease(&self) -> Option<Lease> {
        self.held.borrow().as_ref().map(|present| present.lease.clone())
    }

    /// Whether a lease is surely still held: others cannot have taken over what was taken under it.
    pub fn holds(&self, lease: &Lease) -> bool {
        self.held.borrow().as_ref().is_some_and(|present| present.lease == *lease && self.is_current(present))
    }

    /// How often the lease is renewed.
    pub fn period(&self) -> Duration {
        self.store.lease_time() / RENEWALS
    }

    /// Renews the lease, or takes another where it is lost.
    ///
    /// # Errors
    /// The store's.
    pub async fn renew(&self) -> Result<()> {
        let renewed = Instant::now();
        let held = self.held.borrow().clone();
        let lease = match held {
            Some(present) if self.store.renew_lease(&present.lease).await? => Some(present.lease),
            // What was taken under the lost one is in doubt by now: the next one has another name.
            _ => self.store.take_lease(&format!("sender/{}", Uuid::now_v7())).await?,
        };
        self.held.send_replace(lease.map(|lease| Present { lease, renewed }));
        Ok(())
    }

    fn is_current(&self, present: &Present) -> bool {
        present.renewed.elapsed() < self.store.lease_time()
    }
}
