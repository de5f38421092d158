//! How the messages of the outbox reach those who act on them: one trait, the embedded queue behind it, and the relay
//! that publishes what is due.
//!
//! A message says that an order's next step is due, no more. The outbox is the truth: a message that is lost is
//! published again, a message that comes twice has no effect the second time.
//!
//! What does not live here: what is done about an order (`orders`), and the outbox itself (`store`).

pub mod clock;
mod embedded;
mod relay;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

pub use clock::{Clock, SystemClock};
pub use embedded::Embedded;
pub use relay::Relay;

use crate::store::Message;

/// Why a queue did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue cannot be reached, or refuses.
    #[error("the queue does not work: {0}; orders are still accepted into the store and wait there")]
    Unavailable(String),
}

/// A queue of work for each connection.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Whether what was published is still there after this process has ended.
    fn durable(&self) -> bool;

    /// Publishes messages for a connection. Says how many of them, from the first on, are confirmed: fewer than given
    /// where the connection's queue is full.
    async fn publish(&self, connection: &str, messages: &[Message]) -> Result<usize, QueueError>;

    /// Begins to consume a connection's messages, at most `prefetch` of them unacknowledged.
    async fn consume(&self, connection: &str, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError>;

    /// How many messages wait for a connection, those being worked on included.
    async fn depth(&self, connection: &str) -> Result<usize, QueueError>;
}

/// A consumer of one connection's messages. What it has not acknowledged when it is dropped is delivered again.
#[async_trait]
pub trait Consumer: Send {
    /// The next message; waits for one.
    async fn next(&mut self) -> Result<Delivery, QueueError>;

    /// Says that a message is dealt with.
    async fn ack(&mut self, delivery: Delivery) -> Result<(), QueueError>;
}

/// A delivered message.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// The queue's own mark for the delivery.
    pub tag: u64,
}

/// What wakes the tasks of the order path, so that none of them has to look again and again.
#[derive(Debug)]
pub struct Wake {
    due: Notify,
    changed: watch::Sender<u64>,
    fed: Notify,
}

impl Default for Wake {
    fn default() -> Self {
        Self { due: Notify::new(), changed: watch::Sender::new(0), fed: Notify::new() }
    }
}

impl Wake {
    /// An order's place changed and was committed; a message may have become due.
    pub fn orders_changed(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        self.due.notify_one();
    }

    /// There may be room for messages that found none.
    pub fn room(&self) {
        self.due.notify_one();
    }

    /// The feed has changes.
    pub fn feed_changed(&self) {
        self.fed.notify_one();
    }

    /// Counts the changes of orders: whoever follows an order waits here.
    pub fn follow_orders(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until messages may be due.
    pub async fn until_due(&self) {
        self.due.notified().await;
    }

    /// Waits until the feed has changes.
    pub async fn until_fed(&self) {
        self.fed.notified().await;
    }
}
