//! The orders in hand: several at a time, of one order only one message at a time.

use std::collections::{HashMap, VecDeque};

use tokio::task::{Id, JoinSet};

use super::worker::{Line, Worker};
use crate::orders::context::Stopped;
use crate::orders::target::Target;
use crate::queue::{Delivery, Unreadable};
use crate::store::Message;

/// What became of a delivery.
pub(super) enum Done {
    /// It was dealt with.
    Dealt {
        /// The queue's mark for it.
        tag: u64,
        /// Whether the connection works.
        line: Result<Line, Stopped>,
    },
    /// Dealing with it broke off: why.
    Broken(String),
}

/// A delivery that can be dealt with.
struct Held {
    tag: u64,
    message: Result<Message, Unreadable>,
    worker: Worker,
    target: Target,
}

impl Held {
    /// The order, where the message can be read.
    fn order(&self) -> Option<&str> {
        self.message.as_ref().ok().map(|message| message.order.as_str())
    }
}

/// The orders in hand. Dropped, what is under way is broken off.
#[derive(Default)]
pub(super) struct Hands {
    working: JoinSet<(u64, Result<Line, Stopped>)>,
    /// The orders of what is under way.
    orders: HashMap<Id, Option<String>>,
    /// Deliveries whose orders are in hand: a message may come twice, and the next one before the last is acknowledged.
    later: VecDeque<Held>,
    closed: bool,
}

impl Hands {
    /// How many are being dealt with.
    pub fn busy(&self) -> usize {
        self.working.len()
    }

    /// How many deliveries are not acknowledged.
    pub fn held(&self) -> usize {
        self.working.len() + self.later.len()
    }

    /// Takes a delivery, and deals with it at once unless its order is in hand.
    pub fn take(&mut self, delivery: Delivery, worker: Worker, target: Target) {
        let held = Held { tag: delivery.tag, message: delivery.message, worker, target };
        if held.order().is_some_and(|order| self.has(order)) {
            self.later.push_back(held);
        } else {
            self.begin(held);
        }
    }

    /// Begins nothing more; what waits goes back to the queue.
    pub fn take_no_more(&mut self) {
        self.closed = true;
        self.later.clear();
    }

    /// Waits for what is dealt with next; none where nothing is under way. May be dropped before it is ready.
    pub async fn done(&mut self) -> Option<Done> {
        let ended = self.working.join_next_with_id().await?;
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let order = self.orders.remove(&id).flatten();
        let next = self.later.iter().position(|held| held.order() == order.as_deref());
        if let Some(next) = next.filter(|_| !self.closed).and_then(|at| self.later.remove(at)) {
            self.begin(next);
        }
        Some(match ended {
            Ok((_, (tag, line))) => Done::Dealt { tag, line },
            Err(error) => Done::Broken(error.to_string()),
        })
    }

    fn has(&self, order: &str) -> bool {
        self.orders.values().any(|held| held.as_deref() == Some(order))
    }

    fn begin(&mut self, held: Held) {
        let order = held.order().map(str::to_owned);
        let Held { tag, message, mut worker, target } = held;
        let handle = self.working.spawn(async move {
            let line = match message {
                Ok(message) => worker.deal_with(&message, &target).await,
                Err(unreadable) => worker.bury(unreadable).await,
            };
            (tag, line)
        });
        self.orders.insert(handle.id(), order);
    }
}
