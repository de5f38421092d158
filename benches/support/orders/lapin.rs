//! Bare publishing: the same bytes to the same queue, in windows, with nothing around it.

use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tradebridge::store::Message;

use super::super::{Outcome, timed};
use super::broker::Broker;

/// Messages that are not confirmed at once.
const WINDOW: usize = 100;

/// A connection to the broker.
pub struct Bare {
    connection: Connection,
    channel: Channel,
    queue: String,
}

impl Bare {
    pub async fn connect(broker: &Broker, queue: &str) -> Outcome<Self> {
        tradebridge::install_crypto();
        let url = format!("amqp://guest:guest@{}/{}", broker.address, broker.vhost);
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { connection, channel, queue: queue.to_owned() })
    }

    /// Publishes messages; so many a second.
    pub async fn publish(&self, messages: &[Message]) -> Outcome<f64> {
        let bodies: Vec<(Vec<u8>, String)> = messages
            .iter()
            .map(|message| Ok((serde_json::to_vec(message)?, format!("{}/{}", message.order, message.generation))))
            .collect::<Outcome<_>>()?;
        let publishing = async {
            for window in bodies.chunks(WINDOW) {
                let mut sent = Vec::with_capacity(WINDOW);
                for (body, id) in window {
                    let properties = BasicProperties::default()
                        .with_delivery_mode(2)
                        .with_content_type("application/json".into())
                        .with_message_id(id.as_str().into());
                    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
                    sent.push(
                        self.channel
                            .basic_publish("".into(), self.queue.as_str().into(), options, body, properties)
                            .await?,
                    );
                }
                for confirm in join_all(sent).await {
                    if !matches!(confirm?, Confirmation::Ack(None)) {
                        return Err("the broker did not take a message".into());
                    }
                }
            }
            Ok(())
        };
        let ((), seconds) = timed(publishing).await?;
        Ok(messages.len() as f64 / seconds)
    }

    /// Empties the queue; how many messages were in it.
    pub async fn purge(&self) -> Outcome<u64> {
        Ok(self.channel.queue_purge(self.queue.as_str().into(), QueuePurgeOptions::default()).await?.into())
    }

    pub async fn close(self) -> Outcome<()> {
        Ok(self.connection.close(200, "done".into()).await?)
    }
}
