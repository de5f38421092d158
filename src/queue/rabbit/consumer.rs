//! Consuming one queue: deliveries one by one, acknowledged once they are dealt with.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Acker, BasicProperties, Channel};

use super::super::{Consumer, Delivery, QueueError, Unreadable};
use super::link::Session;
use super::{PATIENCE, in_time, topology};

/// The deliveries of one queue. What is not acknowledged when they are dropped is delivered again.
pub(super) struct Deliveries {
    consumer: lapin::Consumer,
    unacknowledged: HashMap<u64, Acker>,
    /// The channel closes with the deliveries.
    _channel: Channel,
}

/// A message as it was delivered.
pub(super) struct Delivered {
    pub bytes: Vec<u8>,
    pub properties: BasicProperties,
    pub tag: u64,
}

impl Deliveries {
    /// Begins to consume, at most `prefetch` messages unacknowledged.
    pub async fn begin(session: &Session, queue: &str, prefetch: usize) -> Result<Self, QueueError> {
        let channel = topology::channel(&session.connection).await?;
        let prefetch = u16::try_from(prefetch.max(1)).unwrap_or(u16::MAX);
        in_time("setting the prefetch", channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
        let name = ShortString::try_new(queue).map_err(QueueError::other)?;
        let consume = channel.basic_consume(name, "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let begun = tokio::time::timeout(PATIENCE, consume).await.map_err(|_| topology::silent(queue))?;
        let consumer = begun.map_err(QueueError::other)?;
        Ok(Self { consumer, unacknowledged: HashMap::new(), _channel: channel })
    }

    /// The next message; waits for one.
    pub async fn next(&mut self) -> Result<Delivered, QueueError> {
        let delivery = match self.consumer.next().await {
            Some(delivery) => delivery.map_err(QueueError::other)?,
            // The queue was deleted, or moved to another node.
            None => return Err(QueueError::Unavailable("the broker ended the delivery".to_owned())),
        };
        self.unacknowledged.insert(delivery.delivery_tag, delivery.acker);
        Ok(Delivered { bytes: delivery.data, properties: delivery.properties, tag: delivery.delivery_tag })
    }

    /// Says that the message with this mark is dealt with.
    pub async fn ack(&mut self, tag: u64) -> Result<(), QueueError> {
        let Some(acker) = self.unacknowledged.remove(&tag) else { return Ok(()) };
        in_time("acknowledging", acker.ack(BasicAckOptions::default())).await?;
        Ok(())
    }
}

/// A consumer of one connection's work.
pub(super) struct RabbitConsumer(pub Deliveries);

#[async_trait]
impl Consumer for RabbitConsumer {
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        let Delivered { bytes, tag, .. } = self.0.next().await?;
        let message = serde_json::from_slice(&bytes)
            .map_err(|error| Unreadable { reason: format!("it is no message of an order's step: {error}"), bytes });
        Ok(Delivery { message, tag })
    }

    async fn ack(&mut self, tag: u64) -> Result<(), QueueError> {
        self.0.ack(tag).await
    }
}
