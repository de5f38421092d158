//! How the messages of the outbox reach those who act on them: one trait, the embedded queue behind it, and the relay
//! that publishes what is due.
//!
//! A message says that an order's next step is due, no more. The outbox is the truth: a message that is lost is
//! published again, a message that comes twice has no effect the second time.
//!
//! What does not live here: what is done about an order (`orders`), and the outbox itself (`store`).

pub mod clock;
mod embedded;
pub mod rabbit;
mod relay;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

pub use clock::{Clock, SystemClock};
pub use embedded::Embedded;
pub use rabbit::Rabbit;
pub use relay::Relay;

use crate::config::{QueueSettings, QueueUrl};
use crate::store::Message;

/// Why a queue did not do what it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The queue cannot be reached, or refuses.
    #[error("the queue does not work: {0}; orders are accepted and wait in the store")]
    Unavailable(String),
    /// A part of the broker's topology is missing or otherwise than it must be.
    #[error("in the broker, {name}: {message}")]
    Topology {
        /// Its name.
        name: String,
        /// What is wrong, and what to do.
        message: String,
    },
}

impl QueueError {
    /// Something else that went wrong with the queue.
    fn other(error: impl std::fmt::Display) -> Self {
        Self::Unavailable(error.to_string())
    }

    /// Something that took too long.
    fn late(what: &str) -> Self {
        Self::Unavailable(format!("the broker did not answer in time ({what})"))
    }
}

/// The queue that the configuration names. `wake` is told when there is room for messages that found none.
///
/// # Errors
/// Where a file that the configuration names cannot be read.
pub fn open(settings: &QueueSettings, wake: Arc<Wake>) -> Result<Arc<dyn Queue>, QueueError> {
    Ok(match &settings.url {
        QueueUrl::Embedded => Arc::new(Embedded::new(wake)),
        QueueUrl::Broker(url) => Arc::new(Rabbit::new(settings, url, wake)?),
    })
}

/// A queue of work for each connection.
#[async_trait]
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Whether what was published is still there after this process has ended.
    fn durable(&self) -> bool;

    /// What it is and how it is, for people.
    fn describe(&self) -> String;

    /// Keeps it working until the shutdown, for the connections that take orders.
    async fn run(&self, connections: watch::Receiver<Vec<String>>, shutdown: watch::Receiver<bool>);

    /// Publishes messages for a connection. Says how many of them, from the first on, are confirmed: fewer than given
    /// where the connection's queue is full.
    async fn publish(&self, connection: &str, messages: &[Message]) -> Result<usize, QueueError>;

    /// Begins to consume a connection's messages, at most `prefetch` of them unacknowledged.
    async fn consume(&self, connection: &str, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError>;

    /// How many messages wait for a connection.
    async fn depth(&self, connection: &str) -> Result<usize, QueueError>;

    /// The broker that it is in, which carries more than the work for connections.
    fn broker(&self) -> Option<&Rabbit> {
        None
    }
}

/// A consumer of one connection's messages. What it has not acknowledged when it is dropped is delivered again.
#[async_trait]
pub trait Consumer: Send {
    /// The next message; waits for one.
    async fn next(&mut self) -> Result<Delivery, QueueError>;

    /// Says that the message with this mark is dealt with.
    async fn ack(&mut self, tag: u64) -> Result<(), QueueError>;
}

/// A delivered message.
#[derive(Debug)]
pub struct Delivery {
    /// The message, or why it cannot be read.
    pub message: Result<Message, Unreadable>,
    /// The queue's own mark for the delivery.
    pub tag: u64,
}

/// A delivery that is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// What came.
    pub bytes: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
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
        self.orders_moved();
        self.due.notify_one();
    }

    /// An order's place changed and was committed; no message became due by it.
    pub fn orders_moved(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
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
