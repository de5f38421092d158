//! A program of a shop, or of anybody else, that speaks AMQP with the broker.

use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;

use super::broker::Vhost;
use crate::daemon::PATIENCE;

/// A program with a queue of its own, which vanishes with it.
pub(crate) struct Client {
    _connection: Connection,
    channel: Channel,
    user: String,
    queue: String,
    deliveries: lapin::Consumer,
}

/// A message as it arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub key: String,
    pub properties: BasicProperties,
    pub body: Value,
}

impl Client {
    /// A program that logs in as a user whose password is `guest`.
    pub(crate) async fn of(vhost: &Vhost, user: &str) -> Self {
        let url = vhost.url().replace("guest@", &format!("{user}:guest@"));
        let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await.unwrap();
        let queue = queue.name().as_str().to_owned();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let deliveries =
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
        Self { _connection: connection, channel, user: user.to_owned(), queue, deliveries }
    }

    /// Has its queue get what is published to an exchange.
    pub(crate) async fn bind(&self, exchange: &str, key: &str) -> lapin::Result<()> {
        let options = QueueBindOptions::default();
        self.channel
            .queue_bind(self.queue.as_str().into(), exchange.into(), key.into(), options, FieldTable::default())
            .await
    }

    /// The properties of an order of this user, answered to its queue.
    pub(crate) fn order(&self, correlation: &str) -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_user_id(self.user.as_str().into())
            .with_reply_to(self.queue.as_str().into())
            .with_correlation_id(correlation.into())
    }

    /// Publishes, and asserts that the broker has it in a queue.
    pub(crate) async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let confirm = self.try_publish(exchange, key, properties, body).await.unwrap();
        assert!(matches!(confirm, Confirmation::Ack(None)), "{confirm:?}");
    }

    /// Publishes.
    pub(crate) async fn try_publish(
        &self,
        exchange: &str,
        key: &str,
        properties: BasicProperties,
        body: &[u8],
    ) -> lapin::Result<Confirmation> {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.channel.basic_publish(exchange.into(), key.into(), options, body, properties).await?.await
    }

    /// The next message in its queue.
    pub(crate) async fn next(&mut self) -> Arrived {
        let Ok(Some(delivery)) = tokio::time::timeout(PATIENCE, self.deliveries.next()).await else {
            panic!("waits for ever for a message of {}", self.user)
        };
        let Delivery { routing_key, properties, data, .. } = delivery.unwrap();
        Arrived { key: routing_key.as_str().to_owned(), properties, body: serde_json::from_slice(&data).unwrap() }
    }

    /// Takes the first message of a queue and gives it back, again and again, until the broker gives the message up.
    pub(crate) async fn give_back(&self, queue: &str) {
        let get = async || self.channel.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap();
        while let Some(message) = get().await {
            let options = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
            message.acker.nack(options).await.unwrap();
        }
    }
}

impl Arrived {
    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            other => Some(format!("{other:?}")),
        }
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> i32 {
        match self.properties.headers().as_ref().unwrap().inner().get("status") {
            Some(AMQPValue::LongInt(status)) => *status,
            other => panic!("no status: {other:?}"),
        }
    }
}
