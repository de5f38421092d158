//! What the tasks of the order path share: the store, the queue, the time, and how a change is committed.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

use super::presence::Presence;
use super::state::{Event, change};
use super::target::{Target, Targets};
use super::tell_change;
use crate::queue::{Clock, Queue, Wake};
use crate::store::{Advance, AttemptCount, Lease, Result, Store, StoreError, StoredOrder};

/// Who acts where no person does.
pub(super) const WHO: &str = "tradebridge";

/// The longest wait between two tries of a store that fails.
const LONGEST: Duration = Duration::from_secs(30);

/// A connection whose orders wait until it can be reached again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pause {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

/// What the tasks share.
pub(super) struct Context {
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn Queue>,
    pub wake: Arc<Wake>,
    pub clock: Arc<dyn Clock>,
    pub presence: Presence,
    pub targets: watch::Sender<Arc<Targets>>,
    pub pauses: Mutex<BTreeMap<String, Pause>>,
    /// Orders that something in this process is at, and how often.
    pub in_hand: Mutex<HashMap<String, u32>>,
}

/// An order that something in this process is at. Dropped, it is at it no more.
pub(super) struct InHand<'a> {
    context: &'a Context,
    order: String,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        let mut in_hand = self.context.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = in_hand.get_mut(&self.order) {
            *times -= 1;
            if *times == 0 {
                in_hand.remove(&self.order);
            }
        }
    }
}

/// The shutdown came while something could not be done.
#[derive(Debug)]
pub(super) struct Stopped;

impl Context {
    /// The target of a connection as it is configured now.
    pub fn target(&self, connection: &str) -> Option<Target> {
        self.targets.borrow().get(connection).cloned()
    }

    /// Notes that something in this process is at an order: from before it is taken until what became of it is committed.
    pub fn take_in_hand(&self, order: &str) -> InHand<'_> {
        let mut in_hand = self.in_hand.lock().unwrap_or_else(PoisonError::into_inner);
        *in_hand.entry(order.to_owned()).or_default() += 1;
        InHand { context: self, order: order.to_owned() }
    }

    /// Whether something in this process is at an order.
    pub fn is_in_hand(&self, order: &str) -> bool {
        self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).contains_key(order)
    }

    pub fn pause(&self, connection: &str, pause: Option<Pause>) {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        match pause {
            Some(pause) => pauses.insert(connection.to_owned(), pause),
            None => pauses.remove(connection),
        };
    }

    /// Changes an order's place through events; `set` adds what else changes. Nothing where the order is another one
    /// by now.
    pub async fn advance<'a>(
        &self,
        order: &StoredOrder,
        events: impl IntoIterator<Item = (Event, &'a str)>,
        who: &str,
        set: impl FnOnce(&mut Advance),
    ) -> Result<Option<StoredOrder>> {
        let mut advance = self.change(order, events, who)?;
        set(&mut advance);
        let after = self.store.advance(&advance).await?;
        self.told(&advance, after.as_ref());
        Ok(after)
    }

    /// Takes an order for an attempt, under the lease of this process. Nothing where the order is another one by now.
    pub async fn claim(&self, order: &StoredOrder, lease: &Lease) -> Result<Option<StoredOrder>> {
        let mut advance = self.change(order, [(Event::Attempt, "an attempt begins")], WHO)?;
        advance.attempts = AttemptCount::Take;
        let after = self.store.claim(&advance, lease).await?;
        self.told(&advance, after.as_ref());
        Ok(after)
    }

    fn change<'a>(
        &self,
        order: &StoredOrder,
        events: impl IntoIterator<Item = (Event, &'a str)>,
        who: &str,
    ) -> Result<Advance> {
        change(order, events, who, self.clock.now())
            .map_err(|error| StoreError::Unreadable { what: "step of an order", message: error.to_string() })
    }

    /// Logs what was committed and wakes who waits for it.
    fn told(&self, advance: &Advance, after: Option<&StoredOrder>) {
        if let Some(after) = after {
            tell_change(advance, after);
            self.wake.orders_changed();
        }
    }

    /// Does something with the store until it works; an order that cannot be read is no failure of the store.
    pub async fn until_done<T, F: Future<Output = Result<T>>>(
        &self,
        what: &str,
        shutdown: &mut watch::Receiver<bool>,
        mut act: impl FnMut() -> F,
    ) -> std::result::Result<Result<T>, Stopped> {
        let mut wait = Duration::from_secs(1);
        loop {
            match act().await {
                Ok(done) => return Ok(Ok(done)),
                Err(unreadable @ StoreError::Unreadable { .. }) => return Ok(Err(unreadable)),
                Err(error) => tracing::error!(%error, "{what} does not work; it is tried again until it does"),
            }
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                _ = shutdown.wait_for(|stop| *stop) => return Err(Stopped),
            }
            wait = (wait * 2).min(LONGEST);
        }
    }
}
