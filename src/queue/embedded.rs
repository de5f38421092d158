//! The queue inside the daemon: bounded, in memory, fed from the outbox alone. What it holds when the process dies is
//! published again from the outbox at the next start.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, watch};

use super::{Consumer, Delivery, Queue, QueueError, Wake};
use crate::store::Message;

/// Messages held for one connection.
const BOUND: usize = 1000;

/// The embedded queue.
#[derive(Debug)]
pub struct Embedded {
    lanes: Mutex<HashMap<String, Arc<Lane>>>,
    wake: Arc<Wake>,
    bound: usize,
}

/// What waits for one connection.
#[derive(Debug, Default)]
struct Lane {
    held: Mutex<Held>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Held {
    ready: VecDeque<Message>,
    /// Everything that is ready or delivered and not acknowledged: the same message is not held twice.
    all: HashSet<Message>,
    /// Whether a message found no room.
    refused: bool,
}

impl Lane {
    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that panics runs under the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Embedded {
    /// An empty queue. `wake` is told when a full lane has room again.
    pub fn new(wake: Arc<Wake>) -> Self {
        Self::with_bound(wake, BOUND)
    }

    /// An empty queue that holds at most `bound` messages for a connection.
    pub fn with_bound(wake: Arc<Wake>, bound: usize) -> Self {
        Self { lanes: Mutex::default(), wake, bound: bound.max(1) }
    }

    fn lane(&self, connection: &str) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(lanes.entry(connection.to_owned()).or_default())
    }
}

#[async_trait]
impl Queue for Embedded {
    fn durable(&self) -> bool {
        false
    }

    fn describe(&self) -> String {
        "embedded".to_owned()
    }

    async fn run(&self, _: watch::Receiver<Vec<String>>, mut shutdown: watch::Receiver<bool>) {
        // It needs nobody; an error is one of reading the result, which is that the daemon stops.
        let _ = shutdown.wait_for(|stop| *stop).await;
    }

    async fn publish(&self, connection: &str, messages: &[Message]) -> Result<usize, QueueError> {
        let lane = self.lane(connection);
        let mut confirmed = 0;
        {
            let mut held = lane.held();
            for message in messages {
                if !held.all.contains(message) {
                    if held.all.len() >= self.bound {
                        held.refused = true;
                        break;
                    }
                    held.all.insert(message.clone());
                    held.ready.push_back(message.clone());
                }
                confirmed += 1;
            }
        }
        lane.arrived.notify_one();
        Ok(confirmed)
    }

    async fn consume(&self, connection: &str, prefetch: usize) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = EmbeddedConsumer {
            lane: self.lane(connection),
            wake: Arc::clone(&self.wake),
            bound: self.bound,
            prefetch: prefetch.max(1),
            unacknowledged: HashMap::new(),
            tag: 0,
        };
        Ok(Box::new(consumer))
    }

    async fn depth(&self, connection: &str) -> Result<usize, QueueError> {
        Ok(self.lane(connection).held().all.len())
    }
}

struct EmbeddedConsumer {
    lane: Arc<Lane>,
    wake: Arc<Wake>,
    bound: usize,
    prefetch: usize,
    unacknowledged: HashMap<u64, Message>,
    tag: u64,
}

#[async_trait]
impl Consumer for EmbeddedConsumer {
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        if self.unacknowledged.len() >= self.prefetch {
            return Err(QueueError::Unavailable(format!(
                "{} messages are delivered and not acknowledged, which is the limit",
                self.prefetch
            )));
        }
        loop {
            let (message, more) = {
                let mut held = self.lane.held();
                (held.ready.pop_front(), !held.ready.is_empty())
            };
            if more {
                // A notification wakes one consumer; the next message is another one's.
                self.lane.arrived.notify_one();
            }
            if let Some(message) = message {
                self.tag += 1;
                self.unacknowledged.insert(self.tag, message.clone());
                return Ok(Delivery { message: Ok(message), tag: self.tag });
            }
            self.lane.arrived.notified().await;
        }
    }

    async fn ack(&mut self, tag: u64) -> Result<(), QueueError> {
        if let Some(message) = self.unacknowledged.remove(&tag) {
            let wanted = {
                let mut held = self.lane.held();
                held.all.remove(&message);
                // Room for one message is not worth a look into the store.
                let wanted = held.refused && held.all.len() <= self.bound / 2;
                held.refused &= !wanted;
                wanted
            };
            if wanted {
                self.wake.room();
            }
        }
        Ok(())
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        let mut back: Vec<_> = self.unacknowledged.drain().collect();
        back.sort_unstable_by_key(|(tag, _)| std::cmp::Reverse(*tag));
        let mut held = self.lane.held();
        for (_, message) in back {
            held.ready.push_front(message);
        }
        drop(held);
        self.lane.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(order: &str) -> Message {
        Message { order: order.to_owned(), generation: 1 }
    }

    #[tokio::test]
    async fn a_full_lane_confirms_no_more_and_says_when_there_is_room() {
        let wake = Arc::new(Wake::default());
        let queue = Embedded::with_bound(Arc::clone(&wake), 2);
        let messages = [message("a"), message("b"), message("c")];
        assert_eq!(queue.publish("erp", &messages).await.unwrap(), 2);
        assert_eq!(queue.publish("other", &messages[..1]).await.unwrap(), 1, "another connection has room of its own");
        assert_eq!(queue.publish("erp", &messages[..1]).await.unwrap(), 1, "what is held already is confirmed");
        let mut consumer = queue.consume("erp", 1).await.unwrap();
        let delivery = consumer.next().await.unwrap();
        assert_eq!(delivery.message.unwrap(), messages[0]);
        assert!(consumer.next().await.is_err(), "not more than the prefetch");
        consumer.ack(delivery.tag).await.unwrap();
        wake.until_due().await;
        assert_eq!(queue.publish("erp", &messages[2..]).await.unwrap(), 1);
        assert_eq!(queue.depth("erp").await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_is_not_acknowledged_is_delivered_again_in_its_order() {
        let queue = Embedded::new(Arc::default());
        queue.publish("erp", &[message("a"), message("b"), message("c")]).await.unwrap();
        let mut consumer = queue.consume("erp", 5).await.unwrap();
        let first = consumer.next().await.unwrap();
        let second = consumer.next().await.unwrap();
        assert_eq!([first, second].map(|delivery| delivery.message.unwrap().order), ["a", "b"]);
        drop(consumer);
        let mut consumer = queue.consume("erp", 5).await.unwrap();
        for order in ["a", "b", "c"] {
            assert_eq!(consumer.next().await.unwrap().message.unwrap().order, order);
        }
    }
}
